//! GitHub, GitHub Enterprise, and what answers as they do: releases, refs, files and archives.

use crate::{FetchError, Fetched, Http, Request};
use callsheet_types::{Digest, GitRef, Repository, Secret};

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
    token: Option<Secret>,
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
    /// The token goes to these hosts and to no other.
    pub fn new(http: Http, hosts: GitHubHosts, token: Option<Secret>) -> Self {
        Self { http, hosts, token }
    }

    /// Returns the release of a tag, if there is one.
    pub async fn release(
        &self,
        repository: &Repository,
        tag: &GitRef,
    ) -> Result<Option<Release>, FetchError> {
        let _ = (repository, tag, &self.hosts, &self.token);
        Ok(None)
    }

    /// Returns the commit of a ref, if there is such a ref: a commit before a tag before a branch.
    pub async fn resolve(
        &self,
        repository: &Repository,
        reference: &GitRef,
    ) -> Result<Option<Resolved>, FetchError> {
        let _ = (repository, reference);
        Ok(None)
    }

    /// Asks for a file as it is at a commit.
    pub fn file(&self, repository: &Repository, commit: &str, path: &str) -> Request {
        let _ = (repository, commit, path);
        Request::new("")
    }

    /// Asks for a file of a release.
    pub fn asset(&self, repository: &Repository, tag: &GitRef, name: &str) -> Request {
        let _ = (repository, tag, name);
        Request::new("")
    }

    /// Asks for all files of a commit, as `.tar.gz` with one folder at its top.
    pub fn archive(&self, repository: &Repository, commit: &str) -> Request {
        let _ = (repository, commit);
        Request::new("")
    }

    /// Gets something that may not be there; `None` where it is not.
    pub async fn get(&self, request: &Request) -> Result<Option<Fetched>, FetchError> {
        self.http.get(request).await.map(Some)
    }
}
