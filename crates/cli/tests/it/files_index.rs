//! `files index`: a registry file that others sync, from a folder and from what is published.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, hub};
use callsheet_testkit::{FakeGitHub, GitHubHost};

const ASKED: [&str; 8] =
    ["files", "index", "--repo", TEST_MODELS, "--ref", "develop", "--name", "mf6/test"];

fn index<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&ASKED[..], more].concat()
}

fn write_models(home: &Home, folder: &str) {
    for (path, content) in MODELS {
        home.write(&format!("{folder}/{path}"), content);
    }
}

#[tokio::test]
async fn a_folder_here_and_the_repository_give_the_same_bytes() {
    let hub = hub().await;
    let home = Home::seeing(&hub);
    write_models(&home, "work/modflow6-testmodels");
    let local = index(&["--path", "modflow6-testmodels/mf6", "--output", "local"]);
    assert_eq!(hub.request_count(), 0);
    let made = home.ok(&local).await;
    assert_eq!(made.stdout, "local/models.toml: 3 models, 5 files\n");
    home.ok(&index(&["--path", "mf6", "--output", "remote"])).await;
    let text = home.files("work/local")["models.toml"].clone();
    assert_eq!(text, home.files("work/remote")["models.toml"]);
    let text = String::from_utf8(text).unwrap();
    let raw = format!("url = \"{}/{TEST_MODELS}/develop/mf6/deep/data/model.npf\"", hub.raw_url());
    assert!(text.contains(&raw), "{text}");
    // Files at the top of a model's folder come first: the Python package takes its folder from it.
    let deep = text.split("\"mf6/test/deep\" = [").nth(1).unwrap().split(']').next().unwrap();
    let order: Vec<_> = deep.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(order[0], "\"deep/mfsim.nam\",");
}

#[tokio::test]
async fn an_index_again_reads_nothing_and_drops_what_is_gone() {
    let hub = FakeGitHub::start().await;
    let home = Home::seeing(&hub);
    write_models(&home, "work/models");
    let asked = index(&["--path", "models/mf6", "--output", "out", "--verbose"]);
    let check = index(&["--path", "models/mf6", "--output", "out", "--check"]);
    assert_eq!(home.run(&check).await.code, 4);
    assert!(!home.path("work/out").exists());
    home.ok(&asked).await;
    assert_eq!(home.run(&check).await.code, 0);
    std::fs::remove_dir_all(home.path("work/models/mf6/simple")).unwrap();
    home.write("work/models/mf6/deep/data/model.npf", "k = 2");
    let stale = home.run(&check).await;
    assert_eq!(stale.code, 4, "{stale:?}");
    assert!(stale.stdout.contains("models gone: 1 (mf6/test/simple)"), "{stale:?}");
    assert!(stale.stdout.contains("files changed: 1 (deep/data/model.npf)"), "{stale:?}");
    let made = home.ok(&asked).await;
    assert!(made.stdout.contains("2 models, 3 files"), "{made:?}");
    assert_eq!(hub.connections(), 0);
}

#[tokio::test]
async fn a_release_is_indexed_from_its_archive_and_groups_examples() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("MODFLOW-ORG/modflow6-examples");
    let commit = repository.commit([
        ("ex-gwt-a/gwt/mfsim.nam", "transport"),
        ("ex-gwt-a/gwf/mfsim.nam", "flow"),
        ("ex-gwf-b/mfsim.nam", "flow alone"),
    ]);
    let zip = callsheet_testkit::FakeTree::new()
        .file("ex-gwt-a/gwt/mfsim.nam", "transport")
        .file("ex-gwt-a/gwf/mfsim.nam", "flow")
        .file("ex-gwf-b/mfsim.nam", "flow alone")
        .archive(callsheet_testkit::ArchiveKind::Zip, "");
    repository.tag("current", &commit);
    repository.release("current", [("some name.zip", zip)]);
    let home = Home::seeing(&hub);
    let asked = |asset| {
        let repo = "MODFLOW-ORG/modflow6-examples";
        [
            "files",
            "index",
            "--repo",
            repo,
            "--ref",
            "current",
            "--name",
            "mf6/example",
            "--asset-file",
            asset,
        ]
    };
    let missing = home.run(&asked("other.zip")).await;
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(missing.stderr.contains("no archive \"other.zip\""), "{missing:?}");
    home.ok(&asked("some name.zip")).await;
    let registry = home.files("work")["models.toml"].clone();
    repository.asset("current", "models.toml", registry);
    home.ok(&["files", "sync", "--source", "mf6/example"]).await;
    let copied = home.ok(&["files", "copy", "mf6/example/ex-gwt-a", "out"]).await;
    assert!(copied.stdout.contains("2 models"), "{copied:?}");
    assert_eq!(home.files("work/out")["ex-gwt-a/gwf/mfsim.nam"], b"flow");
    let shown = home.ok(&["files", "show", "mf6/example/ex-gwf-b"]).await;
    assert!(!shown.stdout.contains("unverified"), "{shown:?}");
}

#[tokio::test]
async fn who_has_the_earlier_registry_fetches_only_the_difference() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository(TEST_MODELS);
    let (publisher, reader) = (Home::seeing(&hub), Home::with(&hub, SOURCE));
    write_models(&publisher, "work/modflow6-testmodels");
    let root = "modflow6-testmodels/.registry";
    let asked = index(&[
        "--path",
        "modflow6-testmodels/mf6",
        "--output",
        root,
        "--difference",
        "--compress",
        "zst",
    ]);
    let publish = || {
        let folder = publisher.path("work/modflow6-testmodels");
        repository.branch("develop", &repository.commit_from_dir("", &folder));
    };
    publisher.ok(&asked).await;
    publish();
    reader.ok(&["files", "sync", "--source", "mf6/test"]).await;
    for content in ["k = 2", "k = 3"] {
        publisher.write("work/modflow6-testmodels/mf6/deep/data/model.npf", content);
        publisher.ok(&asked).await;
        publish();
        hub.forget_requests();
        let synced = reader.ok(&["files", "sync", "--source", "mf6/test"]).await;
        assert!(synced.stdout.contains("files changed: 1 (deep/data/model.npf)"), "{synced:?}");
        let raw: Vec<_> =
            hub.requests().into_iter().filter(|r| r.host == GitHubHost::Raw).collect();
        assert_eq!(raw.len(), 1, "{raw:?}");
        assert!(raw[0].path.ends_with("/.registry/models.toml.diff"), "{raw:?}");
        reader.ok(&["files", "copy", "--force", "mf6/test/deep", "out"]).await;
        assert_eq!(reader.files("work/out")["data/model.npf"], content.as_bytes());
    }
    // Who missed one gets the whole file.
    let late = Home::with(&hub, SOURCE);
    late.ok(&["files", "sync", "--source", "mf6/test"]).await;
    for content in ["k = 4", "k = 5"] {
        publisher.write("work/modflow6-testmodels/mf6/deep/data/model.npf", content);
        publisher.ok(&asked).await;
    }
    publish();
    let synced = late.ok(&["files", "sync", "--source", "mf6/test"]).await;
    assert!(synced.stdout.contains("files changed: 1"), "{synced:?}");
}
