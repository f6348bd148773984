//! What keeps a registry from being found is told apart: that it is not there, that nobody could be
//! asked, and that what came is none.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, hub};
use callsheet_testkit::{GitHubFault, GitHubHost};

const SYNC: [&str; 4] = ["files", "sync", "--source", "mf6/test"];

/// What discovery says where something is not there.
const NOT_THERE: [&str; 3] = ["does not exist", "not found as release asset", "not found in"];

fn is_trouble(said: &str, says: &str) {
    assert!(said.starts_with("error: 'mf6/test@develop' could not be fetched: "), "{said}");
    assert!(said.contains(says), "{says}: {said}");
    for text in NOT_THERE {
        assert!(!said.contains(text), "{said}");
    }
}

#[tokio::test]
async fn nobody_answers() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    hub.stop().await;
    let said = home.fails(1, &SYNC).await;
    is_trouble(&said, &hub.api_url());
    let said = home.mf(&["models", "sync", "--source", "mf6/test"]).await;
    assert_eq!(said.code, 1);
    assert!(
        said.stdout.ends_with("\nSync complete:\n  Synced: 0\n  Skipped: 0\n  Failed: 1\n"),
        "{said:?}"
    );
    assert!(
        said.stderr.contains("  mf6/test@develop: 'mf6/test@develop' could not be fetched"),
        "{said:?}"
    );
}

#[tokio::test]
async fn the_server_fails() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    let places = [
        (GitHubHost::Api, format!("/repos/{TEST_MODELS}/releases/tags/")),
        (GitHubHost::Api, format!("/repos/{TEST_MODELS}/git/ref/heads/")),
        (GitHubHost::Raw, "/".to_owned()),
    ];
    for (host, prefix) in places {
        hub.fault(host, &prefix, GitHubFault::status(500));
        is_trouble(&home.fails(1, &SYNC).await, "500");
        hub.heal();
    }
    // One answer is made up for by the next.
    hub.fault_next(1, GitHubHost::Api, "/", GitHubFault::status(502));
    home.ok(&SYNC).await;
}

#[tokio::test]
async fn the_rate_limit_is_named_with_what_helps() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    hub.fault(GitHubHost::Api, "/", GitHubFault::rate_limited(4_102_444_800));
    let said = home.fails(1, &SYNC).await;
    is_trouble(&said, "2100-01-01");
    assert!(said.contains("hint: ") && said.contains("GITHUB_TOKEN"), "{said}");
    assert_eq!(hub.request_count(), 1, "what is used up is not asked again");
}

#[tokio::test]
async fn a_login_page_is_no_answer() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    for host in [GitHubHost::Api, GitHubHost::Raw] {
        hub.fault(host, "/", GitHubFault::Html);
        is_trouble(&home.fails(1, &SYNC).await, "web page");
        hub.heal();
    }
    let repository = hub.repository(TEST_MODELS);
    repository.release("develop", [("models.toml", "schema_version = \"1.0\"\n")]);
    for host in [GitHubHost::Web, GitHubHost::Objects] {
        hub.fault(host, "/", GitHubFault::Html);
        is_trouble(&home.fails(1, &SYNC).await, "web page");
        hub.heal();
    }
    assert_eq!(
        home.ok(&["files", "list"]).await.stdout,
        "nothing is synced; `callsheet files sync` does it\n"
    );
}

#[tokio::test]
async fn what_is_no_registry_is_refused_with_its_place_and_the_earlier_stays() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&SYNC).await;
    let repository = hub.repository(TEST_MODELS);
    for (text, says) in [
        ("[files]\nthis is no TOML\n", "line 2 is no TOML"),
        ("[files\n", "line 1 is no TOML"),
        ("schema_version = \"2.0\"\n", "its schema_version is \"2.0\"; this program reads 1"),
        ("<!DOCTYPE html><title>no</title>", "it is a web page"),
        ("[files]\na = {hash = \"sha256:12\"}\n", "`files.a.hash`"),
        ("[files]\n[models]\nm = [\"a\"]\n", "\"a\""),
        ("[files]\n\"../a\" = {}\n", "unsafe path"),
    ] {
        repository.branch("develop", &repository.commit([(".registry/models.toml", text)]));
        let said = home.fails(1, &SYNC).await;
        assert!(
            said.starts_with("error: mf6/test@develop: the registry of 'mf6/test@develop' at "),
            "{said}"
        );
        assert!(said.contains("/.registry/models.toml cannot be used: "), "{said}");
        assert!(said.contains(says), "{says}: {said}");
        assert!(said.contains("; what was synced before stays\n"), "{said}");
        let copied = home.ok(&["files", "copy", "mf6/test@develop/simple", "out", "--force"]).await;
        assert!(
            copied.stdout.contains("2 files") || copied.stdout.contains("2 were there"),
            "{copied:?}"
        );
    }
    repository.branch("develop", &commit(&repository, &MODELS[..2]));
    home.ok(&[&SYNC[..], &["--allow-shrink"]].concat()).await;
}
