//! What the stand-in itself promises.

mod archives;
mod faults;
mod proxy;

use std::io::Read as _;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::{Reply, client};

async fn ask(url: &str, headers: &[(&str, &str)]) -> std::io::Result<Reply> {
    let rest = url.strip_prefix("http://").expect("an address of ours");
    let (address, path) = rest.split_once('/').expect("a path");
    let path = format!("/{path}");
    let answer = client::request(address.parse().unwrap(), "GET", &path, headers, b"");
    within("an answer", answer).await
}

async fn get(url: &str) -> Reply {
    ask(url, &[]).await.unwrap()
}

async fn get_with(url: &str, headers: &[(&str, &str)]) -> Reply {
    ask(url, headers).await.unwrap()
}

/// Follows redirects with the same headers, as a careless client does.
async fn follow(url: &str, headers: &[(&str, &str)]) -> Reply {
    let mut reply = get_with(url, headers).await;
    while reply.status == 302 {
        reply = get_with(reply.header("location").unwrap(), headers).await;
    }
    reply
}

async fn hub_with_files() -> (FakeGitHub, FakeRepository, String) {
    let hub = FakeGitHub::start().await;
    let repo = hub.repository("Owner/repo");
    let commit = repo.commit([("mf6/a/mfsim.nam", "begin"), ("mf6/a/sub/x y.dis", "0123456789")]);
    repo.branch("develop", &commit);
    (hub, repo, commit)
}

#[tokio::test]
async fn files_are_found_by_every_name_of_their_commit() {
    let (hub, repo, commit) = hub_with_files().await;
    repo.branch("feature/x", &commit);
    repo.tag("v1/rc", &commit);
    let raw = format!("{}/owner/REPO", hub.raw_url());
    for name in [
        &*commit,
        "develop",
        "feature/x",
        "refs/heads/feature/x",
        "heads/develop",
        "v1/rc",
        "refs/tags/v1/rc",
        &commit[..7],
    ] {
        let reply = get(&format!("{raw}/{name}/mf6/a/sub/x%20y.dis")).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "0123456789"), "{name}");
    }
    for path in ["develop/mf6/a", "develop/none", "none/mf6/a/mfsim.nam", "develop", ""] {
        let reply = get(&format!("{raw}/{path}")).await;
        assert_eq!((reply.status, reply.text().as_str()), (404, "404: Not Found"), "{path}");
    }
    assert_eq!(hub.count(GitHubHost::Raw, "/owner/REPO/"), 13);
    assert_eq!(hub.count(GitHubHost::Raw, "/owner/REPO/develop/mf6/a/sub/x y.dis"), 1);
    assert_eq!((hub.count(GitHubHost::Api, ""), hub.count(None, "")), (0, 13));
    assert_eq!(hub.connections_to(GitHubHost::Raw), 13);
}

#[tokio::test]
async fn files_have_tags_and_parts() {
    let (hub, repo, _) = hub_with_files().await;
    let url = format!("{}/Owner/repo/develop/mf6/a/sub/x%20y.dis", hub.raw_url());
    let tag = get(&url).await.header("etag").unwrap().to_owned();
    let known = get_with(&url, &[("If-None-Match", &tag)]).await;
    assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, Some(&*tag)));
    let part = get_with(&url, &[("Range", "bytes=7-"), ("If-Range", &tag)]).await;
    assert_eq!((part.status, part.text().as_str()), (206, "789"));
    assert_eq!(part.header("content-range"), Some("bytes 7-9/10"));
    let beyond = get_with(&url, &[("Range", "bytes=10-")]).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */10")));
    hub.set_ranges(GitHubHost::Raw, false);
    assert_eq!(get_with(&url, &[("Range", "bytes=7-")]).await.status, 200);
    hub.set_ranges(GitHubHost::Raw, true);
    let next = repo.commit([("mf6/a/sub/x y.dis", "other")]);
    repo.branch("develop", &next);
    let headers = [("If-None-Match", &*tag), ("Range", "bytes=3-"), ("If-Range", &*tag)];
    let changed = get_with(&url, &headers).await;
    assert_eq!((changed.status, changed.text().as_str()), (200, "other"));
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let (hub, _, _) = hub_with_files().await;
    let mut stream = TcpStream::connect(&hub.raw_url()["http://".len()..]).await.unwrap();
    for _ in 0..3 {
        let head = "GET /Owner/repo/develop/mf6/a/mfsim.nam HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nbegin") {
            assert_ne!(within("bytes", stream.read_buf(&mut answer)).await.unwrap(), 0);
        }
    }
    assert_eq!((hub.request_count(), hub.connections()), (3, 1));
    hub.forget_requests();
    assert_eq!((hub.request_count(), hub.connections()), (0, 0));
}

#[tokio::test]
async fn commits_are_resolved_as_git_does() {
    let (hub, repo, first) = hub_with_files().await;
    let second = repo.commit([("a", "b")]);
    repo.branch("feature/x", &second);
    repo.annotated_tag("v1", &first);
    repo.tag("both", &first);
    repo.branch("both", &second);
    let api = format!("{}/repos/Owner/repo", hub.api_url());
    for (name, expected) in [
        (&*first, &first),
        (&first[..4], &first),
        ("develop", &first),
        ("feature/x", &second),
        ("feature%2Fx", &second),
        ("heads/feature/x", &second),
        ("v1", &first),
        ("tags/v1", &first),
        ("both", &first),
        ("heads/both", &second),
    ] {
        let reply = get(&format!("{api}/commits/{name}")).await;
        assert_eq!((reply.status, &reply.json()["sha"]), (200, &json!(expected)), "{name}");
    }
    let accept = [("Accept", "application/vnd.github.sha")];
    let text = get_with(&format!("{api}/commits/develop"), &accept).await;
    assert_eq!(text.text(), first);
    let tag = text.header("etag").unwrap();
    let headers = [accept[0], ("If-None-Match", tag)];
    assert_eq!(get_with(&format!("{api}/commits/develop"), &headers).await.status, 304);
    for name in ["abc1230", "nothing", "heads/nothing"] {
        assert_eq!(get(&format!("{api}/commits/{name}")).await.status, 422, "{name}");
    }
    hub.repository("Owner/empty");
    for path in ["empty/commits/main", "empty/git/ref/heads/main"] {
        let url = format!("{}/repos/Owner/{path}", hub.api_url());
        assert_eq!(get(&url).await.status, 409, "{path}");
    }

    let object = |path: &str| {
        let url = format!("{api}/git/ref/{path}");
        async move {
            let reply = get(&url).await;
            (reply.status, reply.json()["object"]["type"].clone(), reply.json())
        }
    };
    let (status, kind, branch) = object("heads/feature/x").await;
    assert_eq!((status, kind, &branch["object"]["sha"]), (200, json!("commit"), &json!(second)));
    assert_eq!(branch["ref"], "refs/heads/feature/x");
    let (status, kind, tag) = object("tags/v1").await;
    assert_eq!((status, kind), (200, json!("tag")));
    assert_ne!(tag["object"]["sha"], json!(first));
    assert_eq!(object("tags/both").await.1, "commit");
    for path in ["heads/feature", "heads/v1", "tags/develop"] {
        assert_eq!(object(path).await.0, 404, "{path}");
    }
    assert!(hub.unexpected().is_empty());
    for path in ["/repos/Owner/repo/branches/develop", "/repos/Owner/repo", "/user", "/"] {
        assert_eq!(get(&format!("{}{path}", hub.api_url())).await.status, 404);
        assert_eq!(hub.unexpected().pop().unwrap().path, path);
    }
}

#[tokio::test]
async fn releases_lead_to_their_assets() {
    let (hub, repo, commit) = hub_with_files().await;
    repo.release("v/1", [("models.toml", "first"), ("a b.zip", "zipped")]);
    let api = format!("{}/repos/Owner/repo/releases/tags/v/1", hub.api_url());
    let release = get(&api).await.json();
    let asset = &release["assets"][1];
    assert_eq!((&release["tag_name"], &asset["name"]), (&json!("v/1"), &json!("models.toml")));
    assert_eq!(asset["digest"], format!("sha256:{}", tree::sha256(b"first")));
    assert_eq!(asset["size"], 5);
    let url = asset["browser_download_url"].as_str().unwrap();
    assert_eq!(url, format!("{}/Owner/repo/releases/download/v/1/models.toml", hub.web_url()));
    let redirect = get(url).await;
    let to = redirect.header("location").unwrap().to_owned();
    assert!(redirect.status == 302 && to.starts_with(&hub.url(GitHubHost::Objects)), "{to}");
    assert_eq!(get(&to).await.text(), "first");
    assert_eq!(get(to.split_once('?').unwrap().0).await.status, 403);
    assert_eq!(get_with(&to, &[("Range", "bytes=1-2")]).await.text(), "ir");
    let spaced = release["assets"][0]["browser_download_url"].as_str().unwrap();
    assert_eq!(follow(spaced, &[]).await.text(), "zipped");
    // A release has a tag.
    let tagged = get(&format!("{}/repos/Owner/repo/commits/v/1", hub.api_url())).await;
    assert_eq!(tagged.json()["sha"], json!(commit));

    repo.asset("v/1", "models.toml", "second");
    hub.set_digests(false);
    let replaced = get(&api).await.json()["assets"][1].clone();
    assert_eq!(replaced.get("digest"), None);
    assert_ne!(replaced["id"], asset["id"]);
    assert_ne!(replaced["updated_at"], asset["updated_at"]);
    assert_eq!(follow(url, &[]).await.text(), "second");
    assert_eq!(get(&to).await.status, 404);
    repo.delete_asset("v/1", "models.toml");
    assert_eq!(get(url).await.status, 404);
    repo.release("v/1", [("x", "y")]);
    assert_ne!(get(&api).await.json()["id"], release["id"]);
    repo.delete_release("v/1");
    assert_eq!(get(&api).await.status, 404);
}

#[tokio::test]
async fn a_private_repository_is_not_there_without_its_token() {
    let (hub, repo, commit) = hub_with_files().await;
    repo.release("v1", [("x", "asset")]);
    repo.set_private("s3cret");
    let urls = [
        format!("{}/Owner/repo/develop/mf6/a/mfsim.nam", hub.raw_url()),
        format!("{}/Owner/repo/releases/download/v1/x", hub.web_url()),
        format!("{}/repos/Owner/repo/commits/develop", hub.api_url()),
        format!("{}/repos/Owner/repo/tarball/develop", hub.api_url()),
    ];
    for url in &urls {
        assert_eq!(get(url).await.status, 404, "{url}");
        for header in ["Bearer wrong", "Basic s3cret", "s3cret"] {
            let reply = get_with(url, &[("Authorization", header)]).await;
            assert_eq!(reply.status, 404, "{url} {header}");
        }
        for header in ["Bearer s3cret", "token s3cret"] {
            let reply = get_with(url, &[("Authorization", header)]).await;
            assert!(matches!(reply.status, 200 | 302), "{url} {header}: {}", reply.status);
            // Where a redirect leads needs no token any more.
            if let Some(to) = reply.header("location") {
                assert_eq!(get(to).await.status, 200, "{to}");
            }
        }
    }
    assert!(hub.authorizations(GitHubHost::Raw).contains("Bearer s3cret"));
    assert!(hub.authorizations(GitHubHost::Objects).is_empty());
    follow(&urls[1], &[("Authorization", "token s3cret")]).await;
    assert_eq!(hub.authorizations(GitHubHost::Objects), ["token s3cret".to_owned()].into());
    let codeload = format!("{}/Owner/repo/legacy.zip/{commit}", hub.url(GitHubHost::Codeload));
    assert_eq!(get(&codeload).await.status, 404);
    repo.set_public();
    assert_eq!(get(&urls[0]).await.status, 200);
}

#[tokio::test]
async fn the_real_web_host_knows_no_tokens() {
    let (hub, repo, _) = hub_with_files().await;
    repo.release("v1", [("x", "asset")]);
    repo.set_private("s3cret");
    hub.set_web_takes_tokens(false);
    let token = ("Authorization", "Bearer s3cret");
    let web = format!("{}/Owner/repo/releases/download/v1/x", hub.web_url());
    assert_eq!(get_with(&web, &[token]).await.status, 404);
    let release = format!("{}/repos/Owner/repo/releases/tags/v1", hub.api_url());
    let release = get_with(&release, &[token]).await.json();
    let url = release["assets"][0]["url"].as_str().unwrap();
    assert_eq!(get_with(url, &[token]).await.json(), release["assets"][0]);
    let binary = ("Accept", "application/octet-stream");
    assert_eq!(get_with(url, &[binary]).await.status, 404);
    assert_eq!(follow(url, &[token, binary]).await.text(), "asset");
    assert!(hub.unexpected().is_empty());
    hub.set_web_takes_tokens(true);
    get_with(url, &[token]).await;
    assert_eq!(hub.unexpected().len(), 1);
    get(&format!("{}/Owner/repo", hub.web_url())).await;
    assert_eq!(hub.unexpected().len(), 2);
}

#[tokio::test]
async fn files_are_packed_for_whoever_accepts_that() {
    let (hub, _, _) = hub_with_files().await;
    hub.set_compression(true);
    let url = format!("{}/Owner/repo/develop/mf6/a/mfsim.nam", hub.raw_url());
    let plain = get_with(&url, &[("Accept-Encoding", "identity")]).await;
    assert_eq!((plain.text().as_str(), plain.header("content-encoding")), ("begin", None));
    let packed = get_with(&url, &[("Accept-Encoding", "br, gzip")]).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, "begin");
    let tag = packed.header("etag").unwrap();
    assert!(tag.starts_with("W/") && plain.header("etag") != Some(tag), "{tag}");
    let known = [("Accept-Encoding", "gzip"), ("If-None-Match", tag)];
    assert_eq!(get_with(&url, &known).await.status, 304);
}

#[tokio::test]
async fn whoever_asks_for_the_head_gets_no_body() {
    let (hub, _, _) = hub_with_files().await;
    let address = hub.raw_url()["http://".len()..].parse().unwrap();
    let path = "/Owner/repo/develop/mf6/a/mfsim.nam";
    let reply = client::request(address, "HEAD", path, &[], b"").await.unwrap();
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("5")));
    assert!(reply.body.is_empty() && hub.unexpected().is_empty());
    let reply = client::request(address, "POST", path, &[], b"").await.unwrap();
    assert_eq!((reply.status, hub.unexpected().len()), (405, 1));
}

#[tokio::test]
async fn it_stops_and_comes_back() {
    let (hub, _, _) = hub_with_files().await;
    let url = format!("{}/Owner/repo/develop/mf6/a/mfsim.nam", hub.raw_url());
    hub.stop().await;
    assert!(ask(&url, &[]).await.is_err());
    hub.restart().await;
    assert_eq!(get(&url).await.status, 200);
}
