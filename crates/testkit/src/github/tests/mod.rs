//! What the stand-in itself promises.

mod proxy;

use std::io::{Cursor, Read as _};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::{Gate, Reply, client};

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
    assert_eq!(get(&format!("{api}/commits/abc1230")).await.status, 422);
    assert_eq!(get(&format!("{api}/commits/nothing")).await.status, 404);

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
async fn archives_hold_one_folder() {
    let hub = FakeGitHub::start().await;
    let repo = hub.repository("o/r");
    let long = format!("{}/x", "long/".repeat(60));
    let tree = FakeTree::new()
        .file("a/b.txt", "text")
        .executable("run.sh", "#!")
        .symlink("a/link", "b.txt")
        .file(&long, "deep");
    let commit = repo.commit_tree(tree);
    repo.branch("feature/x", &commit);
    let top = format!("o-r-{}", &commit[..7]);
    let api = format!("{}/repos/o/r", hub.api_url());

    let redirect = get(&format!("{api}/tarball/feature/x")).await;
    let to = redirect.header("location").unwrap();
    let codeload = hub.url(GitHubHost::Codeload);
    assert_eq!(to, format!("{codeload}/o/r/legacy.tar.gz/refs/heads/feature/x"));
    let reply = get(to).await;
    assert_eq!(reply.header("content-length"), None);
    let mut seen = BTreeMap::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&reply.body[..]));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        if let Some(target) = entry.link_name().unwrap() {
            text = target.to_string_lossy().into_owned();
        }
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        seen.insert(path, (entry.header().entry_type(), text));
    }
    let (kind, comment) = seen.remove("pax_global_header").unwrap();
    assert_eq!(kind, tar::EntryType::XGlobalHeader);
    assert_eq!(comment, format!("52 comment={commit}\n"));
    assert!(seen.keys().all(|path| path.starts_with(&format!("{top}/"))), "{:?}", seen.keys());
    let files: Vec<_> = seen.iter().filter(|(_, (kind, _))| !kind.is_dir()).collect();
    assert_eq!(files.len(), 4);
    let file = |path: &str| seen[&format!("{top}/{path}")].clone();
    assert_eq!(file("a/link"), (tar::EntryType::Symlink, "b.txt".to_owned()));
    assert_eq!(file(&long), (tar::EntryType::Regular, "deep".to_owned()));

    let reply = follow(&format!("{api}/zipball/{commit}"), &[]).await;
    let mut zip = zip::ZipArchive::new(Cursor::new(reply.body)).unwrap();
    assert_eq!(zip.comment(), commit.as_bytes());
    assert!(zip.file_names().all(|path| path.unwrap().starts_with(&format!("{top}/"))));
    assert!(zip.by_name(&format!("{top}/a/link")).unwrap().is_symlink());
    let mut text = String::new();
    let mut file = zip.by_name(&format!("{top}/a/b.txt")).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "text");

    assert_eq!(get(&format!("{api}/zipball/nothing")).await.status, 404);
    hub.set_ranges(GitHubHost::Codeload, true);
    let whole = repo.archive(&commit, ArchiveKind::Zip);
    let reply = get(&format!("{codeload}/o/r/legacy.zip/{commit}")).await;
    assert_eq!(reply.header("content-length"), Some(&*whole.len().to_string()));
    let before = reply.header("etag").unwrap().to_owned();
    repo.set_archive(&commit, ArchiveKind::Zip, "no archive");
    let part = [("Range", "bytes=3-")];
    let reply = get_with(&format!("{codeload}/o/r/legacy.zip/{commit}"), &part).await;
    assert_eq!((reply.status, reply.text().as_str()), (206, "archive"));
    assert_ne!(reply.header("etag"), Some(&*before));
}

#[tokio::test]
async fn a_real_folder_becomes_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for name in ["sub/deeper", ".git"] {
        std::fs::create_dir_all(path.join(name)).unwrap();
    }
    for name in ["top", "sub/deeper/x", ".git/config"] {
        std::fs::write(path.join(name), name).unwrap();
    }
    let hub = FakeGitHub::start().await;
    let repo = hub.repository("o/r");
    let commit = repo.commit_from_dir("mf6", path);
    assert_eq!(repo.tree(&commit).paths(), ["mf6/sub/deeper/x", "mf6/top"]);
    let next = repo.commit_tree(repo.tree(&commit).without("mf6/sub").file("mf6/top", "new"));
    assert_eq!(repo.tree(&next).paths(), ["mf6/top"]);
    assert_eq!(repo.tree(&commit).content("mf6/top").unwrap(), "top");
    // Ids follow from what is committed.
    let again = FakeGitHub::start().await.repository("other/name");
    assert_eq!(again.commit_from_dir("mf6", path), commit);
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
async fn faults_meet_whom_they_are_for() {
    let (hub, _, _) = hub_with_files().await;
    let url = format!("{}/Owner/repo/develop/mf6/a/sub/x%20y.dis", hub.raw_url());
    let other = format!("{}/Owner/repo/develop/mf6/a/mfsim.nam", hub.raw_url());
    let prefix = "/Owner/repo/develop/mf6/a/sub/x y";
    hub.fault_next(1, GitHubHost::Raw, prefix, GitHubFault::too_many_requests(7));
    hub.fault_next(1, None, prefix, GitHubFault::status(500));
    hub.fault_next(1, GitHubHost::Web, "", GitHubFault::status(500));
    assert_eq!(get(&other).await.status, 200);
    let refused = get(&url).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("7")));
    assert_eq!(get(&url).await.status, 500);
    assert_eq!(get(&url).await.status, 200);
    hub.fault_after(2, GitHubHost::Raw, "", GitHubFault::status(503));
    for status in [200, 200, 503, 503] {
        assert_eq!(get(&url).await.status, status);
    }
    hub.heal();
    assert_eq!(get(&url).await.status, 200);
    hub.fault_next(1, GitHubHost::Api, "/repos/", GitHubFault::rate_limited(12));
    let limited = get(&format!("{}/repos/Owner/repo/commits/develop", hub.api_url())).await;
    assert_eq!((limited.status, limited.header("x-ratelimit-remaining")), (403, Some("0")));
    assert_eq!(limited.header("x-ratelimit-reset"), Some("12"));
}

#[tokio::test]
async fn bodies_break_off_change_or_never_end() {
    let (hub, repo, commit) = hub_with_files().await;
    let url = format!("{}/Owner/repo/develop/mf6/a/sub/x%20y.dis", hub.raw_url());
    let next = |fault| hub.fault_next(1, None, "", fault);
    let tag = get(&url).await.header("etag").unwrap().to_owned();

    next(GitHubFault::Truncated { after_bytes: 4 });
    let error = ask(&url, &[]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    next(GitHubFault::Truncated { after_bytes: 9 });
    let archive = format!("{}/Owner/repo/legacy.zip/{commit}", hub.url(GitHubHost::Codeload));
    assert!(ask(&archive, &[]).await.is_err());
    next(GitHubFault::Closed);
    assert!(ask(&url, &[]).await.is_err());

    next(GitHubFault::FlippedByte { at: 3 });
    let spoilt = get(&url).await;
    assert_eq!((spoilt.text().as_str(), spoilt.header("etag")), ("0122456789", Some(&*tag)));
    next(GitHubFault::FlippedByte { at: 8 });
    assert_eq!(get_with(&url, &[("Range", "bytes=7-")]).await.text(), "799");
    next(GitHubFault::FlippedByte { at: usize::MAX });
    let spoilt = follow(&archive, &[]).await.body;
    let good = repo.archive(&commit, ArchiveKind::Zip);
    assert_eq!(spoilt.iter().zip(&good).filter(|(a, b)| a != b).count(), 1);

    next(GitHubFault::Html);
    let page = get(&url).await;
    assert_eq!((page.status, page.header("etag")), (200, None));
    assert!(page.text().starts_with("<!DOCTYPE html>"));

    next(GitHubFault::Endless);
    let (address, path) = url["http://".len()..].split_once('/').unwrap();
    let path = format!("/{path}");
    let mut endless = client::open(address.parse().unwrap(), "GET", &path, &[], b"").await.unwrap();
    let mut length = 0;
    while length < 1_000_000 {
        length += endless.try_chunk().await.unwrap().unwrap().len();
    }
}

#[tokio::test]
async fn a_stalled_body_goes_on_when_the_gate_opens() {
    let (hub, _, _) = hub_with_files().await;
    let gate = Gate::new();
    let fault = GitHubFault::Stalled { after_bytes: 4, until: gate.clone() };
    hub.fault_next(2, GitHubHost::Raw, "", fault);
    let url = format!("{}/Owner/repo/develop/mf6/a/sub/x%20y.dis", hub.raw_url());
    let (address, path) = url["http://".len()..].split_once('/').unwrap();
    let (address, path) = (address.parse().unwrap(), format!("/{path}"));
    let mut answer = client::open(address, "GET", &path, &[], b"").await.unwrap();
    let abandoned = client::open(address, "GET", &path, &[], b"").await.unwrap();
    hub.wait_for_stalls(2).await;
    drop(abandoned);
    let mut body = Vec::new();
    while body.len() < 4 {
        body.extend(answer.try_chunk().await.unwrap().unwrap());
    }
    assert_eq!(body, b"0123");
    gate.open();
    while let Some(chunk) = within("the rest", answer.try_chunk()).await.unwrap() {
        body.extend(chunk);
    }
    assert_eq!(body, b"0123456789");
}

#[tokio::test]
async fn redirects_lead_astray() {
    let (hub, repo, _) = hub_with_files().await;
    repo.set_private("s3cret");
    let url = format!("{}/Owner/repo/develop/mf6/a/mfsim.nam", hub.raw_url());
    hub.fault(GitHubHost::Raw, "", GitHubFault::RedirectLoop);
    let reply = get(&url).await;
    assert_eq!((reply.status, reply.header("location")), (302, Some(&*url)));
    hub.heal();
    for to in ["ftp://example.org/x", "file:///etc/passwd"] {
        hub.fault_next(1, GitHubHost::Raw, "", GitHubFault::Redirect(to.to_owned()));
        assert_eq!(get(&url).await.header("location"), Some(to));
    }
    hub.fault_next(1, GitHubHost::Raw, "", GitHubFault::RedirectElsewhere);
    let to = get(&url).await.header("location").unwrap().to_owned();
    assert!(to.starts_with(&hub.url(GitHubHost::Elsewhere)), "{to}");
    assert_eq!(get(&to).await.text(), "begin");
    assert!(hub.unexpected().is_empty());
    assert_eq!(get(&format!("{}/x", hub.url(GitHubHost::Elsewhere))).await.status, 404);
    assert_eq!(hub.unexpected().len(), 1);
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
