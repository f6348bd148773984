//! GitHub, GitHub Enterprise, and what answers as they do: releases, refs, files and archives.

mod address;
mod answer;

use crate::{FetchError, Fetched, Http, Request, bearer};
use address::{below, of_repository};
use answer::{CommitAnswer, RefAnswer, ReleaseAnswer};
use callsheet_types::{Digest, GitRef, Repository, Secret};
use http::{HeaderName, HeaderValue, header};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How long an answer about releases and refs may take, with all attempts.
const ANSWER_DEADLINE: Duration = Duration::from_mins(1);
/// How long a file may take; for what is downloaded, how long nothing may come.
const FILE_DEADLINE: Duration = Duration::from_secs(90);
const MAX_FILE_BYTES: u64 = 1 << 30;
const MAX_ARCHIVE_BYTES: u64 = 16 << 30;
/// What is held in memory is not longer, whatever was asked for.
const MAX_MEMORY_BYTES: usize = 256 << 20;
/// Where people leave a token.
const TOKEN_VARIABLE: &str = "GITHUB_TOKEN";

/// Where GitHub answers; each is an address without a slash at its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GitHubHosts {
    /// Release assets: `{web}/{owner}/{repo}/releases/download/{tag}/{asset}`.
    pub web: String,
    /// Files: `{raw}/{owner}/{repo}/{commit}/{path}`.
    pub raw: String,
    /// Everything else: `{api}/repos/{owner}/{repo}/…`.
    pub api: String,
}

impl Default for GitHubHosts {
    fn default() -> Self {
        Self {
            web: "https://github.com".to_owned(),
            raw: "https://raw.githubusercontent.com".to_owned(),
            api: "https://api.github.com".to_owned(),
        }
    }
}

/// One repository's host. Cloning shares its connections.
#[derive(Clone, Debug)]
pub struct GitHub {
    http: Http,
    hosts: GitHubHosts,
    tokens: GitHubTokens,
}

/// The token for each host.
#[derive(Clone, Debug, Default)]
pub struct GitHubTokens {
    /// For release assets.
    pub web: Option<Secret>,
    /// For files.
    pub raw: Option<Secret>,
    /// For everything else.
    pub api: Option<Secret>,
}

impl GitHubTokens {
    /// The same token for all hosts.
    pub fn all(token: Option<&Secret>) -> Self {
        let token = token.cloned();
        Self { web: token.clone(), raw: token.clone(), api: token }
    }
}

/// A release.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Release {
    /// Its tag.
    pub tag: String,
    /// Its number; a tag that is deleted and made again has another one.
    pub id: u64,
    /// What can be downloaded, in the order of the names.
    pub assets: Vec<Asset>,
}

/// A file of a release.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asset {
    /// Its name.
    pub name: String,
    /// Its number; one that is replaced has another one.
    pub id: u64,
    /// Its length.
    pub size_bytes: Option<u64>,
    /// Its digest, where the host says it.
    pub digest: Option<Digest>,
    /// When it was uploaded, as the host writes it.
    pub updated_at: Option<String>,
}

/// What a ref turned out to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefKind {
    /// A commit's hash, or the beginning of one: it never means anything else.
    Commit,
    /// A tag.
    Tag,
    /// A branch.
    Branch,
}

/// A ref's commit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolved {
    /// Its whole hash.
    pub commit: String,
    /// What the ref is.
    pub kind: RefKind,
}

impl GitHub {
    /// Each token goes to its host and to no other.
    pub fn new(http: Http, hosts: GitHubHosts, tokens: GitHubTokens) -> Self {
        Self { http, hosts, tokens }
    }

    /// Returns the release of a tag, if there is one.
    pub async fn release(
        &self,
        repository: &Repository,
        tag: &GitRef,
    ) -> Result<Option<Release>, FetchError> {
        let url = of_repository(&self.hosts.api, repository, &["releases/tags", tag.as_str()]);
        let answer: Option<ReleaseAnswer> = self.ask(url, &[404]).await?;
        Ok(answer.map(Release::from))
    }

    /// Returns the commit of a ref, if there is such a ref: a commit before a tag before a branch.
    pub async fn resolve(
        &self,
        repository: &Repository,
        reference: &GitRef,
    ) -> Result<Option<Resolved>, FetchError> {
        if reference.may_be_commit()
            && let Some(commit) = self.commit(repository, reference.as_str()).await?
            // Names of tags and branches are answered here too.
            && commit.starts_with(&reference.as_str().to_ascii_lowercase())
        {
            return Ok(Some(Resolved { commit, kind: RefKind::Commit }));
        }
        for (folder, kind) in [("tags", RefKind::Tag), ("heads", RefKind::Branch)] {
            let name = format!("{folder}/{reference}");
            let url = of_repository(&self.hosts.api, repository, &["git/ref", &name]);
            let answer: Option<RefAnswer> = self.ask(url, &[404, 409]).await?;
            let Some(found) = answer.filter(|found| found.name == format!("refs/{name}")) else {
                continue;
            };
            let commit = match found.object.kind.as_str() {
                "commit" => Some(found.object.sha.0),
                // A tag may also stand at a file or a folder, which have no commit.
                _ => self.commit(repository, &name).await?,
            };
            return Ok(commit.map(|commit| Resolved { commit, kind }));
        }
        Ok(None)
    }

    /// Asks for a file as it is at a commit.
    pub fn file(&self, repository: &Repository, commit: &str, path: &str) -> Request {
        let url = below(&self.hosts.raw, &[repository.as_str(), commit, path]);
        let token = self.tokens.raw.as_ref();
        request(url, token, "*/*", FILE_DEADLINE, MAX_FILE_BYTES, !is_page(path))
    }

    /// Asks for a file of a release.
    pub fn asset(&self, repository: &Repository, tag: &GitRef, name: &str) -> Request {
        let parts = [repository.as_str(), "releases/download", tag.as_str(), name];
        let url = below(&self.hosts.web, &parts);
        let token = self.tokens.web.as_ref();
        request(url, token, "*/*", FILE_DEADLINE, MAX_ARCHIVE_BYTES, !is_page(name))
    }

    /// Asks for all files of a commit, as `.tar.gz` with one folder at its top.
    pub fn archive(&self, repository: &Repository, commit: &str) -> Request {
        let url = of_repository(&self.hosts.api, repository, &["tarball", commit]);
        let token = self.tokens.api.as_ref();
        request(url, token, "*/*", FILE_DEADLINE, MAX_ARCHIVE_BYTES, true)
    }

    /// Gets something that may not be there, and that fits into memory; `None` where it is not
    /// there.
    pub async fn get(&self, request: &Request) -> Result<Option<Fetched>, FetchError> {
        let max_bytes = request.max_bytes.min(MAX_MEMORY_BYTES);
        self.get_unless(&Request { max_bytes, ..request.clone() }, &[404]).await
    }

    /// Returns the client, for what is downloaded into a file.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// Returns the commit that a hash, its beginning, `tags/…` or `heads/…` stands for.
    async fn commit(
        &self,
        repository: &Repository,
        name: &str,
    ) -> Result<Option<String>, FetchError> {
        let url = of_repository(&self.hosts.api, repository, &["commits", name]);
        // 409 is an empty repository, 422 something that is no commit.
        let answer: Option<CommitAnswer> = self.ask(url, &[404, 409, 422]).await?;
        Ok(answer.map(|answer| answer.sha.0))
    }

    /// Asks the API; these statuses mean that there is nothing.
    async fn ask<T: DeserializeOwned>(
        &self,
        url: String,
        nothing: &[u16],
    ) -> Result<Option<T>, FetchError> {
        let mut request = request(
            url,
            self.tokens.api.as_ref(),
            "application/vnd.github+json",
            ANSWER_DEADLINE,
            Request::new("").max_bytes as u64,
            true,
        );
        request.headers.insert(
            HeaderName::from_static("x-github-api-version"),
            HeaderValue::from_static("2022-11-28"),
        );
        let Some(fetched) = self.get_unless(&request, nothing).await? else { return Ok(None) };
        let body = match &fetched {
            Fetched::Fresh { body, .. } => body,
            Fetched::NotModified => return Ok(None),
        };
        serde_json::from_slice(body)
            .map(Some)
            .map_err(|cause| FetchError::unusable(&request.url, cause.to_string()))
    }

    async fn get_unless(
        &self,
        request: &Request,
        nothing: &[u16],
    ) -> Result<Option<Fetched>, FetchError> {
        match self.http.get(request).await {
            Err(FetchError::Status { status, .. }) if nothing.contains(&status) => Ok(None),
            other => other.map(Some),
        }
    }
}

fn request(
    url: String,
    token: Option<&Secret>,
    accept: &'static str,
    deadline: Duration,
    max_bytes: u64,
    refuses_pages: bool,
) -> Request {
    let mut request = Request::new(url);
    request.headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    if let Some(token) = token {
        request.headers.insert(header::AUTHORIZATION, bearer(token));
    }
    request.deadline = deadline;
    request.max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    request.refuses_pages = refuses_pages;
    request.token_variable = Some(TOKEN_VARIABLE);
    request
}

/// Returns whether a web page is what a file of this name is.
fn is_page(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    ["html", "htm", "xhtml"].iter().any(|page| ending.eq_ignore_ascii_case(page))
}
