//! Which answer a well-behaved GitHub gives, on each of its hosts.

use serde_json::{Value, json};

use super::answer::{Answer, Body};
use super::archive::ArchiveKind;
use super::host::{Door, GitHubHost};
use super::repository::{Asset, Release, Repository};
use super::tree::sha256;
use super::{GitHubRequest, State};

/// Who asks, through which door.
struct Caller<'a> {
    door: Door,
    /// The token without its scheme.
    token: Option<&'a str>,
    accept: &'a str,
    accept_encoding: &'a str,
    /// Came by an address that carries its own right.
    is_trusted: bool,
}

/// Answers a request; false beside the answer when nothing of the kind should ever be asked.
pub(super) fn route(state: &State, door: Door, request: &GitHubRequest) -> (Answer, bool) {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let mut caller = Caller {
        door,
        token: request.header("authorization").and_then(token),
        accept: request.header("accept").unwrap_or_default(),
        accept_encoding: request.header("accept-encoding").unwrap_or_default(),
        is_trusted: false,
    };
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return (Answer::text(405, "405: Method Not Allowed"), false);
    }
    let (host, path) = match request.host {
        GitHubHost::Elsewhere => {
            caller.is_trusted = true;
            elsewhere(path)
        }
        host => (host, path),
    };
    let path = decode(path);
    let answer = match host {
        GitHubHost::Web => web(state, &caller, &path),
        GitHubHost::Raw => raw(state, &caller, &path),
        GitHubHost::Api => return api(state, &caller, &path),
        GitHubHost::Codeload => codeload(state, &caller, &path, query),
        GitHubHost::Objects => object(state, &path, query),
        GitHubHost::Elsewhere => None,
    };
    let is_expected = answer.is_some()
        || match host {
            GitHubHost::Elsewhere => false,
            GitHubHost::Web => path.contains("/releases/download/"),
            _ => true,
        };
    let not_found = || match host {
        GitHubHost::Web => Answer::html(404, "Page not found · GitHub"),
        _ => Answer::text(404, "404: Not Found"),
    };
    (answer.unwrap_or_else(not_found), is_expected)
}

/// Another host than GitHub's has all that GitHub has, below the name of the host that has it.
fn elsewhere(path: &str) -> (GitHubHost, &str) {
    let path = path.strip_prefix('/').unwrap_or(path);
    let end = path.find('/').unwrap_or(path.len());
    let host = GitHubHost::of_name(&path[..end]).unwrap_or(GitHubHost::Elsewhere);
    (host, &path[end..])
}

/// Release assets: a redirect to where they are kept.
fn web(state: &State, caller: &Caller<'_>, path: &str) -> Option<Answer> {
    let token = caller.token.filter(|_| state.web_takes_tokens);
    let (repository, rest) = visible(state, &Caller { token, ..*caller }, path)?;
    let (tag, name) = rest.strip_prefix("releases/download/")?.rsplit_once('/')?;
    let asset = repository.releases.get(tag)?.assets.get(name)?;
    Some(to_object(caller, name, asset))
}

/// Leads to where an asset is kept; the address carries the right to read it.
fn to_object(caller: &Caller<'_>, name: &str, asset: &Asset) -> Answer {
    let url = caller.door.url(GitHubHost::Objects);
    let path = object_path(asset);
    let signature = signature(&path);
    Answer::redirect(&format!(
        "{url}{path}?sp=r&sv=2018-11-09&sr=b&se=2026-12-31T23%3A59%3A59Z&sig={signature}&rscd=attachment%3B+filename%3D{}",
        encode(name)
    ))
}

fn object(state: &State, path: &str, query: &str) -> Option<Answer> {
    let signature = signature(path);
    if !query.split('&').any(|pair| pair.strip_prefix("sig=") == Some(&signature)) {
        let refused = "<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code></Error>";
        return Some(Answer::new(403, "application/xml", refused));
    }
    let asset = state
        .repositories
        .values()
        .flat_map(|repository| repository.releases.values())
        .flat_map(|release| release.assets.values())
        .find(|asset| object_path(asset) == path)?;
    let mut answer = Answer::new(200, "application/octet-stream", asset.content.clone())
        .with("Content-Disposition", "attachment")
        .tagged(&asset.digest[..32]);
    answer.has_ranges = state.has_ranges(GitHubHost::Objects);
    Some(answer)
}

fn object_path(asset: &Asset) -> String {
    format!("/github-production-release-asset/{}/{}", asset.id, &asset.digest[..16])
}

fn signature(path: &str) -> String {
    sha256(format!("signed {path}").as_bytes())[..43].to_owned()
}

/// Files. Where a ref ends and a path begins is found by trying, as refs may hold slashes.
fn raw(state: &State, caller: &Caller<'_>, path: &str) -> Option<Answer> {
    let (repository, rest) = visible(state, caller, path)?;
    let entry = rest.match_indices('/').find_map(|(end, _)| {
        let commit = repository.resolve(&rest[..end])?;
        commit.tree.entries.get(&rest[end + 1..])
    })?;
    let mut answer = Answer::new(200, "text/plain; charset=utf-8", entry.content.clone())
        .with("Cache-Control", "max-age=300")
        .tagged(&entry.digest);
    answer.has_ranges = state.has_ranges(GitHubHost::Raw);
    if state.compresses_files && caller.accept_encoding.contains("gzip") {
        answer = answer.compressed();
    }
    Some(answer)
}

fn codeload(state: &State, caller: &Caller<'_>, path: &str, query: &str) -> Option<Answer> {
    let by_query = query.split('&').find_map(|pair| pair.strip_prefix("token="));
    let token = by_query.or(caller.token);
    let caller = Caller { token, ..*caller };
    let (repository, rest) = visible(state, &caller, path)?;
    let (kind, name) = rest.split_once('/')?;
    let (kind, content_type) = match kind {
        "legacy.zip" => (ArchiveKind::Zip, "application/zip"),
        "legacy.tar.gz" => (ArchiveKind::TarGz, "application/x-gzip"),
        _ => return None,
    };
    let commit = repository.resolve(name)?;
    let top = repository.top(commit);
    let extension = rest.split_once('/')?.0.strip_prefix("legacy.")?;
    let mut answer = Answer::new(200, content_type, "")
        .with("Content-Disposition", &format!("attachment; filename={top}.{extension}"))
        .tagged(&commit.archive_etag(kind));
    answer.body = Body::Archive(commit.clone(), kind, top);
    answer.has_ranges = state.has_ranges(GitHubHost::Codeload);
    // What is packed while it is sent has no length yet, and might be packed otherwise next time.
    answer.is_chunked = !answer.has_ranges;
    answer.is_weak = !answer.has_ranges;
    Some(answer)
}

fn api(state: &State, caller: &Caller<'_>, path: &str) -> (Answer, bool) {
    let not_found = || problem(404, "Not Found");
    let rest = path.strip_prefix("/repos").unwrap_or_default();
    let Some((_, question)) = split(rest) else { return (not_found(), false) };
    let Some(question) = Question::read(question) else { return (not_found(), false) };
    let is_expected = !matches!(question, Question::Asset(_)) || !state.web_takes_tokens;
    let answer = visible(state, caller, rest)
        .and_then(|(repository, _)| question.answer(state, caller, repository));
    (answer.unwrap_or_else(not_found), is_expected)
}

fn problem(status: u16, message: &str) -> Answer {
    let body = json!({
        "message": message, "documentation_url": "https://docs.github.com/rest",
        "status": status.to_string(),
    });
    Answer::json(status, &body)
}

/// What may be asked of the API.
enum Question<'a> {
    Release(&'a str),
    Asset(&'a str),
    Commit(&'a str),
    Branch(&'a str),
    Tag(&'a str),
    Archive(ArchiveKind, &'a str),
}

impl<'a> Question<'a> {
    fn read(path: &'a str) -> Option<Self> {
        let after = |prefix| path.strip_prefix(prefix).filter(|name: &&str| !name.is_empty());
        let archive = |kind| move |name| Self::Archive(kind, name);
        after("releases/tags/")
            .map(Self::Release)
            .or_else(|| after("releases/assets/").map(Self::Asset))
            .or_else(|| after("commits/").map(Self::Commit))
            .or_else(|| after("git/ref/heads/").map(Self::Branch))
            .or_else(|| after("git/ref/tags/").map(Self::Tag))
            .or_else(|| after("zipball/").map(archive(ArchiveKind::Zip)))
            .or_else(|| after("tarball/").map(archive(ArchiveKind::TarGz)))
    }

    fn answer(
        &self,
        state: &State,
        caller: &Caller<'_>,
        repository: &Repository,
    ) -> Option<Answer> {
        let api = format!("{}/repos/{}", caller.door.url(GitHubHost::Api), repository.name);
        let reference = |path: String, kind: &str, id: &str| {
            tagged_json(&json!({
                "ref": path, "node_id": "REF_stand_in", "url": format!("{api}/git/{path}"),
                "object": {"type": kind, "sha": id, "url": format!("{api}/git/{kind}s/{id}")},
            }))
        };
        let asks_for_ref = matches!(self, Self::Commit(_) | Self::Branch(_) | Self::Tag(_));
        if asks_for_ref && repository.is_empty() {
            return Some(problem(409, "Git Repository is empty."));
        }
        match self {
            Self::Release(tag) => {
                let release = repository.releases.get(*tag)?;
                Some(tagged_json(&release_json(state, caller, repository, tag, release)))
            }
            Self::Asset(id) => {
                let assets = repository.releases.iter().flat_map(|(tag, release)| {
                    release.assets.iter().map(move |(name, asset)| (tag, name, asset))
                });
                let id: u64 = id.parse().ok()?;
                let (tag, name, asset) = assets.into_iter().find(|(.., asset)| asset.id == id)?;
                Some(if caller.accept.contains("application/octet-stream") {
                    to_object(caller, name, asset)
                } else {
                    tagged_json(&asset_json(state, caller, repository, tag, name, asset))
                })
            }
            Self::Commit(name) => {
                let Some(commit) = repository.resolve(name) else {
                    return Some(problem(422, &format!("No commit found for SHA: {name}")));
                };
                if caller.accept.contains("github.sha") || caller.accept.contains("v3.sha") {
                    let kind = "application/vnd.github.sha; charset=utf-8";
                    return Some(Answer::new(200, kind, commit.id.clone()).tagged(&commit.id));
                }
                Some(tagged_json(&json!({
                    "sha": commit.id, "node_id": "C_stand_in", "url": format!("{api}/commits/{}", commit.id),
                    "commit": {"message": "a commit", "tree": {"sha": commit.id}},
                    "parents": [], "files": [],
                })))
            }
            Self::Branch(name) => {
                let commit = repository.branches.get(*name)?;
                Some(reference(format!("refs/heads/{name}"), "commit", commit))
            }
            Self::Tag(name) => {
                let tag = repository.tags.get(*name)?;
                let path = format!("refs/tags/{name}");
                Some(match &tag.object {
                    Some(object) => reference(path, "tag", object),
                    None => reference(path, "commit", &tag.commit),
                })
            }
            Self::Archive(kind, name) => {
                let commit = repository.resolve(name)?;
                let name = if commit.id == *name || repository.is_path(name) {
                    (*name).to_owned()
                } else if repository.tags.contains_key(*name) {
                    format!("refs/tags/{name}")
                } else if repository.branches.contains_key(*name) {
                    format!("refs/heads/{name}")
                } else {
                    commit.id.clone()
                };
                let kind = match kind {
                    ArchiveKind::Zip => "legacy.zip",
                    ArchiveKind::TarGz => "legacy.tar.gz",
                };
                let codeload = caller.door.url(GitHubHost::Codeload);
                let token = repository.token.as_ref().map(|token| format!("?token={token}"));
                Some(Answer::redirect(&format!(
                    "{codeload}/{}/{kind}/{}{}",
                    repository.name,
                    encode(&name),
                    token.unwrap_or_default()
                )))
            }
        }
    }
}

fn release_json(
    state: &State,
    caller: &Caller<'_>,
    repository: &Repository,
    tag: &str,
    release: &Release,
) -> Value {
    let assets: Vec<_> = release
        .assets
        .iter()
        .map(|(name, asset)| asset_json(state, caller, repository, tag, name, asset))
        .collect();
    let web = caller.door.url(GitHubHost::Web);
    json!({
        "id": release.id, "tag_name": tag, "name": tag, "draft": false, "prerelease": false,
        "html_url": format!("{web}/{}/releases/tag/{}", repository.name, encode(tag)),
        "assets": assets,
    })
}

fn asset_json(
    state: &State,
    caller: &Caller<'_>,
    repository: &Repository,
    tag: &str,
    name: &str,
    asset: &Asset,
) -> Value {
    let web = format!("{}/{}", caller.door.url(GitHubHost::Web), repository.name);
    let api = format!("{}/repos/{}", caller.door.url(GitHubHost::Api), repository.name);
    let mut value = json!({
        "id": asset.id, "name": name, "state": "uploaded", "size": asset.content.len(),
        "content_type": "application/octet-stream", "updated_at": asset.updated_at,
        "url": format!("{api}/releases/assets/{}", asset.id),
        "browser_download_url": format!("{web}/releases/download/{}/{}", encode(tag), encode(name)),
    });
    if state.has_digests {
        value["digest"] = json!(format!("sha256:{}", asset.digest));
    }
    value
}

fn tagged_json(value: &Value) -> Answer {
    let answer = Answer::json(200, value);
    answer.tagged(&sha256(value.to_string().as_bytes()))
}

/// Finds the repository of `/owner/name/rest`, unless this caller may not see it.
fn visible<'s, 'p>(
    state: &'s State,
    caller: &Caller<'_>,
    path: &'p str,
) -> Option<(&'s Repository, &'p str)> {
    let (name, rest) = split(path)?;
    let repository = state.repositories.get(&name.to_ascii_lowercase())?;
    let may_see = match &repository.token {
        None => true,
        Some(token) => caller.is_trusted || caller.token == Some(token),
    };
    may_see.then_some((repository, rest))
}

/// Splits `/owner/name/rest` into `owner/name` and `rest`.
fn split(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix('/')?;
    let (end, _) = path.match_indices('/').nth(1)?;
    Some((&path[..end], &path[end + 1..]))
}

/// Returns the token of an `Authorization` header.
fn token(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let is_known = ["bearer", "token"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    is_known.then(|| token.trim())
}

/// Undoes percent-encoding; what is none stays.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Percent-encodes what cannot stand in a path; slashes can.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
