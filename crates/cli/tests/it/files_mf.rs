//! `mf models`: MODFLOW's command, by its name and by `callsheet mf`.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, files_of, hub, model};
use callsheet_testkit::{FakeGitHub, FakeRepository, GitHubHost};

/// All shipped sources, but for one that nobody has here.
async fn scene() -> (FakeGitHub, FakeRepository, Home) {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let home = Home::with(&hub, SOURCE);
    (hub, repository, home)
}

#[tokio::test]
async fn without_a_subcommand_help_is_printed_and_the_exit_code_is_1() {
    let (hub, _repository, home) = scene().await;
    for (args, says) in [
        (&[][..], "Usage: mf"),
        (&["models"], "  sync   Synchronizes registries\n"),
        (&["programs"], "  copy   Copies a model to a workspace"),
        (&["dfns"], "  clear  Forgets registries"),
    ] {
        let help = home.mf(args).await;
        assert_eq!((help.code, help.stderr.as_str()), (1, ""), "{help:?}");
        assert!(help.stdout.contains(says), "{help:?}");
        let usage = format!("Usage: {}", [&["mf"], args].concat().join(" "));
        assert!(help.stdout.contains(&usage), "{usage}: {help:?}");
        let same = home.run(&[&["mf"], args].concat()).await;
        assert_eq!((same.code, same.stdout), (1, help.stdout));
    }
    assert_eq!(home.mf(&["--help"]).await.code, 0);
    assert_eq!(hub.request_count(), 0);
}

#[tokio::test]
async fn info_says_what_is_configured_cached_and_missing() {
    let (_hub, _repository, home) = scene().await;
    let rest = "\nmf6/large (MODFLOW-ORG/modflow6-largetestmodels)\n  Configured refs: develop, master\n  Cached refs: none\n  Missing refs: develop, master\n";
    let examples = "\nmf6/example (MODFLOW-ORG/modflow6-examples)\n  Configured refs: current\n  Cached refs: none\n  Missing refs: current\n";
    let info = home.mf(&["models", "info"]).await;
    assert_eq!(
        (info.code, info.stdout),
        (
            0,
            format!(
                "Registry sync status:\n{examples}{rest}\nmf6/test ({TEST_MODELS})\n  Configured refs: develop\n  Cached refs: none\n  Missing refs: develop\n"
            )
        )
    );
    let synced = home.mf(&["models", "sync", "--source", "mf6/test"]).await;
    assert_eq!(synced.code, 0, "{synced:?}");
    let info = home.run(&["mf", "models", "info"]).await;
    assert_eq!(
        (info.code, info.stdout),
        (
            0,
            format!(
                "Registry sync status:\n{examples}{rest}\nmf6/test ({TEST_MODELS})\n  Configured refs: develop\n  Cached refs: develop\n"
            )
        )
    );
}

#[tokio::test]
async fn a_sync_in_part_fails_and_keeps_what_succeeded() {
    let (hub, repository, home) = scene().await;
    let unknown = home.mf(&["models", "sync", "-s", "mf6/test", "-r", "nowhere"]).await;
    assert_eq!(unknown.code, 1);
    assert_eq!(
        unknown.stdout,
        "  [-] Failed to sync mf6/test@nowhere\n\nSync complete:\n  Synced: 0\n  Skipped: 0\n  Failed: 1\n"
    );
    assert!(
        unknown.stderr.starts_with("\nFailed syncs:\n  mf6/test@nowhere: Registry discovery failed, ref 'mf6/test@nowhere' does not exist\n"),
        "{unknown:?}"
    );
    let all = home.mf(&["models", "sync", "--verbose"]).await;
    assert_eq!(all.code, 1, "{all:?}");
    let commit = repository_commit(&home).await;
    let url = format!("{}/{TEST_MODELS}/{commit}/.registry/models.toml", hub.raw_url());
    assert!(
        all.stdout
            .starts_with(&format!("mf6/test@develop: found by version_controlled at {url}\n")),
        "{all:?}"
    );
    assert!(
        all.stdout.ends_with("Sync complete:\n  Synced: 1\n  Skipped: 0\n  Failed: 3\n"),
        "{all:?}"
    );
    let nobody = home.mf(&["models", "sync", "--source", "nobody"]).await;
    assert_eq!(nobody.code, 1);
    assert!(nobody.stderr.starts_with("error: Source 'nobody' not found\n"), "{nobody:?}");
    drop(repository);
}

async fn repository_commit(home: &Home) -> String {
    let listed = home.ok(&["files", "list", "--json"]).await.json();
    listed["registries"][0]["commit"].as_str().expect("a commit").to_owned()
}

#[tokio::test]
async fn lists_are_filtered_by_source_and_ref() {
    let (_hub, repository, home) = scene().await;
    let empty = home.mf(&["models", "list", "--source", "mf6/test", "--ref", "develop"]).await;
    assert_eq!(
        (empty.code, empty.stdout.as_str()),
        (0, "No cached registries matching filters: source=mf6/test, ref=develop\n")
    );
    repository.branch("small", &commit(&repository, &MODELS[..2]));
    home.mf(&["models", "sync", "-s", "mf6/test"]).await;
    home.mf(&["models", "sync", "-s", "modflow6-testmodels", "-r", "small"]).await;
    let develop = "\nmf6/test@develop:\n  Models: 3\n";
    let names = "    mf6/test/deep\n    mf6/test/deep/inner\n    mf6/test/simple\n";
    let small = "\nmf6/test@small:\n  Models: 1\n";
    for (flags, expected) in [
        (&[][..], format!("{develop}{small}")),
        (&["--source", "mf6/test"], format!("{develop}{small}")),
        (&["-s", "modflow6-testmodels", "-r", "small"], small.to_owned()),
        (&["--ref", "develop", "--verbose"], format!("{develop}{names}")),
        (&["-s", "mf6/test", "-r", "small", "-v"], format!("{small}    mf6/test/simple\n")),
    ] {
        let listed = home.mf(&[&["models", "list"], flags].concat()).await;
        assert_eq!(
            (listed.code, listed.stdout),
            (0, format!("Available models:\n{expected}")),
            "{flags:?}"
        );
    }
}

#[tokio::test]
async fn copies_are_as_published_and_replace_what_is_there() {
    let (hub, _repository, home) = scene().await;
    for (verb, out) in [("copy", "one"), ("cp", "two")] {
        let copied = home.mf(&["models", verb, "mf6/test/deep", out]).await;
        assert_eq!((copied.code, copied.stderr.as_str()), (0, ""), "{copied:?}");
        assert_eq!(copied.stdout, format!("Successfully copied model 'mf6/test/deep' to: {out}\n"));
        assert_eq!(home.files(&format!("work/{out}")), model(&MODELS, "deep"));
    }
    home.write("work/one/mfsim.nam", "changed by hand");
    home.write("work/one/results.lst", "kept");
    let copied = home.mf(&["models", "cp", "mf6/test/deep", "one", "--verbose"]).await;
    assert!(copied.stdout.starts_with("3 files, "), "{copied:?}");
    let mut expected = model(&MODELS, "deep");
    expected.insert("results.lst".to_owned(), b"kept".to_vec());
    assert_eq!(home.files("work/one"), expected);
    let absolute = home.path("elsewhere/below").display().to_string();
    home.mf(&["models", "copy", "mf6/test@develop/simple", &absolute]).await;
    assert_eq!(files_of(&home.path("elsewhere/below")), model(&MODELS, "simple"));
    for unknown in ["mf6/test/nothing", "nothing", "mf6/test@develop/nothing"] {
        let failed = home.mf(&["models", "copy", unknown, "no"]).await;
        assert_eq!((failed.code, failed.stdout.as_str()), (1, ""));
        assert!(failed.stderr.contains("not in registry"), "{failed:?}");
    }
    assert!(!home.path("work/no").exists());
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
}

#[tokio::test]
async fn clearing_forgets_exactly_what_was_named() {
    let (_hub, repository, home) = scene().await;
    repository.branch("small", &commit(&repository, &MODELS[..2]));
    let sync = async |reference: &str| {
        home.mf(&["models", "sync", "-s", "mf6/test", "-r", reference]).await;
    };
    let left = async || home.mf(&["models", "list"]).await.stdout;
    let clear = async |flags: &[&str]| home.mf(&[&["models", "clear"], flags].concat()).await;
    assert_eq!(clear(&["--force"]).await.stdout, "No cached registries to clear\n");
    sync("develop").await;
    sync("small").await;
    let asked = clear(&["-s", "mf6/test"]).await;
    assert_eq!(asked.code, 1);
    assert_eq!(asked.stdout, "Will clear:\n  mf6/test@develop\n  mf6/test@small\n");
    assert!(asked.stderr.contains("nobody is there to be asked"), "{asked:?}");
    assert!(asked.stderr.contains("--force"), "{asked:?}");
    for (flags, says) in [
        (
            &["-s", "mf6/test", "-r", "other", "-f"][..],
            "No cached registries matching filters: source=mf6/test, ref=other\n",
        ),
        (
            &["-s", "../../victim", "-f"],
            "No cached registries matching filters: source=../../victim\n",
        ),
    ] {
        let none = clear(flags).await;
        assert_eq!((none.code, none.stdout.as_str()), (0, says));
    }
    assert_eq!(
        left().await,
        "Available models:\n\nmf6/test@develop:\n  Models: 3\n\nmf6/test@small:\n  Models: 1\n"
    );
    let cleared = clear(&["--ref", "small", "--force"]).await;
    assert_eq!(
        (cleared.code, cleared.stdout.as_str()),
        (0, "Will clear:\n  mf6/test@small\nCleared 1 cached registry\n")
    );
    assert_eq!(left().await, "Available models:\n\nmf6/test@develop:\n  Models: 3\n");
    sync("small").await;
    let cleared = clear(&["-s", "mf6/test", "-r", "develop", "-f"]).await;
    assert!(cleared.stdout.ends_with("Cleared 1 cached registry\n"), "{cleared:?}");
    sync("develop").await;
    let cleared = clear(&["--force"]).await;
    assert!(cleared.stdout.ends_with("Cleared 2 cached registries\n"), "{cleared:?}");
    assert_eq!(left().await, "No cached registries. Run 'sync' first.\n");
}

#[tokio::test]
async fn a_registry_is_made_with_the_flags_that_publishers_know() {
    let (hub, _repository, home) = scene().await;
    let made = home
        .mf(&[
            "models",
            "index",
            "--repo",
            TEST_MODELS,
            "--ref",
            "develop",
            "--name",
            "mf6/test",
            "--path",
            "mf6",
            "-n",
            "mfsim.nam",
            "--output",
            ".registry",
            "-v",
        ])
        .await;
    assert_eq!(made.code, 0, "{made:?}");
    let text = String::from_utf8(home.files("work/.registry")["models.toml"].clone()).unwrap();
    assert!(
        text.starts_with("schema_version = \"1.0\"\n\n[files.\"deep/data/model.npf\"]\n"),
        "{text}"
    );
    assert_eq!(hub.count(GitHubHost::Raw, "/"), 0);
    let missing = home
        .mf(&[
            "models",
            "index",
            "--repo",
            TEST_MODELS,
            "--ref",
            "v9",
            "--name",
            "x",
            "--asset-file",
            "no.zip",
        ])
        .await;
    assert_eq!((missing.code, missing.stdout.as_str()), (1, ""), "{missing:?}");
    assert_eq!(
        missing.stderr,
        format!("error: the release of '{TEST_MODELS}@v9' has no archive \"no.zip\"\n")
    );
    assert_eq!(hub.count(GitHubHost::Web, "/"), 1, "what is not there is not asked for again");
    let nowhere = home
        .mf(&["models", "index", "--repo", TEST_MODELS, "--ref", "nowhere", "--name", "x"])
        .await;
    assert_eq!(nowhere.code, 1);
    assert!(nowhere.stderr.contains("does not exist"), "{nowhere:?}");
}
