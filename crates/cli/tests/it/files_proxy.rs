//! GitHub under its own names, through a proxy and over TLS.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, hub, model};
use callsheet_testkit::{ArchiveKind, FakeTree, GitHubHost};

#[tokio::test]
async fn everything_comes_through_a_proxy_and_over_tls() {
    let hub = hub().await;
    let examples = hub.repository("MODFLOW-ORG/modflow6-examples");
    let registry = "schema_version = \"1.0\"\n[files]\n\"a/mfsim.nam\" = {}\n[models]\n\"mf6/example/a\" = [\"a/mfsim.nam\"]\n[examples]\n";
    let archive = FakeTree::new().file("a/mfsim.nam", "example").archive(ArchiveKind::Zip, "");
    examples.release("current", [("models.toml", registry.into()), ("mf6examples.zip", archive)]);
    let proxy = hub.proxy().await;
    // Nothing says where GitHub is.
    let config = format!("[files]\nsingle_files = 2\n{SOURCE}");
    let home = proxy
        .env()
        .into_iter()
        .filter(|(name, _)| matches!(*name, "HTTPS_PROXY" | "SSL_CERT_FILE"))
        .fold(Home::new(&config), |home, (name, value)| home.env(name, &value));
    home.ok(&["files", "copy", "mf6/test@develop/deep", "deep"]).await;
    home.ok(&["files", "copy", "mf6/example@current/a", "example"]).await;
    assert_eq!(home.files("work/deep"), model(&MODELS, "deep"));
    assert_eq!(home.files("work/example")["mfsim.nam"], b"example");
    assert_eq!(hub.count(GitHubHost::Codeload, &format!("/{TEST_MODELS}/legacy.tar.gz/")), 1);
    for host in [GitHubHost::Api, GitHubHost::Web, GitHubHost::Raw, GitHubHost::Objects] {
        assert!(hub.count(host, "/") > 0, "{host:?}");
    }
    assert_eq!(hub.refused_by_proxy(), Vec::<String>::new());
    assert!(hub.unexpected().is_empty(), "{:?}", hub.unexpected());
}

#[tokio::test]
async fn who_cannot_be_trusted_is_not() {
    let hub = hub().await;
    let proxy = hub.proxy().await;
    let home = Home::new(SOURCE).env("HTTPS_PROXY", proxy.url());
    let said = home.fails(1, &["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert!(said.contains("cannot be trusted"), "{said}");
    assert!(
        said.contains(
            "hint: if the certificate is your own, name the file of its root in SSL_CERT_FILE\n"
        ),
        "{said}"
    );
    assert!(!home.path("work/out").exists());
    assert_eq!(hub.request_count(), 0);
}

#[tokio::test]
async fn a_proxy_that_is_gone_is_named() {
    let home = Home::new(SOURCE).env("HTTPS_PROXY", "http://127.0.0.1:9");
    let said = home.fails(1, &["files", "sync", "--source", "mf6/test"]).await;
    assert!(
        said.contains("'mf6/test@develop' could not be fetched: https://api.github.com/"),
        "{said}"
    );
    assert!(said.contains("the proxy in HTTPS_PROXY right?"), "{said}");
}
