//! `files.auto_sync`: what was never synced is synced by the way, and that it fails breaks nothing.

use crate::{
    files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, hub},
    server,
};
use callsheet_testkit::{GitHubFault, GitHubHost};

/// The other shipped sources switched off, so that everything succeeds.
const ALONE: &str = "[files]\nauto_sync = true\n\
    [sources.modflow6-examples]\nrefs = []\n[sources.modflow6-largetestmodels]\nrefs = []\n";

/// Likewise of what is no model.
fn alone(home: &Home) {
    home.write("config/callsheet/programs.toml", "[sources.modflow6]\nrefs = []\n");
    home.write("config/callsheet/dfns.toml", "[sources.modflow6]\nrefs = []\n");
}

#[tokio::test]
async fn what_was_never_synced_is_synced_before_it_is_listed() {
    let hub = hub().await;
    let home = Home::with(&hub, &format!("{ALONE}{SOURCE}"));
    alone(&home);
    let listed = home.ok(&["files", "list", "--verbose"]).await;
    assert_eq!(
        (listed.stdout.as_str(), listed.stderr.as_str()),
        ("mf6/test@develop:\n  mf6/test/deep\n  mf6/test/deep/inner\n  mf6/test/simple\n", "")
    );
    let asked = hub.request_count();
    // What moves is left to whoever syncs.
    let repository = hub.repository(TEST_MODELS);
    repository.branch("develop", &commit(&repository, &MODELS[..2]));
    let listed = home.mf(&["models", "list"]).await;
    assert_eq!(listed.stdout, "Available models:\n\nmf6/test@develop:\n  Models: 3\n");
    home.ok(&["files", "info"]).await;
    assert_eq!(hub.request_count(), asked);
    assert_eq!(hub.unexpected().len(), 0);
}

#[tokio::test]
async fn a_failed_sync_warns_and_breaks_no_other_command() {
    let hub = hub().await;
    let home = Home::with(&hub, &format!("{ALONE}{SOURCE}"));
    alone(&home);
    hub.fault(GitHubHost::Api, "/", GitHubFault::status(404));
    let warning = "warning: mf6/test@develop was not synced: Registry discovery failed, ref 'mf6/test@develop' does not exist\n";
    let listed = home.ok(&["files", "list"]).await;
    assert_eq!(listed.stdout, "nothing is synced; `callsheet files sync` does it\n");
    assert_eq!(listed.stderr, warning);
    let info = home.ok(&["files", "info"]).await;
    assert!(info.stdout.contains("  missing: develop\n"), "{info:?}");
    assert_eq!(info.stderr, warning);
    let listed = home.mf(&["models", "list"]).await;
    assert_eq!(listed.code, 0, "{listed:?}");
    assert_eq!(listed.stdout, "No cached registries. Run 'sync' first.\n");
    assert_eq!(listed.stderr, warning);
    let quiet = home.ok(&["files", "list", "--quiet"]).await;
    assert_eq!(quiet.stderr, "");
    let asked = hub.request_count();
    let offline = home.ok(&["files", "list", "--offline"]).await;
    assert_eq!((offline.stderr.as_str(), hub.request_count()), ("", asked));
    hub.heal();
    let listed = home.ok(&["files", "list", "--verbose"]).await;
    assert!(listed.stdout.starts_with("mf6/test@develop:\n"), "{listed:?}");
}

#[tokio::test]
async fn the_daemon_syncs_at_its_start() {
    let hub = hub().await;
    let config = format!("{ALONE}{SOURCE}{}", hub.config());
    let mut daemon = server(&config).start().await;
    daemon.wait_for_stderr("files synced").await;
    let listed = daemon.cli(["files", "list", "--publishes", "models", "--verbose"]).await;
    assert_eq!(
        listed.stdout,
        "mf6/test@develop:\n  mf6/test/deep\n  mf6/test/deep/inner\n  mf6/test/simple\n"
    );
    daemon.wait_for_stderr("files not synced").await;
    let log = daemon.stderr();
    // Nobody has MODFLOW 6 itself here, and the log says so of each ref.
    assert!(
        log.contains("Registry discovery failed, ref 'modflow6@6.7.0' does not exist"),
        "{log}"
    );
    assert_eq!(daemon.get("/readyz").await.status, 200);
    let of_models = format!("/repos/{TEST_MODELS}/");
    let asked = hub.count(GitHubHost::Api, &of_models);
    daemon.restart().await;
    daemon.wait_for_stderr("files not synced").await;
    assert_eq!(hub.count(GitHubHost::Api, &of_models), asked, "what is synced is not asked for");
    daemon.stop().await;
}

#[tokio::test]
async fn a_daemon_without_a_network_starts_all_the_same() {
    let hub = hub().await;
    let config = format!("{ALONE}{SOURCE}{}", hub.config());
    hub.stop().await;
    let daemon = server(&config).start().await;
    daemon.wait_for_stderr("files not synced").await;
    assert_eq!(daemon.get("/readyz").await.status, 200);
    assert_eq!(daemon.get("/api/v1/files").await.json()["registries"].as_array().unwrap().len(), 0);
}
