//! The same through a daemon, and a daemon as a mirror for others.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, files_of, finish, hub, model};
use callsheet_testkit::{FakeGitHub, GitHubHost, TestServer};
use callsheet_types::Digest;
use serde_json::json;

async fn daemon(hub: &FakeGitHub) -> TestServer {
    crate::server(&format!("{SOURCE}\n{}", hub.config())).start().await
}

#[tokio::test]
async fn commands_beside_a_daemon_do_the_same() {
    let hub = hub().await;
    let server = daemon(&hub).await;
    let out = |name: &str| server.data_dir().join(name).display().to_string();
    let ok = async |args: &[&str]| {
        let output = server.cli(args).await;
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
        output.stdout
    };
    let synced = ok(&["files", "sync", "--source", "mf6/test"]).await;
    assert!(synced.ends_with(": 3 models, 5 files, version controlled\n"), "{synced}");
    let listed = server.get("/api/v1/files?source=mf6/test&names=true").await;
    assert_eq!(listed.status, 200);
    let listed: serde_json::Value = serde_json::from_slice(&listed.body).unwrap();
    assert_eq!(
        listed["registries"][0]["model_names"],
        json!(["mf6/test/deep", "mf6/test/deep/inner", "mf6/test/simple"])
    );
    ok(&["files", "copy", "mf6/test@develop/deep", &out("one")]).await;
    assert_eq!(files_of(&server.data_dir().join("one")), model(&MODELS, "deep"));
    assert_eq!(ok(&["files", "verify"]).await, "3 files, 31B: 0 damaged\n");
    assert_eq!(ok(&["files", "gc"]).await, "removed 0 files, 0B; kept 3 files, 31B\n");
    ok(&["files", "lock", "mf6/test@develop/deep", "-o", &out("a.lock")]).await;
    ok(&["files", "copy", &format!("--locked={}", out("a.lock")), &out("two")]).await;
    assert_eq!(files_of(&server.data_dir().join("two")), model(&MODELS, "deep"));
    let used = ok(&["files", "usage"]).await;
    assert!(used.contains("mf6/test@develop/deep"), "{used}");
    let info = ok(&["files", "info"]).await;
    assert!(info.ends_with("\n  3 files, 31B\n"), "{info}");
    let missing = server.cli(["files", "copy", "mf6/test@develop/nothing", &out("three")]).await;
    assert_eq!(missing.code, 1);
    assert!(
        missing.stderr.contains("'nothing' not in registry of 'mf6/test@develop'"),
        "{missing:?}"
    );
    let cleared =
        ok(&["files", "clear", "--source", "mf6/test", "--ref", "develop", "--yes"]).await;
    assert_eq!(cleared, "cleared mf6/test@develop: 3 files, 31B\n");
    assert_eq!(ok(&["files", "list"]).await, "nothing is synced; `callsheet files sync` does it\n");
}

#[tokio::test]
async fn a_daemon_elsewhere_gives_its_bytes_by_digest() {
    let hub = hub().await;
    let server = daemon(&hub).await;
    // This home knows no source and sees no GitHub; the daemon does.
    let home = Home::new("");
    let url = server.url();
    home.ok(&["--server", &url, "files", "sync", "--source", "mf6/test"]).await;
    home.ok(&["--server", &url, "files", "copy", "mf6/test@develop/deep", "one"]).await;
    assert_eq!(home.files("work/one"), model(&MODELS, "deep"));
    // They are in the cache of this home, and none of them comes again.
    assert_eq!(std::fs::read(home.cached(b"k = 1")).unwrap(), b"k = 1");
    hub.stop().await;
    home.ok(&["--server", &url, "files", "copy", "mf6/test@develop/deep", "two"]).await;
    // A damaged one comes again, from the daemon.
    std::fs::write(home.cached(b"k = 1"), "k = 2").unwrap();
    home.ok(&["--server", &url, "files", "copy", "mf6/test@develop/deep", "three"]).await;
    for folder in ["two", "three"] {
        assert_eq!(home.files(&format!("work/{folder}")), model(&MODELS, "deep"), "{folder}");
    }
}

#[tokio::test]
async fn blobs_are_served_by_digest() {
    let hub = hub().await;
    let server = daemon(&hub).await;
    let path = |content: &[u8]| format!("/api/v1/files/blobs/{}", Digest::of(content));
    let unknown = server.get(&path(b"k = 1")).await;
    assert_eq!(unknown.status, 404);
    let synced = server.post_json("/api/v1/files/sync", &json!({"sources": ["mf6/test"]})).await;
    assert_eq!(synced.status, 200);
    hub.forget_requests();
    // What a synced registry names is fetched for whoever asks.
    let blob = server.get(&path(b"k = 1")).await;
    assert_eq!((blob.status, &*blob.body), (200, &b"k = 1"[..]));
    let etag = format!("\"{}\"", Digest::of(b"k = 1"));
    assert_eq!(blob.header("etag"), Some(&*etag));
    assert_eq!(hub.request_count(), 1);
    assert_eq!(server.get(&path(b"k = 1")).await.status, 200);
    assert_eq!(hub.request_count(), 1);
    assert_eq!(server.get(&path(b"nobody names this")).await.status, 404);
    for bad in ["sha256:zz", "..%2F..%2Fcatalog.db", "md5:00"] {
        let refused = server.get(&format!("/api/v1/files/blobs/{bad}")).await;
        assert_eq!(refused.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_the_source_for_what_it_lacks() {
    let hub = hub().await;
    let server = daemon(&hub).await;
    assert_eq!(server.cli(["files", "fetch", "mf6/test@develop/*"]).await.code, 0);
    let mirrors = format!("[files]\nmirrors = [\"{}\"]\n{SOURCE}", server.url());
    let home = Home::with(&hub, &mirrors);
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    hub.forget_requests();
    home.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "deep"));
    assert_eq!(hub.request_count(), 0, "{:?}", hub.requests());
    // A file that came after the daemon's last sync is not there.
    let repository = hub.repository(TEST_MODELS);
    let mut changed = MODELS;
    changed[1].1 = "two layers";
    repository.branch("develop", &commit(&repository, &changed));
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    hub.forget_requests();
    home.ok(&["files", "copy", "mf6/test@develop/simple", "simple"]).await;
    assert_eq!(home.files("work/simple"), model(&changed, "simple"));
    assert_eq!(hub.request_count(), 1, "{:?}", hub.requests());
}

#[tokio::test]
async fn a_mirror_that_lies_or_is_gone_does_no_harm() {
    let hub = hub().await;
    // Whatever answers at these addresses is a mirror.
    let liar = FakeGitHub::start().await;
    let blobs = liar.repository("api/v1");
    let lies = MODELS.map(|(_, content)| {
        (format!("blobs/{}", Digest::of(content.as_bytes())), format!("not {content}"))
    });
    blobs.branch("files", &blobs.commit(lies));
    let gone = FakeGitHub::start().await;
    gone.stop().await;
    let mirrors = [gone.raw_url(), liar.raw_url()];
    let home = Home::with(&hub, &format!("[files]\nmirrors = {mirrors:?}\n{SOURCE}"));
    home.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "deep"));
    assert!(liar.count(GitHubHost::Raw, "/api/v1/files/blobs/sha256:") >= 1);
    home.ok(&["files", "verify"]).await;
}

#[tokio::test]
async fn what_a_daemon_publishes_is_a_source_for_others() {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    repository.branch("feature/x", &commit(&repository, &MODELS));
    let server = daemon(&hub).await;
    for reference in ["develop", "feature/x"] {
        let synced =
            server.cli(["files", "sync", "--source", "mf6/test", "--ref", reference]).await;
        assert_eq!(synced.code, 0, "{synced:?}");
    }
    let home = Home::new(&format!(
        "[sources.modflow6-testmodels]\ntype = \"http\"\nname = \"mf6/test\"\nrefs = [\"develop\", \"feature/x\"]\n\
         url = \"{}/api/v1/files/published/mf6%2Ftest/{{ref}}\"\n",
        server.url()
    ));
    let synced = home.ok(&["files", "sync", "--source", "mf6/test"]).await.stdout;
    assert_eq!(
        synced,
        "synced mf6/test@develop: 3 models, 5 files, plain\n\
         synced mf6/test@feature/x: 3 models, 5 files, plain\n"
    );
    home.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    home.ok(&["files", "copy", "mf6/test@feature%2Fx/simple", "simple"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "deep"));
    assert_eq!(home.files("work/simple"), model(&MODELS, "simple"));
    // Nothing has changed, and no bytes say so.
    let again = home.ok(&["files", "sync", "--source", "mf6/test"]).await.stdout;
    assert_eq!(
        again,
        "mf6/test@develop is up to date: already cached\n\
         mf6/test@feature/x is up to date: already cached\n"
    );
    let said = home.fails(1, &["files", "sync", "--source", "mf6/test", "--ref", "gone"]).await;
    assert!(said.starts_with("error: mf6/test@gone: "), "{said}");
}

#[tokio::test]
async fn files_without_a_hash_are_published_as_they_came() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository(TEST_MODELS);
    let registry = "schema_version = \"1.0\"\n[files]\n\"a/mfsim.nam\" = {}\n[models]\n\"mf6/test/a\" = [\"a/mfsim.nam\"]\n[examples]\n";
    let files = [("mf6/a/mfsim.nam", "simulation"), (".registry/models.toml", registry)];
    repository.branch("develop", &repository.commit(files));
    let server = daemon(&hub).await;
    let synced = server.cli(["files", "sync", "--source", "mf6/test"]).await;
    assert_eq!(synced.code, 0, "{synced:?}");
    let home = Home::new(&format!(
        "[sources.modflow6-testmodels]\ntype = \"http\"\nname = \"mf6/test\"\nrefs = [\"develop\"]\n\
         url = \"{}/api/v1/files/published/mf6%2Ftest/{{ref}}\"\n",
        server.url()
    ));
    home.ok(&["files", "copy", "mf6/test@develop/a", "out"]).await;
    assert_eq!(home.files("work/out")["mfsim.nam"], b"simulation");
}

#[tokio::test]
async fn a_lock_file_is_heeded_through_a_daemon_elsewhere() {
    let hub = hub().await;
    let server = daemon(&hub).await;
    let home = Home::new("");
    let url = server.url();
    home.ok(&["--server", &url, "files", "lock", "mf6/test@develop/deep"]).await;
    let repository = hub.repository(TEST_MODELS);
    let mut changed = MODELS;
    changed[3].1 = "k = 2";
    repository.branch("develop", &commit(&repository, &changed));
    home.ok(&["--server", &url, "files", "sync", "--source", "mf6/test"]).await;
    home.ok(&["--server", &url, "files", "copy", "--locked", "pinned"]).await;
    home.ok(&["--server", &url, "files", "copy", "mf6/test@develop/deep", "now"]).await;
    assert_eq!(home.files("work/pinned"), model(&MODELS, "deep"));
    assert_eq!(home.files("work/now"), model(&changed, "deep"));
}

#[tokio::test]
async fn many_at_once_through_one_daemon_are_all_served() {
    let hub = hub().await;
    let server = daemon(&hub).await;
    let url = server.url();
    let home = Home::new("");
    let folders: Vec<String> = (0..8).map(|number| format!("out-{number}")).collect();
    let running: Vec<_> = folders
        .iter()
        .map(|folder| {
            let args = ["--server", &url, "files", "copy", "mf6/test@develop/deep", folder];
            tokio::spawn(finish(home.command(&args)))
        })
        .collect();
    for copied in running {
        let copied = copied.await.unwrap();
        assert_eq!(copied.code, 0, "{copied:?}");
    }
    for folder in &folders {
        assert_eq!(home.files(&format!("work/{folder}")), model(&MODELS, "deep"));
    }
}
