//! The lock file: the same bytes anywhere, or an error that names the difference.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, hub, model};
use callsheet_testkit::{ArchiveKind, FakeGitHub, FakeTree};
use callsheet_types::Digest;

const CHANGED: usize = 3;

/// Moves the branch to a commit where one file has changed.
fn move_on(hub: &FakeGitHub) -> String {
    let repository = hub.repository(TEST_MODELS);
    let mut changed = MODELS;
    changed[CHANGED].1 = "k = 2";
    let moved = commit(&repository, &changed);
    repository.branch("develop", &moved);
    moved
}

/// Brings a lock file to another home.
fn bring(from: &Home, to: &Home) {
    std::fs::copy(from.path("work/callsheet.lock"), to.path("work/callsheet.lock")).unwrap();
}

#[tokio::test]
async fn what_was_pinned_is_copied_wherever_the_branch_is_by_then() {
    let hub = hub().await;
    let here = Home::with(&hub, SOURCE);
    let pinned = here.ok(&["files", "lock", "mf6/test@develop/deep", "mf6/test/simple"]).await;
    assert_eq!(pinned.stdout, "callsheet.lock pins 2 models, 5 files\n");
    move_on(&hub);
    let there = Home::with(&hub, SOURCE);
    bring(&here, &there);
    let one = ["files", "copy", "--locked", "mf6/test@develop/deep", "one"];
    let copied = there.ok(&one).await;
    assert!(
        copied.stdout.starts_with("copied mf6/test@develop/deep to one: 3 files"),
        "{copied:?}"
    );
    assert_eq!(there.files("work/one"), model(&MODELS, "deep"));
    there.ok(&["files", "copy", "--locked=callsheet.lock", "both"]).await;
    let both = there.files("work/both");
    let names: Vec<_> = both.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "deep/data/model.npf",
            "deep/inner/mfsim.nam",
            "deep/mfsim.nam",
            "simple/mfsim.nam",
            "simple/model.dis"
        ]
    );
    assert_eq!(both["deep/data/model.npf"], b"k = 1");
    // Without the lock file, what is there now is copied.
    there.ok(&["files", "copy", "mf6/test@develop/deep", "now"]).await;
    assert_eq!(there.files("work/now")["data/model.npf"], b"k = 2");
    hub.stop().await;
    there.ok(&["files", "copy", "--locked", "mf6/test/deep", "again", "--offline"]).await;
    assert_eq!(there.files("work/again"), model(&MODELS, "deep"));
}

#[tokio::test]
async fn a_lock_file_is_the_same_wherever_it_is_made_and_check_says_if_it_is_stale() {
    let hub = hub().await;
    let (here, there) = (Home::with(&hub, SOURCE), Home::with(&hub, SOURCE));
    for (home, addresses) in [
        (&here, ["mf6/test@develop/deep", "mf6/test@develop/simple"]),
        (&there, ["mf6/test/mf6/simple", "modflow6-testmodels@develop/deep"]),
    ] {
        home.ok(&["files", "lock", addresses[0], addresses[1], "-o", "a.lock"]).await;
    }
    let text = std::fs::read_to_string(here.path("work/a.lock")).unwrap();
    assert_eq!(text, std::fs::read_to_string(there.path("work/a.lock")).unwrap());
    assert!(
        text.starts_with(
            "# Made by `callsheet files lock`. Commit it; do not edit it.\nversion = 1\n"
        ),
        "{text}"
    );
    let check = [
        "files",
        "lock",
        "mf6/test@develop/deep",
        "mf6/test@develop/simple",
        "-o",
        "a.lock",
        "--check",
    ];
    let fresh = here.ok(&check).await;
    assert_eq!(fresh.stdout, "a.lock is up to date: 2 models, 5 files\n");
    move_on(&hub);
    here.ok(&["files", "sync", "--source", "mf6/test"]).await;
    let stale = here.run(&check).await;
    assert_eq!((stale.code, &*stale.stdout), (4, "a.lock would change: 2 models, 5 files\n"));
    assert_eq!(text, std::fs::read_to_string(here.path("work/a.lock")).unwrap());
    let json = here.ok(&["files", "lock", "mf6/test@develop/deep", "--json"]).await.json();
    assert_eq!(json["version"], 1);
    assert_eq!(json["file-set"][0]["files"]["data/model.npf"], Digest::of(b"k = 2").to_string());
}

#[tokio::test]
async fn what_is_not_as_it_was_pinned_is_named_and_not_copied() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("MODFLOW-ORG/modflow6-examples");
    // The same tag is released anew, as its publisher does.
    let release = |files: &[(&str, &str)]| {
        let registry = "schema_version = \"1.0\"\n\n[files]\n\"a/mfsim.nam\" = {}\n\"a/x.npf\" = {}\n\n\
                        [models]\n\"mf6/example/a\" = [\"a/mfsim.nam\", \"a/x.npf\"]\n\n[examples]\n";
        let tree = files
            .iter()
            .fold(FakeTree::new(), |tree, (path, content)| tree.file(*path, (*content).to_owned()));
        let archive = tree.archive(ArchiveKind::Zip, "");
        repository.release("current", [("models.toml", registry.into()), ("a.zip", archive)]);
    };
    release(&[("a/mfsim.nam", "simulation"), ("a/x.npf", "k = 1")]);
    let (here, there) = (Home::seeing(&hub), Home::seeing(&hub));
    // Nobody says what is in these files before they are here.
    here.ok(&["files", "lock", "mf6/example@current/a"]).await;
    bring(&here, &there);
    there.ok(&["files", "copy", "--locked", "same"]).await;
    assert_eq!(there.files("work/same")["x.npf"], b"k = 1");
    release(&[("a/mfsim.nam", "simulation"), ("a/x.npf", "k = 2")]);
    let later = Home::seeing(&hub);
    bring(&here, &later);
    let said = later.fails(1, &["files", "copy", "--locked", "out"]).await;
    let (now, was) = (Digest::of(b"k = 2"), Digest::of(b"k = 1"));
    assert_eq!(
        said,
        format!(
            "error: 'mf6/example@current/a' is not as it was pinned: x.npf is {now}, was {was}\n"
        )
    );
    assert!(!later.path("work/out").exists());
}

#[tokio::test]
async fn a_lock_file_of_a_fork_leads_to_the_fork() {
    let hub = hub().await;
    let fork = hub.repository("me/modflow6-testmodels");
    let mut changed = MODELS;
    changed[CHANGED].1 = "k = 7";
    fork.branch("develop", &commit(&fork, &changed));
    let here = Home::with(&hub, SOURCE);
    let sync = ["files", "sync", "--source", "mf6/test", "--repo", "me/modflow6-testmodels"];
    here.ok(&sync).await;
    here.ok(&["files", "lock", "mf6/test@develop/deep"]).await;
    let there = Home::with(&hub, SOURCE);
    bring(&here, &there);
    there.ok(&["files", "copy", "--locked", "out"]).await;
    assert_eq!(there.files("work/out"), model(&changed, "deep"));
}

#[tokio::test]
async fn what_is_not_pinned_and_what_is_no_lock_file_is_said() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    let locked = ["files", "copy", "--locked", "out"];
    let said = home.fails(1, &locked).await;
    assert!(said.starts_with("error: the lock file callsheet.lock cannot be read: "), "{said}");
    home.ok(&["files", "lock", "mf6/test@develop/deep"]).await;
    let said =
        home.fails(1, &["files", "copy", "--locked", "mf6/test@develop/simple", "out"]).await;
    assert_eq!(said, "error: callsheet.lock does not pin 'mf6/test@develop/simple'\n");
    let text = std::fs::read_to_string(home.path("work/callsheet.lock")).unwrap();
    let (deep, simple) = (Digest::of(b"k = 1"), Digest::of(b"one layer"));
    for (bad, says) in [
        ("nonsense".to_owned(), "callsheet.lock is no lock file: "),
        (
            text.replace("version = 1", "version = 2"),
            "callsheet.lock is of version 2; this program reads 1",
        ),
        (text.replace("data/model.npf", "../model.npf"), "callsheet.lock is no lock file: "),
        (text.replace("data/model.npf", "/etc/model.npf"), "callsheet.lock is no lock file: "),
        (text.replace("sha256:", "md5:"), "callsheet.lock is no lock file: "),
        (text.replace("address", "adress"), "callsheet.lock is no lock file: "),
        (
            text.replace(&deep.to_string(), &simple.to_string()),
            &*format!(
                "'mf6/test@develop/deep' is not as it was pinned: data/model.npf is {deep}, was {simple}"
            ),
        ),
        (
            text.replace("data/model.npf", "data/other.npf"),
            "'mf6/test@develop/deep' is not as it was pinned: data/other.npf is gone; data/model.npf is new",
        ),
    ] {
        assert_ne!(bad, text, "{says}");
        home.write("work/callsheet.lock", &bad);
        let said = home.fails(1, &locked).await;
        assert!(said.starts_with(&format!("error: {says}")), "{says}: {said}");
        assert!(!home.path("work/out").exists(), "{says}");
    }
}
