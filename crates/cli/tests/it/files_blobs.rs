//! Registry files as they were published are kept where blobs are: a folder, or a bucket.

use crate::files_scene::{Home, MODELS, SOURCE, hub, model, registry_of};
use callsheet_testkit::{FakeGitHub, FakeS3};
use callsheet_types::Digest;

/// What one home synced, another that shares store and blobs reads, and nobody else is asked.
async fn shared(hub: &FakeGitHub, blobs: &str, env: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("catalog.db");
    let config = format!("[store]\nurl = \"sqlite://{}\"\n{blobs}\n{SOURCE}", database.display());
    let home =
        || env.iter().fold(Home::with(hub, &config), |home, (name, value)| home.env(name, value));
    let (one, other) = (home(), home());
    one.ok(&["files", "sync", "--source", "mf6/test"]).await;
    assert!(
        one.files("data").keys().all(|name| !name.contains("blobs")),
        "{:?}",
        one.files("data")
    );
    hub.stop().await;
    let listed = other.ok(&["files", "list", "--verbose"]).await;
    assert_eq!(
        listed.stdout,
        "mf6/test@develop:\n  mf6/test/deep\n  mf6/test/deep/inner\n  mf6/test/simple\n"
    );
    hub.restart().await;
    hub.forget_requests();
    other.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(other.files("work/out"), model(&MODELS, "deep"));
    assert_eq!(hub.request_count(), 3, "{:?}", hub.requests());
}

#[tokio::test]
async fn a_folder_of_blobs_is_shared() {
    let hub = hub().await;
    let blobs = tempfile::tempdir().unwrap();
    let folder = blobs.path().join("kept");
    shared(&hub, &format!("blobs = \"{}\"", folder.display()), &[]).await;
    let hex = Digest::of(registry_of(&MODELS).as_bytes()).hex();
    let path = folder.join("sha256").join(&hex[..2]).join(&hex[2..]);
    assert_eq!(std::fs::read_to_string(path).unwrap(), registry_of(&MODELS));
}

#[tokio::test]
async fn a_bucket_of_blobs_is_shared() {
    let s3 = match FakeS3::start() {
        Ok(s3) => s3,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    s3.make_bucket("callsheet").unwrap();
    let hub = hub().await;
    let blobs = format!("blobs = \"s3://callsheet/kept\"\nblobs_endpoint = \"{}\"", s3.url);
    let env = [
        ("AWS_ACCESS_KEY_ID", &*s3.key_id),
        ("AWS_SECRET_ACCESS_KEY", &*s3.secret),
        ("AWS_REGION", "us-east-1"),
    ];
    shared(&hub, &blobs, &env).await;
    let hex = Digest::of(registry_of(&MODELS).as_bytes()).hex();
    let keys: Vec<_> = s3.keys("callsheet").unwrap().into_keys().collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert!(keys[0].starts_with("kept/sha256/") && keys[0].ends_with(&hex[2..]), "{keys:?}");
}

#[tokio::test]
async fn a_damaged_blob_is_named_and_a_forced_sync_mends_it() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    let digest = Digest::of(registry_of(&MODELS).as_bytes());
    let hex = digest.hex();
    let blob = home.path(&format!("data/callsheet/blobs/sha256/{}/{}", &hex[..2], &hex[2..]));
    let registry = registry_of(&MODELS);
    std::fs::write(&blob, registry.replace("simple", "sample")).unwrap();
    // What was made of it is still right.
    home.ok(&["files", "list", "--verbose"]).await;
    std::fs::remove_dir_all(home.path("cache/callsheet/derived")).unwrap();
    let said = home.fails(1, &["files", "list", "--verbose"]).await;
    assert!(said.contains(&hex), "{said}");
    home.ok(&["files", "sync", "--source", "mf6/test", "--force"]).await;
    home.ok(&["files", "list", "--verbose"]).await;
    assert_eq!(std::fs::read_to_string(&blob).unwrap(), registry);
    // One that is gone is mended likewise.
    std::fs::remove_file(&blob).unwrap();
    std::fs::remove_dir_all(home.path("cache/callsheet/derived")).unwrap();
    let said = home.fails(1, &["files", "list", "--verbose"]).await;
    assert_eq!(
        said,
        "error: the registry of 'mf6/test@develop' is gone from where blobs are kept; sync it again with --force\n"
    );
    home.ok(&["files", "sync", "--source", "mf6/test", "--force"]).await;
    home.ok(&["files", "list", "--verbose"]).await;
}
