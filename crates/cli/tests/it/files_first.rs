//! From an address to verified files in a folder.

use crate::files_scene::{Home, SOURCE, hub};

#[tokio::test]
async fn a_model_is_synced_listed_and_copied() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    let synced = home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    assert!(synced.stdout.contains("synced mf6/test@develop"), "{synced:?}");
    assert!(synced.stdout.contains("3 models, 5 files, version controlled"), "{synced:?}");
    let listed = home.ok(&["files", "list", "--verbose"]).await;
    assert_eq!(
        listed.stdout,
        "mf6/test@develop:\n  mf6/test/deep\n  mf6/test/deep/inner\n  mf6/test/simple\n"
    );
    let copied = home.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert!(
        copied.stdout.starts_with("copied mf6/test@develop/deep to out: 3 files"),
        "{copied:?}"
    );
    let files = home.files("work/out");
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["data/model.npf", "inner/mfsim.nam", "mfsim.nam"]);
    assert_eq!(files["data/model.npf"], b"k = 1");
    assert!(hub.unexpected().is_empty(), "{:?}", hub.unexpected());
}

#[tokio::test]
async fn mf_copies_a_model_that_was_never_synced() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    let empty = home.mf(&["models", "list"]).await;
    assert_eq!(empty.stdout, "No cached registries. Run 'sync' first.\n", "{empty:?}");
    let copied = home.mf(&["models", "copy", "mf6/test/simple", "out"]).await;
    assert_eq!(copied.code, 0, "{copied:?}");
    assert_eq!(copied.stdout, "Successfully copied model 'mf6/test/simple' to: out\n");
    assert_eq!(home.files("work/out").len(), 2);
    let unknown = home.mf(&["models", "copy", "mf6/test/nothing", "out2"]).await;
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.stderr.contains("not in registry"), "{unknown:?}");
    assert!(!home.path("work/out2").exists());
}
