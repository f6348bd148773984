//! Syncing again: what is as it was asks for little, and what changed is said.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, hub, registry_of};
use callsheet_testkit::{FakeGitHub, FakeRepository, GitHubHost, Output};
use serde_json::json;

const SYNC: [&str; 4] = ["files", "sync", "--source", "mf6/test"];

async fn scene() -> (FakeGitHub, FakeRepository, Home) {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let home = Home::with(&hub, SOURCE);
    (hub, repository, home)
}

/// Forgets all requests, syncs, and returns what was said and what was asked for since.
async fn sync(hub: &FakeGitHub, home: &Home, more: &[&str]) -> (Output, Vec<String>) {
    hub.forget_requests();
    let output = home.ok(&[&SYNC[..], more].concat()).await;
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
    let asked = hub.requests().into_iter().map(|request| {
        let path = request.path.split('?').next().unwrap_or_default().to_owned();
        format!("{:?} {}", request.host, path.replacen(TEST_MODELS, "O/R", 1))
    });
    (output, asked.collect())
}

const ABOUT_BRANCH: [&str; 3] = [
    "Api /repos/O/R/releases/tags/develop",
    "Api /repos/O/R/git/ref/tags/develop",
    "Api /repos/O/R/git/ref/heads/develop",
];

#[tokio::test]
async fn a_branch_that_did_not_move_costs_three_questions() {
    let (hub, _repository, home) = scene().await;
    let (synced, asked) = sync(&hub, &home, &[]).await;
    let commit =
        home.ok(&["files", "list", "--json"]).await.json()["registries"][0]["commit"].clone();
    let commit = commit.as_str().unwrap().to_owned();
    let registry = format!("Raw /O/R/{commit}/.registry/models.toml");
    assert!(synced.stdout.starts_with("synced mf6/test@develop ("), "{synced:?}");
    assert_eq!(asked, [&ABOUT_BRANCH[..], &[&registry]].concat());
    let (again, asked) = sync(&hub, &home, &[]).await;
    assert_eq!(again.stdout, "mf6/test@develop is up to date: already cached\n");
    assert_eq!(asked, ABOUT_BRANCH);
    let (forced, asked) = sync(&hub, &home, &["--force"]).await;
    assert!(forced.stdout.starts_with("synced mf6/test@develop ("), "{forced:?}");
    assert_eq!(asked, [&ABOUT_BRANCH[..], &[&registry]].concat());
    // A commit never means anything else.
    let (_, asked) = sync(&hub, &home, &["--ref", &commit]).await;
    assert_eq!(asked.len(), 3, "{asked:?}");
    let (again, asked) = sync(&hub, &home, &["--ref", &commit]).await;
    assert_eq!(again.stdout, format!("mf6/test@{commit} is up to date: already cached\n"));
    assert_eq!(asked, Vec::<String>::new());
}

#[tokio::test]
async fn syncing_fresh_again_and_by_force_counts_as_modflow_counts() {
    let (_hub, _repository, home) = scene().await;
    let sync = ["models", "sync", "--source", "modflow6-testmodels", "--ref", "develop"];
    let done = |synced, skipped| {
        format!("\nSync complete:\n  Synced: {synced}\n  Skipped: {skipped}\n  Failed: 0\n")
    };
    let first = home.mf(&sync).await;
    assert_eq!(
        (first.code, first.stdout),
        (0, format!("  [+] Synced mf6/test@develop\n{}", done(1, 0)))
    );
    let again = home.mf(&sync).await;
    let skipping = "Registry mf6/test@develop already cached, skipping\n";
    assert_eq!((again.code, again.stdout), (0, format!("{skipping}{}", done(0, 1))));
    let forced = home.mf(&[&sync[..], &["--force"]].concat()).await;
    assert_eq!(
        (forced.code, forced.stdout),
        (0, format!("  [+] Synced mf6/test@develop\n{}", done(1, 0)))
    );
}

#[tokio::test]
async fn a_branch_that_moved_is_told_by_its_differences() {
    let (hub, repository, home) = scene().await;
    sync(&hub, &home, &[]).await;
    let before = home.ok(&["files", "list", "--json"]).await.json();
    let moved = commit(
        &repository,
        &[
            ("mf6/simple/mfsim.nam", "simulation"),
            ("mf6/simple/model.dis", "two layers"),
            ("mf6/new/mfsim.nam", "new simulation"),
            ("mf6/deep/mfsim.nam", "simulation"),
        ],
    );
    repository.branch("develop", &moved);
    let short = &moved[..12];
    let differences = "  models added: 1 (mf6/test/new)\n  models changed: 2 (mf6/test/deep, mf6/test/simple)\n  models gone: 1 (mf6/test/deep/inner)\n  files added: 1 (new/mfsim.nam)\n  files changed: 1 (simple/model.dis)\n  files gone: 2 (deep/data/model.npf, deep/inner/mfsim.nam)\n";
    let (would, _) = sync(&hub, &home, &["--dry-run"]).await;
    let counts = "3 models, 4 files, version controlled";
    assert_eq!(
        would.stdout,
        format!("would sync mf6/test@develop ({short}): {counts}\n{differences}")
    );
    assert_eq!(home.ok(&["files", "list", "--json"]).await.json(), before);
    let (would, _) = sync(&hub, &home, &["--dry-run", "--json"]).await;
    let would = would.json();
    let difference = &would["synced"][0]["difference"];
    assert_eq!(difference["models_added"], json!(["mf6/test/new"]));
    assert_eq!(difference["files_changed"], json!(["simple/model.dis"]));
    let (synced, _) = sync(&hub, &home, &[]).await;
    assert_eq!(
        synced.stdout,
        format!("synced mf6/test@develop ({short}): {counts}\n{differences}")
    );
    let listed = home.ok(&["files", "list", "--verbose"]).await;
    assert_eq!(
        listed.stdout,
        "mf6/test@develop:\n  mf6/test/deep\n  mf6/test/new\n  mf6/test/simple\n"
    );
    let changes = home.ok(&["changes", "--kind", "file-ref"]).await;
    let changes: Vec<_> =
        changes.stdout.lines().map(|line| line.split("  ").nth(4).unwrap_or(line)).collect();
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes[0].ends_with("models/modflow6-testmodels@develop added"), "{changes:?}");
    assert!(changes[1].contains("models/modflow6-testmodels@develop updated"), "{changes:?}");
}

#[tokio::test]
async fn a_registry_that_is_the_same_at_another_commit_is_not_fetched_again() {
    let (hub, repository, home) = scene().await;
    sync(&hub, &home, &[]).await;
    let mut files = MODELS;
    files[5].1 = "another readme";
    let moved = commit(&repository, &files);
    repository.branch("develop", &moved);
    let (synced, asked) = sync(&hub, &home, &[]).await;
    assert_eq!(
        synced.stdout,
        format!(
            "synced mf6/test@develop ({}): 3 models, 5 files, version controlled\n",
            &moved[..12]
        )
    );
    assert_eq!(asked.len(), 4, "{asked:?}");
    let last = hub.requests().pop().expect("a request");
    assert_eq!(last.host, GitHubHost::Raw);
    assert!(last.header("if-none-match").is_some(), "{last:?}");
    // So that nothing that changed is taken for the same.
    let (again, _) = sync(&hub, &home, &[]).await;
    assert_eq!(again.stdout, "mf6/test@develop is up to date: already cached\n");
    home.ok(&["files", "copy", "mf6/test@develop/simple", "out"]).await;
    assert_eq!(hub.count(GitHubHost::Raw, &format!("/{TEST_MODELS}/{moved}/mf6/")), 2);
}

#[tokio::test]
async fn a_dry_run_of_a_first_sync_keeps_nothing() {
    let (hub, _repository, home) = scene().await;
    let (would, _) = sync(&hub, &home, &["--dry-run"]).await;
    assert!(would.stdout.starts_with("would sync mf6/test@develop ("), "{would:?}");
    assert_eq!(
        home.ok(&["files", "list"]).await.stdout,
        "nothing is synced; `callsheet files sync` does it\n"
    );
    assert_eq!(home.ok(&["changes"]).await.stdout, "");
    let left: Vec<_> =
        home.files("data").into_keys().filter(|name| name.contains("blobs")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn a_release_that_was_replaced_under_its_tag_is_noticed() {
    let (hub, repository, home) = scene().await;
    let registry = registry_of(&MODELS);
    repository.release("v1", [("models.toml", registry.clone()), ("mf6.zip", "one".to_owned())]);
    let v1 = ["--ref", "v1"];
    let (synced, asked) = sync(&hub, &home, &v1).await;
    assert_eq!(synced.stdout, "synced mf6/test@v1: 3 models, 5 files, release\n");
    assert_eq!(asked.len(), 3, "{asked:?}");
    let (again, asked) = sync(&hub, &home, &v1).await;
    assert_eq!(again.stdout, "mf6/test@v1 is up to date: already cached\n");
    assert_eq!(asked, ["Api /repos/O/R/releases/tags/v1"]);
    // Only the archive is another: the registry says the same, and what it leads to is not the same.
    repository.asset("v1", "mf6.zip", "two");
    let (synced, _) = sync(&hub, &home, &v1).await;
    assert_eq!(synced.stdout, "synced mf6/test@v1: 3 models, 5 files, release\n");
    let (again, _) = sync(&hub, &home, &v1).await;
    assert_eq!(again.stdout, "mf6/test@v1 is up to date: already cached\n");
    // The whole release was deleted and made again.
    repository.delete_release("v1");
    repository
        .release("v1", [("models.toml", registry_of(&MODELS[..2])), ("mf6.zip", "two".to_owned())]);
    let (synced, _) = sync(&hub, &home, &v1).await;
    assert_eq!(
        synced.stdout,
        "synced mf6/test@v1: 1 models, 2 files, release\n  models gone: 2 (mf6/test/deep, mf6/test/deep/inner)\n  files gone: 3 (deep/data/model.npf, deep/inner/mfsim.nam, deep/mfsim.nam)\n"
    );
}

#[tokio::test]
async fn a_registry_that_lost_most_of_its_models_is_refused() {
    let (hub, repository, home) = scene().await;
    let names: Vec<_> = (0..10).map(|at| format!("mf6/m{at}/mfsim.nam")).collect();
    let all: Vec<_> = names.iter().map(|name| (name.as_str(), "simulation")).collect();
    repository.branch("develop", &commit(&repository, &all));
    sync(&hub, &home, &[]).await;
    repository.branch("develop", &commit(&repository, &all[..4]));
    for flags in [&[][..], &["--dry-run"]] {
        let said = home.fails(1, &[&SYNC[..], flags].concat()).await;
        assert_eq!(
            said,
            "error: 'mf6/test@develop' has 4 models where it had 10; what was synced before stays\nhint: if that is meant, take it with --allow-shrink\n"
        );
    }
    home.ok(&["files", "copy", "mf6/test@develop/m9", "out"]).await;
    repository.branch("develop", &commit(&repository, &all[..5]));
    let (synced, _) = sync(&hub, &home, &[]).await;
    assert!(synced.stdout.contains("  models gone: 5 (mf6/test/m5, "), "{synced:?}");
    // Of fewer than ten, any number may go.
    repository.branch("develop", &commit(&repository, &all[..1]));
    sync(&hub, &home, &[]).await;
    repository.branch("develop", &commit(&repository, &all));
    sync(&hub, &home, &[]).await;
    repository.branch("develop", &commit(&repository, &[]));
    let (synced, _) = sync(&hub, &home, &["--allow-shrink"]).await;
    assert!(synced.stdout.contains(": 0 models, 0 files"), "{synced:?}");
}

#[tokio::test]
async fn one_ref_that_fails_keeps_no_other_from_being_synced() {
    let (hub, repository, home) = scene().await;
    repository.branch("feature", &repository.commit([("README.md", "bare")]));
    home.write_config(&format!(
        "{}\n{}",
        SOURCE.replace("[\"develop\"]", "[\"feature\", \"develop\"]"),
        hub.config()
    ));
    let synced = home.run(&SYNC).await;
    assert_eq!(synced.code, 3, "{synced:?}");
    assert!(synced.stdout.starts_with("synced mf6/test@develop ("), "{synced:?}");
    assert!(synced.stderr.starts_with("error: mf6/test@feature: Registry file"), "{synced:?}");
    let unknown = home.fails(1, &["files", "sync", "--source", "mf6/tests"]).await;
    assert!(unknown.starts_with("error: Source 'mf6/tests' not found\nhint: Available sources: modflow6-examples (mf6/example)"), "{unknown}");
}
