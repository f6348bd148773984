//! Hosts that answer with something else, and people who ask for what leads elsewhere.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, hub, model};
use callsheet_testkit::{ArchiveKind, FakeGitHub, FakeTree, GitHubFault, GitHubHost};
use std::collections::BTreeMap;

/// Syncs under a fault, which must fail and leave what was synced before.
async fn sync_fails(host: GitHubHost, prefix: &str, fault: GitHubFault, says: &str) {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    let before = home.ok(&["files", "list", "--json"]).await.json();
    let repository = hub.repository(TEST_MODELS);
    let mut changed = MODELS;
    changed[3].1 = "k = 2";
    repository.branch("develop", &commit(&repository, &changed));
    hub.fault(host, prefix, fault);
    let said = home.fails(1, &["files", "sync", "--source", "mf6/test"]).await;
    assert!(
        said.starts_with("error: 'mf6/test@develop' could not be fetched: http://127.0.0.1:"),
        "{said}"
    );
    assert!(said.contains(says), "{says}: {said}");
    assert!(said.contains("; what was synced before stays\n"), "{said}");
    assert_eq!(home.ok(&["files", "list", "--json"]).await.json(), before);
    hub.heal();
    home.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "deep"));
}

#[tokio::test]
async fn a_web_page_is_no_answer() {
    let says = " answered with a web page instead of what was asked for";
    sync_fails(GitHubHost::Api, "/repos/", GitHubFault::Html, says).await;
    sync_fails(GitHubHost::Raw, "/", GitHubFault::Html, says).await;
}

#[tokio::test]
async fn redirects_that_lead_round_or_out_of_http_are_not_followed() {
    for host in [GitHubHost::Api, GitHubHost::Raw] {
        sync_fails(host, "/", GitHubFault::RedirectLoop, " redirects where it is not followed: ")
            .await;
        for to in ["ftp://127.0.0.1/models.toml", "file:///etc/passwd"] {
            let fault = GitHubFault::Redirect(to.to_owned());
            sync_fails(host, "/", fault, " redirects where it is not followed: ").await;
        }
    }
}

#[tokio::test]
async fn a_body_without_an_end_is_given_up() {
    sync_fails(GitHubHost::Api, "/repos/", GitHubFault::Endless, " answered with more than ").await;
}

/// Copies under a fault, which must fail and write nothing; heals, and copies.
async fn copy_fails(host: GitHubHost, config: &str, fault: GitHubFault, says: &str) {
    let hub = hub().await;
    let home = Home::with(&hub, &format!("[files]\n{config}{SOURCE}"));
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    hub.fault(host, "/", fault);
    let said = home.fails(1, &["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert!(said.starts_with("error: '") && said.contains("'mf6/test@develop"), "{said}");
    assert!(said.contains(says), "{says}: {said}");
    assert_eq!(home.files("work"), BTreeMap::new());
    // Nothing of it is gone on with.
    hub.heal();
    home.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "deep"));
    home.ok(&["files", "verify"]).await;
}

const SINGLE: &str = "max_file_bytes = \"64KiB\"\n";
const ARCHIVE: &str = "single_files = 1\n";

#[tokio::test]
async fn files_from_hosts_that_misbehave_are_not_copied() {
    for (host, config) in [(GitHubHost::Raw, SINGLE), (GitHubHost::Codeload, ARCHIVE)] {
        copy_fails(host, config, GitHubFault::Html, "answered with a web page").await;
        copy_fails(host, config, GitHubFault::RedirectLoop, "redirects where it is not followed")
            .await;
        let fault = GitHubFault::Redirect("file:///etc/passwd".to_owned());
        copy_fails(host, config, fault, "redirects where it is not followed").await;
        copy_fails(host, config, GitHubFault::status(451), "answered 451").await;
    }
    copy_fails(
        GitHubHost::Raw,
        SINGLE,
        GitHubFault::Endless,
        "answered with more than 65536 bytes",
    )
    .await;
    let flipped = GitHubFault::FlippedByte { at: 0 };
    copy_fails(GitHubHost::Raw, SINGLE, flipped, "is not what was published: expected sha256:")
        .await;
}

#[tokio::test]
async fn a_release_asset_from_a_host_that_misbehaves_is_not_used() {
    for (fault, says) in [
        (GitHubFault::Html, "answered with a web page"),
        (GitHubFault::RedirectLoop, "redirects where it is not followed"),
        (
            GitHubFault::Redirect("ftp://127.0.0.1/a.zip".to_owned()),
            "redirects where it is not followed",
        ),
    ] {
        let hub = FakeGitHub::start().await;
        let repository = hub.repository("MODFLOW-ORG/modflow6-examples");
        let registry = "schema_version = \"1.0\"\n[files]\n\"a/mfsim.nam\" = {}\n[models]\n\"mf6/example/a\" = [\"a/mfsim.nam\"]\n[examples]\n";
        let archive = FakeTree::new().file("a/mfsim.nam", "example").archive(ArchiveKind::Zip, "");
        repository.release("current", [("models.toml", registry.into()), ("a.zip", archive)]);
        let home = Home::seeing(&hub);
        home.ok(&["files", "sync", "--source", "mf6/example"]).await;
        hub.fault(GitHubHost::Objects, "/", fault);
        let said = home.fails(1, &["files", "copy", "mf6/example@current/a", "out"]).await;
        assert!(said.starts_with("error: 'mf6/example@current' could not be fetched: "), "{said}");
        assert!(said.contains(says), "{says}: {said}");
        assert_eq!(home.files("work"), BTreeMap::new());
        hub.heal();
        home.ok(&["files", "copy", "mf6/example@current/a", "out"]).await;
    }
}

#[tokio::test]
async fn names_that_lead_elsewhere_reach_nothing() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    for at in [
        "victim",
        "cache/victim",
        "cache/callsheet/victim",
        "data/victim",
        "work/victim",
        "data/callsheet/victim",
    ] {
        home.write(&format!("{at}/models.toml"), "precious");
    }
    let snapshot = || {
        let mut files = home.files("");
        // Opening a database touches what is beside it.
        files.retain(|path, _| !path.starts_with("data/callsheet/catalog.db"));
        files
    };
    let before = snapshot();
    let hostile = [
        "../../victim",
        "../victim",
        "/etc",
        "..",
        ".",
        "a\\..\\victim",
        "",
        "victim/../../victim",
    ];
    for name in hostile {
        for args in [
            &["files", "sync", "--source", name, "--ref", "."][..],
            &["files", "sync", "--source", name],
            &["files", "sync", "--source", name, "--ref", "develop", "--repo", "me/evil"],
            &["files", "sync", "--source", "mf6/test", "--ref", name],
            &["files", "clear", "--source", name, "--ref", ".", "--yes"],
            &["files", "clear", "--source", "mf6/test", "--ref", name, "--yes"],
            &["files", "copy", &format!("{name}@develop/deep"), "new"],
            &["files", "copy", &format!("mf6/test@{name}/deep"), "new"],
            &["files", "copy", &format!("mf6/test@develop/{name}"), "new"],
            &["files", "show", &format!("mf6/test@develop/{name}")],
            &["files", "lock", &format!("mf6/test@develop/{name}"), "-o", "new.lock"],
            &["source", "show", name],
        ] {
            let output = home.run(args).await;
            // A path of nothing is the whole source, which can be shown.
            let is_whole = name.is_empty() && args.iter().any(|arg| arg.ends_with("@develop/"));
            if !is_whole {
                assert_ne!(output.code, 0, "{args:?}: {output:?}");
                assert!(output.stderr.starts_with("error: "), "{args:?}: {output:?}");
            }
            assert_eq!(snapshot(), before, "{args:?}: {output:?}");
        }
        let cleared = home.ok(&["files", "clear", "--source", &format!("x{name}"), "--yes"]).await;
        assert_eq!(cleared.stdout, "nothing is synced that fits: nothing to clear\n");
        let mf =
            home.mf(&["models", "clear", "--source", name, "--ref", "develop", "--force"]).await;
        std::fs::remove_file(home.path("mf")).unwrap();
        assert_eq!(snapshot(), before, "{mf:?}");
    }
}
