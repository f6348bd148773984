//! One copy of equal bytes, asked for once and verified whenever it is used.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, hub, model, registry_of};
use callsheet_testkit::{FakeGitHub, GitHubHost};
use callsheet_types::Digest;

#[tokio::test]
async fn a_second_copy_asks_nobody() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "copy", "mf6/test@develop/deep", "one"]).await;
    hub.stop().await;
    let (connections, requests) = (hub.connections(), hub.request_count());
    home.ok(&["files", "copy", "mf6/test@develop/deep", "two"]).await;
    home.ok(&["files", "copy", "mf6/test/deep", "three"]).await;
    for folder in ["one", "two", "three"] {
        assert_eq!(home.files(&format!("work/{folder}")), model(&MODELS, "deep"), "{folder}");
    }
    assert_eq!((hub.connections(), hub.request_count()), (connections, requests));
}

#[tokio::test]
async fn one_flipped_byte_is_found_and_that_file_alone_comes_again() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "copy", "mf6/test@develop/deep", "first"]).await;
    let cached = home.cached(b"k = 1");
    for (round, damage) in
        [&b"K = 1"[..], b"k = 2", b"k", b"", b"k = 1 and more"].into_iter().enumerate()
    {
        std::fs::write(&cached, damage).unwrap();
        hub.forget_requests();
        let to = format!("again-{round}");
        home.ok(&["files", "copy", "mf6/test@develop/deep", &to]).await;
        assert_eq!(home.files(&format!("work/{to}")), model(&MODELS, "deep"), "{damage:?}");
        let paths: Vec<_> = hub.requests().into_iter().map(|request| request.path).collect();
        assert_eq!(paths.len(), 1, "{paths:?}");
        assert!(paths[0].ends_with("/mf6/deep/data/model.npf"), "{paths:?}");
        assert_eq!(std::fs::read(&cached).unwrap(), b"k = 1");
    }
}

#[tokio::test]
async fn what_is_not_as_its_registry_says_is_never_copied() {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let registry = registry_of(&MODELS);
    let (is, says) = (Digest::of(b"one layer"), Digest::of(b"two layers"));
    let registry = registry.replace(&is.to_string(), &says.to_string());
    let files = MODELS.iter().map(|(path, content)| (*path, (*content).to_owned()));
    let wrong = repository.commit(files.chain([(".registry/models.toml", registry)]));
    repository.branch("develop", &wrong);
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    hub.forget_requests();
    let said = home.fails(1, &["files", "copy", "mf6/test@develop/simple", "out"]).await;
    let expected = format!(
        "error: 'simple/model.dis' of 'mf6/test@develop' is not what was published: expected {says}, got {is}\n\
         hint: whoever publishes it has changed the file without its registry, or something on the way has\n"
    );
    assert_eq!(said, expected);
    assert!(home.files("work").is_empty());
    // Something on the way may have damaged it, so that it is asked for once more.
    let asked = format!("/{TEST_MODELS}/{wrong}/mf6/simple/model.dis");
    assert_eq!(hub.count(GitHubHost::Raw, &asked), 2);
    // The other models are none the worse for it.
    home.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "deep"));
}

#[tokio::test]
async fn equal_bytes_at_two_refs_are_fetched_and_kept_once() {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let mut changed = MODELS;
    changed[3].1 = "k = 2";
    repository.branch("next", &commit(&repository, &changed));
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "copy", "mf6/test@develop/deep", "develop"]).await;
    let cached = home.ok(&["files", "info", "--json"]).await.json()["cache"].clone();
    assert_eq!((&cached["files"], &cached["bytes"]), (&3.into(), &31.into()));
    home.ok(&["files", "sync", "--source", "mf6/test", "--ref", "next"]).await;
    hub.forget_requests();
    home.ok(&["files", "copy", "mf6/test@next/deep", "next"]).await;
    assert_eq!(hub.request_count(), 1, "{:?}", hub.requests());
    assert_eq!(home.files("work/develop"), model(&MODELS, "deep"));
    assert_eq!(home.files("work/next"), model(&changed, "deep"));
    let cached = home.ok(&["files", "info", "--json"]).await.json()["cache"].clone();
    assert_eq!((&cached["files"], &cached["bytes"]), (&4.into(), &36.into()));
}

/// A GitHub whose registry says no hash of any file.
async fn unverified() -> FakeGitHub {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository(TEST_MODELS);
    let base = format!("https://raw.githubusercontent.com/{TEST_MODELS}/develop/mf6");
    let registry = format!(
        "schema_version = \"1.0\"\n\n\
         [files.\"simple/mfsim.nam\"]\nurl = \"{base}/simple/mfsim.nam\"\n\n\
         [files.\"simple/model.dis\"]\nurl = \"{base}/simple/model.dis\"\n\n\
         [models]\n\"mf6/test/simple\" = [\n    \"simple/mfsim.nam\",\n    \"simple/model.dis\",\n]\n\n\
         [examples]\n"
    );
    let files = MODELS.iter().map(|(path, content)| (*path, (*content).to_owned()));
    let commit = repository.commit(files.chain([(".registry/models.toml", registry)]));
    repository.branch("develop", &commit);
    hub
}

#[tokio::test]
async fn files_without_a_hash_are_marked_and_remembered_as_they_came() {
    let hub = unverified().await;
    let home = Home::seeing(&hub);
    let synced = home.ok(&["files", "sync", "--source", "mf6/test", "--ref", "develop"]).await;
    assert!(
        synced.stdout.ends_with("  warning: 2 files have no hash, and count as unverified\n"),
        "{synced:?}"
    );
    home.ok(&["files", "copy", "mf6/test@develop/simple", "one"]).await;
    let shown = home.ok(&["files", "show", "mf6/test@develop/simple"]).await.stdout;
    let digest = Digest::of(b"one layer");
    assert!(shown.contains(&format!("  model.dis  {digest}  (unverified)\n")), "{shown}");
    // What nobody vouches for is kept as well as everything else.
    home.ok(&["files", "gc"]).await;
    hub.stop().await;
    home.ok(&["files", "copy", "mf6/test@develop/simple", "two"]).await;
    for folder in ["one", "two"] {
        assert_eq!(home.files(&format!("work/{folder}")), model(&MODELS, "simple"), "{folder}");
    }
    hub.restart().await;
    hub.forget_requests();
    std::fs::write(home.cached(b"one layer"), "two layer").unwrap();
    home.ok(&["files", "copy", "mf6/test@develop/simple", "three"]).await;
    assert_eq!(home.files("work/three"), model(&MODELS, "simple"));
    assert_eq!(hub.request_count(), 1, "{:?}", hub.requests());
}

#[tokio::test]
async fn several_homes_may_share_one_cache() {
    let hub = hub().await;
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("shared");
    let config = format!("[files]\ncache_dir = \"{}\"\n{SOURCE}", cache.display());
    let (one, other) = (Home::with(&hub, &config), Home::with(&hub, &config));
    one.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    other.ok(&["files", "sync", "--source", "mf6/test"]).await;
    hub.forget_requests();
    other.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(other.files("work/out"), model(&MODELS, "deep"));
    assert_eq!(hub.request_count(), 0);
    assert!(!one.path("cache/callsheet").exists() && cache.join("CACHEDIR.TAG").exists());
}

#[tokio::test]
async fn a_cache_that_cannot_be_used_is_named() {
    let hub = hub().await;
    let home = Home::new("");
    home.write("cache-file", "no folder");
    let file = home.path("cache-file");
    home.write_config(&format!(
        "[files]\ncache_dir = \"{}\"\n{SOURCE}{}",
        file.display(),
        hub.config()
    ));
    let said = home.fails(1, &["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert!(said.starts_with("error: ") && said.contains(&*file.display().to_string()), "{said}");
    assert!(!home.path("work/out").exists());
    assert_eq!(std::fs::read(&file).unwrap(), b"no folder");
}
