//! All of it together, against servers that answer as GitHub's do.

use callsheet_sources::{
    GitHub, GitHubHosts, GitHubTokens, Http, HttpSettings, Member, MemberKind, RefKind, TreeError,
    UnpackLimits, unpack,
};
use callsheet_testkit::{FakeGitHub, FakeTree, GitHubFault, GitHubHost, within};
use callsheet_types::{GitRef, Repository, Secret};
use std::time::Duration;

fn client(hub: &FakeGitHub, token: Option<&str>) -> GitHub {
    let first_pause = Duration::from_millis(1);
    let http = Http::new(HttpSettings { first_pause, ..HttpSettings::default() });
    let hosts = GitHubHosts { web: hub.web_url(), raw: hub.raw_url(), api: hub.api_url() };
    let token = token.map(|token| Secret::new(token, "TEST").unwrap());
    GitHub::new(http, hosts, GitHubTokens::all(token.as_ref()))
}

fn repository() -> Repository {
    Repository::new("owner/models").unwrap()
}

fn git_ref(text: &str) -> GitRef {
    GitRef::new(text).unwrap()
}

#[tokio::test]
async fn every_sort_of_ref_is_resolved() {
    let hub = FakeGitHub::start().await;
    let repo = hub.repository("owner/models");
    let one = repo.commit([("a", "1")]);
    let two = repo.commit([("a", "2")]);
    repo.branch("develop", &two);
    repo.branch("feature/x", &one);
    repo.tag("v1", &one);
    repo.annotated_tag("release/v2", &two);
    // The same name twice: git takes the tag.
    repo.branch("both", &one);
    repo.tag("both", &two);
    let client = client(&hub, None);
    for (reference, commit, kind) in [
        (one.as_str(), &one, RefKind::Commit),
        (&two[..10], &two, RefKind::Commit),
        ("develop", &two, RefKind::Branch),
        ("feature/x", &one, RefKind::Branch),
        ("v1", &one, RefKind::Tag),
        ("release/v2", &two, RefKind::Tag),
        ("both", &two, RefKind::Tag),
    ] {
        let resolved = within("a ref", client.resolve(&repository(), &git_ref(reference))).await;
        let resolved = resolved.unwrap().unwrap_or_else(|| panic!("{reference} is not there"));
        assert_eq!((&resolved.commit, resolved.kind), (commit, kind), "{reference}");
    }
    for nowhere in ["feature", "feature/y", "0000000", "v2"] {
        let resolved = within("a ref", client.resolve(&repository(), &git_ref(nowhere))).await;
        assert_eq!(resolved.unwrap(), None, "{nowhere}");
    }
    assert!(hub.unexpected().is_empty(), "{:?}", hub.unexpected());
}

#[tokio::test]
async fn an_archive_is_downloaded_and_gone_through_with_its_links() {
    let hub = FakeGitHub::start().await;
    let repo = hub.repository("owner/models");
    let tree = FakeTree::new()
        .file("mf6/a/mfsim.nam", "BEGIN options")
        .file("README.md", "x")
        .symlink("mf6/a/link", "/etc/passwd");
    let commit = repo.commit_tree(tree);
    repo.set_private("s3cret");
    let client = client(&hub, Some("s3cret"));
    let folder = tempfile::tempdir().unwrap();
    let partial = folder.path().join("part");
    // The real one sends no length and serves no ranges: it begins anew.
    hub.fault_next(1, GitHubHost::Codeload, "/", GitHubFault::Truncated { after_bytes: 40 });
    let request = client.archive(&repository(), &commit);
    let download = client.http().download(&request, &partial, &|_, _| {});
    let mut downloaded = within("an archive", download).await.unwrap();
    let mut members = Vec::new();
    let mut visit = |member: Member<'_>| {
        let mut text = String::new();
        member.content.read_to_string(&mut text)?;
        members.push((member.path.to_string(), member.kind, text));
        Ok(())
    };
    let limits = UnpackLimits::default();
    unpack(&request.url, &mut downloaded.file, true, limits, &mut visit).unwrap();
    members.sort_by(|a, b| a.0.cmp(&b.0));
    let file = |path: &str, text: &str| (path.to_owned(), MemberKind::File, text.to_owned());
    let link = ("mf6/a/link".to_owned(), MemberKind::Link, String::new());
    assert_eq!(members, [file("README.md", "x"), link, file("mf6/a/mfsim.nam", "BEGIN options")]);
    assert_eq!(hub.authorizations(GitHubHost::Api).len(), 1);
    assert!(hub.authorizations(GitHubHost::Codeload).is_empty());
    drop(downloaded);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(hub.unexpected().is_empty());
}

#[tokio::test]
async fn an_asset_goes_on_where_it_broke_off() {
    let hub = FakeGitHub::start().await;
    let repo = hub.repository("owner/models");
    let content = "0123456789".repeat(1000);
    repo.commit([("a", "1")]);
    repo.release("v/1", [("mf6 examples.zip", content.clone())]);
    let client = client(&hub, Some("token"));
    let release = within("a release", client.release(&repository(), &git_ref("v/1"))).await;
    let release = release.unwrap().unwrap();
    let asset = &release.assets[0];
    let folder = tempfile::tempdir().unwrap();
    let partial = folder.path().join("part");
    hub.fault_next(1, GitHubHost::Objects, "/", GitHubFault::Truncated { after_bytes: 4000 });
    let request = client.asset(&repository(), &git_ref("v/1"), &asset.name);
    let download = client.http().download(&request, &partial, &|_, _| {});
    let downloaded = within("an asset", download).await.unwrap();
    assert_eq!(Some(downloaded.digest), asset.digest);
    assert_eq!(Some(downloaded.size_bytes), asset.size_bytes);
    let ranges: Vec<_> = hub
        .requests()
        .iter()
        .filter(|request| request.host == GitHubHost::Objects)
        .map(|request| request.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges, [None, Some("bytes=4000-".to_owned())]);
    assert!(hub.authorizations(GitHubHost::Objects).is_empty());

    let gone = client.asset(&repository(), &git_ref("v/1"), "other.zip");
    assert!(within("nothing", client.get(&gone)).await.unwrap().is_none());
    let none = within("a release", client.release(&repository(), &git_ref("v/2"))).await;
    assert_eq!(none.unwrap(), None);
    assert!(hub.unexpected().is_empty());
}

#[tokio::test]
async fn what_is_not_an_archive_is_refused() {
    let hub = FakeGitHub::start().await;
    let repo = hub.repository("owner/models");
    let commit = repo.commit([("a", "1")]);
    let client = client(&hub, None);
    hub.fault(GitHubHost::Codeload, "/", GitHubFault::Html);
    let folder = tempfile::tempdir().unwrap();
    let partial = folder.path().join("part");
    let request = client.archive(&repository(), &commit);
    let download = client.http().download(&request, &partial, &|_, _| {});
    let error = within("a page", download).await.unwrap_err();
    assert!(error.to_string().contains("web page"), "{error}");
    hub.heal();
    repo.set_archive(&commit, callsheet_testkit::ArchiveKind::TarGz, "no archive");
    let download = client.http().download(&request, &partial, &|_, _| {});
    let mut downloaded = within("an archive", download).await.unwrap();
    let limits = UnpackLimits::default();
    let result = unpack("archive", &mut downloaded.file, true, limits, &mut |_| Ok(()));
    assert!(matches!(result, Err(TreeError::Broken { .. })), "{result:?}");
}
