//! Offline: no connection, whatever is asked.

use crate::files_scene::{Home, MODELS, SOURCE, files_of, finish, hub, model};
use callsheet_testkit::Signal;

#[tokio::test]
async fn offline_works_from_the_cache_and_opens_no_connection() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "copy", "mf6/test@develop/deep", "one"]).await;
    hub.forget_requests();
    home.ok(&["--offline", "files", "copy", "mf6/test@develop/deep", "two"]).await;
    assert_eq!(home.files("work/two"), model(&MODELS, "deep"));
    for args in [
        &["files", "list", "--verbose"][..],
        &["files", "info"],
        &["files", "show", "mf6/test@develop/simple"],
        &["files", "fetch", "mf6/test/deep"],
        &["files", "verify"],
        &["files", "gc"],
        &["files", "lock", "mf6/test@develop/deep"],
        &["files", "usage"],
        &["source", "list"],
    ] {
        home.ok(&[args, &["--offline"]].concat()).await;
    }
    home.ok(&["--offline", "files", "copy", "--locked", "three"]).await;
    assert_eq!(home.files("work/three"), model(&MODELS, "deep"));
    assert_eq!(hub.connections(), 0, "{:?}", hub.requests());
}

#[tokio::test]
async fn offline_names_what_is_missing() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE).env("CALLSHEET_OFFLINE", "1");
    let hint = "hint: leave out --offline once, so that they are fetched\n";
    let said = home.fails(1, &["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(
        said,
        format!("error: 'mf6/test@develop' is not synced, and this is offline mode\n{hint}")
    );
    assert_eq!(hub.connections(), 0);
    let mut fetch = home.command(&["files", "fetch", "mf6/test@develop/simple"]);
    fetch.env_remove("CALLSHEET_OFFLINE");
    assert_eq!(finish(fetch).await.code, 0);
    hub.forget_requests();
    let said = home.fails(1, &["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(
        said,
        format!(
            "error: 2 files of 'mf6/test@develop' are not in the cache, and this is offline mode: \
             deep/data/model.npf, deep/inner/mfsim.nam\n{hint}"
        )
    );
    assert!(!home.path("work/out").exists());
    // A damaged file is as good as none.
    std::fs::write(home.cached(b"one layer"), "two layer").unwrap();
    let said = home.fails(1, &["files", "copy", "mf6/test@develop/simple", "out"]).await;
    assert!(
        said.contains("1 file of 'mf6/test@develop' is not in the cache, and this is offline mode: simple/model.dis\n"),
        "{said}"
    );
    assert!(!home.path("work/out").exists());
    assert_eq!(hub.connections(), 0);
}

#[tokio::test]
async fn offline_a_sync_leaves_what_is_there() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    hub.forget_requests();
    let sync = ["files", "sync", "--source", "mf6/test", "--offline"];
    let synced = home.ok(&sync).await;
    assert_eq!(
        synced.stdout,
        "mf6/test@develop is up to date: already cached, and this is offline mode\n"
    );
    let said = home.fails(1, &[&sync[..], &["--ref", "master"]].concat()).await;
    assert_eq!(
        said,
        "error: 'mf6/test@master' is not synced, and this is offline mode\n\
         hint: leave out --offline once, so that they are fetched\n"
    );
    assert_eq!(hub.connections(), 0);
    let listed = home.ok(&["files", "list", "--json"]).await.json();
    assert_eq!(listed["registries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn offline_no_connection_leads_to_a_daemon_or_a_mirror_either() {
    let hub = hub().await;
    let server = crate::server(&format!("{SOURCE}\n{}", hub.config())).start().await;
    let fetched = server.cli(["files", "fetch", "mf6/test@develop/deep"]).await;
    assert_eq!(fetched.code, 0, "{fetched:?}");
    hub.forget_requests();
    // A daemon that stands still would keep whoever asks it.
    server.signal(Signal::STOP);
    let out = server.data_dir().join("out");
    let copied = server
        .cli(["--offline", "files", "copy", "mf6/test@develop/deep", out.to_str().unwrap()])
        .await;
    server.signal(Signal::CONT);
    assert_eq!(copied.code, 0, "{copied:?}");
    assert_eq!(files_of(&out), model(&MODELS, "deep"));
    assert_eq!(hub.connections(), 0);

    let mirror = format!("[files]\nmirrors = [\"{}\"]\n{SOURCE}", hub.web_url());
    let home = Home::with(&hub, &mirror);
    let said = home.fails(1, &["--offline", "files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert!(said.contains("'mf6/test@develop' is not synced"), "{said}");
    assert_eq!(hub.connections(), 0);
}
