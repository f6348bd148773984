//! Each key of `[store]`.

use crate::{
    observe::{seen, until},
    refresh_scene::{Home, models},
    server,
};
use callsheet_testkit::{FakeBackend, FakeProvider, Speaks, postgres::Postgres};
use insta::assert_snapshot;
use std::fs;

const REFRESH: [&str; 2] = ["model", "refresh"];

#[tokio::test]
async fn url_is_where_everything_is_kept() {
    let fake = FakeProvider::start(Speaks::OpenRouter, models(2)).await;
    let home = Home::new(&fake.config("p"));
    home.good(REFRESH).await;
    assert!(
        home.path("data/callsheet/catalog.db").exists(),
        "where it is unless something is said"
    );
    let elsewhere = home.path("elsewhere.db");
    let store = format!("[store]\nurl = \"sqlite://{}\"\n", elsewhere.display());
    home.configure(&format!("{}{store}", fake.config("p")));
    assert_eq!(home.keys().await.len(), 0);
    fake.set_models(models(3));
    home.good(REFRESH).await;
    assert!(elsewhere.exists());
    assert_eq!(home.keys().await.len(), 3);
    // Whoever says the same place sees the same.
    let other = Home::new(&store);
    assert_eq!(other.keys().await.len(), 3);
    home.configure("");
    assert_eq!(home.keys().await.len(), 2);
    // The variable goes before the file.
    let other = other.env("CALLSHEET_STORE_URL", "sqlite:///nowhere/at/all.db");
    let output = other.run(["model", "list"]).await;
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("/nowhere/at/all.db"), "{output:?}");
}

#[tokio::test]
async fn password_env_and_password_file_hold_the_password() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let started = Postgres::start_with_tls(&certificate, &key, "hush-hush");
    let (_server, address) = match started {
        Ok(started) => started,
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    };
    let home = Home::new("");
    let trusted = home.write("trusted.pem", &certificate);
    let home = home
        .env("SSL_CERT_FILE", trusted.to_str().unwrap())
        .env("PG_PASSWORD", "hush-hush")
        .env("PG_WRONG", "hush");
    let (right, wrong) = (home.write("right", "hush-hush\n"), home.write("wrong", "hush\n"));
    let store = |keys: &str| format!("[store]\nurl = \"{address}?sslmode=require\"\n{keys}\n");
    for keys in ["password_env = \"PG_PASSWORD\"".to_owned(), format!("password_file = {right:?}")]
    {
        home.configure(&store(&keys));
        home.good(["preset", "set", "free", "chat", "some-model"]).await;
        let output = home.good(["preset", "list"]).await;
        assert!(output.stdout.contains("some-model"), "{output:?}");
    }
    for keys in [
        "password_env = \"PG_WRONG\"".to_owned(),
        format!("password_file = {wrong:?}"),
        String::new(),
    ] {
        home.configure(&store(&keys));
        let output = home.run(["preset", "list"]).await;
        assert_eq!(output.code, 1, "{keys} {output:?}");
        assert!(!output.stderr.contains("hush"), "{output:?}");
    }
    assert!(!home.path("data/callsheet/catalog.db").exists());
    // A daemon lives on it as it does on a file.
    let fake = FakeBackend::start().await;
    let config = format!(
        "{}{}[health]\ninterval = \"100ms\"\n",
        store("password_env = \"PG_PASSWORD\""),
        fake.config("a")
    );
    let server = server(&config)
        .env("SSL_CERT_FILE", trusted.to_str().unwrap())
        .env("PG_PASSWORD", "hush-hush")
        .start()
        .await;
    assert_eq!(server.cli(["model", "refresh", "--provider", "a"]).await.code, 0);
    fake.set_models(["test-model", "another"]);
    let models = ["a:another", "a:test-model"];
    until("both models", async || {
        let listed = server.get("/api/v1/models").await.json();
        let listed = listed["models"].as_array().unwrap_or_else(|| panic!("{listed}"));
        listed.iter().map(|model| model["key"].as_str()).eq(models.map(Some)).then_some(())
    })
    .await;
    assert_eq!(server.cli(["model", "set", "a:another", "context_window=5k"]).await.code, 0);
    until("the card in force", async || {
        let model = server.get("/v1/models/another").await.json();
        (model["context_length"] == 5000).then_some(())
    })
    .await;
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
}

#[tokio::test]
async fn keep_is_for_how_long_old_changes_are_kept() {
    let fake = FakeProvider::start(Speaks::OpenRouter, models(1)).await;
    let home = Home::new(&fake.config("p"));
    home.good(REFRESH).await;
    fake.set_models(models(1).into_iter().map(|model| model.context(16_384)));
    home.good(REFRESH).await;
    assert_snapshot!(seen(&home.run(["store", "purge"]).await), @"
        exit code 0
        forgot 0 changes and 0 revisions older than 90d
        ");
    home.configure(&format!("{}[store]\nkeep = \"1ms\"\n", fake.config("p")));
    assert_snapshot!(seen(&home.run(["store", "purge", "--dry-run"]).await), @"
        exit code 0
        would forget 2 changes and 1 revision older than 1ms
        ");
    assert_snapshot!(seen(&home.run(["store", "purge"]).await), @"
        exit code 0
        forgot 2 changes and 1 revision older than 1ms
        ");
    assert_snapshot!(seen(&home.run(["store", "purge"]).await), @"
        exit code 0
        forgot 0 changes and 0 revisions older than 1ms
        ");
    let output = home.good(["model", "show", "p:acme/m00"]).await;
    assert!(output.stdout.contains("16,384"), "what is in force stays: {output:?}");
    assert!(fs::metadata(home.path("data/callsheet/catalog.db")).is_ok());
}

#[tokio::test]
async fn blobs_and_blobs_endpoint_say_where_large_bodies_are_kept() {
    let home = Home::new("");
    let shown = home.good(["config", "show", "--json"]).await.json();
    assert!(shown["store"].get("blobs").is_none(), "{shown}");
    for (keys, blobs, endpoint) in [
        ("blobs = \"/var/lib/blobs\"", "/var/lib/blobs", None),
        ("blobs = \"file:///var/lib/blobs\"", "file:///var/lib/blobs", None),
        ("blobs = \"s3://bucket/a/b\"", "s3://bucket/a/b", None),
        (
            "blobs = \"s3://bucket\"\nblobs_endpoint = \"http://127.0.0.1:9000\"",
            "s3://bucket",
            Some("http://127.0.0.1:9000"),
        ),
    ] {
        home.configure(&format!("[store]\n{keys}\n"));
        let shown = home.good(["config", "show", "--json"]).await.json();
        assert_eq!(shown["store"]["blobs"], blobs);
        assert_eq!(shown["store"]["blobs_endpoint"].as_str(), endpoint);
    }
    for (keys, key, expected) in [
        ("blobs = \"hush/blobs\"", "store.blobs", "an absolute path"),
        ("blobs = \"s3://id:hush@bucket\"", "store.blobs", "AWS_ACCESS_KEY_ID"),
        ("blobs = \"s3://bucket/../hush\"", "store.blobs", "s3://bucket/prefix"),
        (
            "blobs = \"s3://bucket\"\nblobs_endpoint = \"http://id:hush@h\"",
            "store.blobs_endpoint",
            "https://s3.example.com",
        ),
        (
            "blobs = \"/var/lib/blobs\"\nblobs_endpoint = \"http://hush\"",
            "store.blobs_endpoint",
            "s3://bucket/prefix",
        ),
        ("blobs_endpoint = \"http://hush\"", "store.blobs_endpoint", "s3://bucket/prefix"),
    ] {
        home.configure(&format!("[store]\n{keys}\n"));
        let output = home.run(["config", "check"]).await;
        assert_eq!(output.code, 1, "{output:?}");
        assert!(output.stderr.contains(&format!("`{key}`")), "{output:?}");
        assert!(output.stderr.contains(expected), "{output:?}");
        assert!(!output.stderr.contains("hush"), "{output:?}");
    }
}
