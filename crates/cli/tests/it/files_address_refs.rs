//! Refs in addresses: with slashes, known and unknown, and two of one source side by side.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, hub, registry_of};
use callsheet_testkit::{ArchiveKind, FakeGitHub, FakeRepository, GitHubHost};

async fn scene() -> (FakeGitHub, FakeRepository, Home) {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let home = Home::with(&hub, SOURCE);
    (hub, repository, home)
}

fn changed(content: &'static str) -> [(&'static str, &'static str); 6] {
    MODELS.map(|(path, old)| (path, if path == "mf6/simple/model.dis" { content } else { old }))
}

async fn copied(home: &Home, address: &str) -> String {
    let out = address.replace(['/', '@', '%'], "_");
    home.ok(&["files", "copy", address, &out]).await;
    let files = home.files(&format!("work/{out}"));
    assert_eq!(files.len(), 2, "{address}");
    String::from_utf8(files["model.dis"].clone()).expect("text")
}

#[tokio::test]
async fn two_refs_of_one_model_are_both_copied() {
    let (hub, repository, home) = scene().await;
    repository.branch("old", &commit(&repository, &changed("old layers")));
    repository.tag("v1", &commit(&repository, &changed("tagged layers")));
    home.ok(&["files", "sync", "-s", "mf6/test", "-r", "old"]).await;
    home.ok(&["files", "sync", "-s", "mf6/test", "-r", "develop"]).await;
    assert_eq!(copied(&home, "mf6/test@old/simple").await, "old layers");
    assert_eq!(copied(&home, "mf6/test@develop/simple").await, "one layer");
    // One that was never synced is synced on the way.
    assert_eq!(copied(&home, "mf6/test@v1/simple").await, "tagged layers");
    let listed = home.ok(&["files", "list", "--json"]).await.json();
    let addresses: Vec<_> = listed["registries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["address"].as_str().unwrap())
        .collect();
    assert_eq!(addresses, ["mf6/test@develop", "mf6/test@old", "mf6/test@v1"]);
    home.ok(&["files", "copy", "mf6/test@old/simple", "mf6/test@v1/simple", "both"]).await;
    let both = home.files("work/both");
    assert_eq!(both["mf6/test@old/simple/model.dis"], b"old layers");
    assert_eq!(both["mf6/test@v1/simple/model.dis"], b"tagged layers");
    // The file that all of them have was fetched once.
    assert_eq!(
        hub.requests()
            .iter()
            .filter(|request| request.path.ends_with("/mf6/simple/mfsim.nam"))
            .count(),
        1
    );
}

#[tokio::test]
async fn refs_with_slashes_work_everywhere() {
    let (hub, repository, home) = scene().await;
    let made = commit(&repository, &changed("feature"));
    repository.branch("feature/x", &made);
    repository.annotated_tag("release/2026/01", &made);
    let synced = home.ok(&["files", "sync", "-s", "mf6/test", "-r", "feature/x"]).await;
    assert!(synced.stdout.starts_with("synced mf6/test@feature/x ("), "{synced:?}");
    assert_eq!(copied(&home, "mf6/test@feature/x/simple").await, "feature");
    assert_eq!(copied(&home, "mf6/test@feature/x/mf6/simple").await, "feature");
    assert_eq!(copied(&home, "mf6/test@feature%2Fx/simple").await, "feature");
    assert_eq!(copied(&home, "mf6/test@feature%2fx/mf6/simple").await, "feature");
    let shown = home.ok(&["files", "show", "mf6/test@feature/x/simple"]).await;
    assert!(shown.stdout.starts_with("mf6/test@feature%2Fx/simple\n"), "{shown:?}");
    // Nobody has heard of this one yet.
    assert_eq!(copied(&home, "mf6/test@release/2026/01/simple").await, "feature");
    let listed = home.ok(&["files", "list", "-r", "feature/x", "--verbose"]).await;
    assert!(listed.stdout.starts_with("mf6/test@feature/x:\n"), "{listed:?}");
    let info = home.mf(&["models", "info"]).await;
    assert!(info.stdout.contains("  Cached refs: feature/x, release/2026/01\n"), "{info:?}");
    let cleared =
        home.mf(&["models", "clear", "-s", "mf6/test", "-r", "feature/x", "--force"]).await;
    assert!(cleared.stdout.ends_with("Cleared 1 cached registry\n"), "{cleared:?}");
    let offline =
        home.fails(1, &["files", "copy", "mf6/test@feature%2Fx/simple", "no", "--offline"]).await;
    assert!(
        offline
            .starts_with("error: 'mf6/test@feature/x' is not synced, and this is offline mode\n"),
        "{offline}"
    );
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
}

#[tokio::test]
async fn where_a_ref_begins_like_another_the_known_one_is_meant() {
    let (hub, repository, home) = scene().await;
    repository.branch(
        "a/b",
        &commit(&repository, &[("mf6/c/d/mfsim.nam", "at a/b"), ("mf6/c/d/model.dis", "of a/b")]),
    );
    // As git has it, `a` and `a/b` cannot both be branches; one of them is a tag.
    repository.tag(
        "a",
        &commit(&repository, &[("mf6/b/c/d/mfsim.nam", "at a"), ("mf6/b/c/d/model.dis", "of a")]),
    );
    // Neither is known: the shorter is tried first, and has it.
    let other = Home::with(&hub, SOURCE);
    assert_eq!(copied(&other, "mf6/test@a/b/c/d").await, "of a");
    assert_eq!(copied(&home, "mf6/test@a%2Fb/c/d").await, "of a/b");
    // Of these two, one is known now, and means something.
    assert_eq!(copied(&home, "mf6/test@a/b/c/d").await, "of a/b");
    assert_eq!(copied(&home, "mf6/test@a/mf6/b/c/d").await, "of a");
    // Both are known, and both mean something.
    let said = home.fails(1, &["files", "copy", "mf6/test@a/b/c/d", "out"]).await;
    assert_eq!(
        said,
        "error: 'mf6/test@a/b/c/d' may be mf6/test@a/b%2Fc%2Fd or mf6/test@a%2Fb/c/d\nhint: write one of them\n"
    );
    assert!(!home.path("work/out").exists());
    assert_eq!(copied(&home, "mf6/test@a/b%2Fc%2Fd").await, "of a");
    assert_eq!(hub.count(GitHubHost::Elsewhere, "/"), 0);
}

#[tokio::test]
async fn a_ref_that_is_not_there_is_said_as_it_was_written() {
    let (_hub, _repository, home) = scene().await;
    let said = home.fails(1, &["files", "copy", "mf6/test@nowhere/simple", "out"]).await;
    assert!(
        said.starts_with(
            "error: Registry discovery failed, ref 'mf6/test@nowhere' does not exist\n"
        ),
        "{said}"
    );
    let said = home.fails(1, &["files", "copy", "mf6/test@no%2Fwhere/simple", "out"]).await;
    assert!(
        said.starts_with(
            "error: Registry discovery failed, ref 'mf6/test@no/where' does not exist\n"
        ),
        "{said}"
    );
    for bad in ["mf6/test@a..b/simple", "mf6/test@-x/simple", "mf6/test@a b/simple"] {
        let said = home.run(&["files", "copy", bad, "out"]).await;
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{said:?}");
    }
    let usage = home.run(&["files", "sync", "-s", "mf6/test", "-r", "../../x"]).await;
    assert_eq!(usage.code, 2, "{usage:?}");
    assert!(!home.path("work/out").exists());
}

#[tokio::test]
async fn refs_of_odd_names_and_releases_with_slashes_are_found() {
    let (hub, repository, home) = scene().await;
    let made = commit(&repository, &changed("odd"));
    for reference in ["fix/#12+\u{fc}", "100%", "a&b=c", "v1.0@rc", "@x", "HEAD-ish"] {
        repository.branch(reference, &made);
        let synced = home.ok(&["files", "sync", "-s", "mf6/test", "-r", reference]).await;
        assert!(synced.stdout.starts_with(&format!("synced mf6/test@{reference} (")), "{synced:?}");
        assert_eq!(copied(&home, &format!("mf6/test@{reference}/simple")).await, "odd");
        let cleared =
            home.ok(&["files", "clear", "-s", "mf6/test", "-r", reference, "--yes"]).await;
        assert!(
            cleared.stdout.starts_with(&format!("cleared mf6/test@{reference}:")),
            "{cleared:?}"
        );
    }
    let zip = repository.archive(&made, ArchiveKind::Zip);
    let registry = registry_of(&changed("odd")).into_bytes();
    repository.release("rel/2026", [("models.toml", registry), ("mf6.zip", zip.to_vec())]);
    repository.delete_tag("rel/2026");
    assert_eq!(copied(&home, "mf6/test@rel/2026/simple").await, "odd");
    home.ok(&["files", "clear", "--yes"]).await;
    assert_eq!(copied(&home, "mf6/test@rel%2F2026/mf6/simple").await, "odd");
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
}
