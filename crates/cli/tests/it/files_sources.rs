//! Which sources there are: as shipped, as the user's overlays say otherwise, as they were added,
//! and as the config file has them.

use crate::{
    files_scene::{Home, MODELS, SOURCE, commit, hub},
    server,
};
use callsheet_testkit::{FakeGitHub, GitHubHost, Output};
use serde_json::Value;

/// Returns each source as `key name place refs origin`.
fn told(output: &Output) -> Vec<String> {
    let page = output.json();
    let sources = page["sources"].as_array().expect("sources").iter();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    sources
        .map(|source| {
            let refs = source["configured_refs"].as_array().expect("refs").iter();
            let refs: Vec<_> = refs.map(text).collect();
            let parts = ["key", "name", "place"].map(|part| text(&source[part]));
            format!("{} [{}] {}", parts.join(" "), refs.join(" "), text(&source["origin"]))
        })
        .collect()
}

async fn models(home: &Home) -> Vec<String> {
    told(&home.ok(&["source", "list", "--publishes", "models", "--json"]).await)
}

const EXAMPLES: &str =
    "modflow6-examples mf6/example MODFLOW-ORG/modflow6-examples [current] shipped";
const LARGE: &str = "modflow6-largetestmodels mf6/large MODFLOW-ORG/modflow6-largetestmodels [develop master] shipped";
const TEST: &str =
    "modflow6-testmodels mf6/test MODFLOW-ORG/modflow6-testmodels [develop master] shipped";

#[tokio::test]
async fn the_shipped_sources_are_there_and_nothing_is_fetched_unasked() {
    let hub = hub().await;
    let home = Home::seeing(&hub);
    let all = home.ok(&["source", "list", "--json"]).await;
    assert_eq!(
        told(&all),
        [
            EXAMPLES,
            LARGE,
            TEST,
            "modflow6 modflow6 MODFLOW-ORG/modflow6 [6.7.0 6.6.3] shipped",
            "modflow6 mf6 MODFLOW-ORG/modflow6 [develop] shipped",
        ]
    );
    let listed = home.ok(&["files", "list"]).await;
    assert_eq!(listed.stdout, "nothing is synced; `callsheet files sync` does it\n");
    let info = home.ok(&["files", "info"]).await;
    assert!(
        info.stdout.starts_with(
            "mf6/example (MODFLOW-ORG/modflow6-examples, models)\n  synced: none\n  missing: current\n"
        ),
        "{info:?}"
    );
    home.ok(&["model", "list"]).await;
    home.ok(&["source", "show", "mf6/test"]).await;
    home.mf(&["models", "info"]).await;
    home.mf(&["models", "list"]).await;
    let mut server = server(&hub.config()).start().await;
    assert_eq!(server.cli(["files", "list"]).await.code, 0);
    assert_eq!(server.get("/api/v1/sources").await.status, 200);
    server.stop().await;
    assert_eq!((hub.connections(), hub.request_count()), (0, 0));
}

#[tokio::test]
async fn overlays_replace_whole_sources_add_some_and_switch_some_off() {
    let hub = hub().await;
    let home = Home::seeing(&hub);
    home.write(
        "config/modflow-devtools/models.toml",
        "[sources.modflow6-testmodels]\nrepo = \"early/fork\"\nrefs = [\"early\"]\n\
         [sources.modflow6-largetestmodels]\nrefs = []\n",
    );
    home.write(
        "config/callsheet/models.toml",
        "[sources.modflow6-testmodels]\nrepo = \"me/modflow6-testmodels\"\nrefs = [\"registry\"]\npath = \"mf6\"\n\
         [sources.mine]\nrepo = \"me/mine\"\nname = \"my/models\"\nrefs = [\"main\"]\n",
    );
    home.write("config/callsheet/programs.toml", "[sources.modflow6]\nrefs = []\n");
    assert_eq!(
        models(&home).await,
        [
            "mine my/models me/mine [main] overlay",
            EXAMPLES,
            "modflow6-largetestmodels mf6/large MODFLOW-ORG/modflow6-largetestmodels [] overlay",
            // No name was given, and no model is renamed by that.
            "modflow6-testmodels mf6/test me/modflow6-testmodels [registry] overlay",
        ]
    );
    let info = home.ok(&["files", "info", "--publishes", "models"]).await;
    assert!(
        info.stdout.contains(
            "mf6/large (MODFLOW-ORG/modflow6-largetestmodels, models)\n  synced: none\n  switched off: no refs\n"
        ),
        "{info:?}"
    );
    let fork = hub.repository("me/modflow6-testmodels");
    fork.branch("registry", &commit(&fork, &MODELS));
    let synced = home.run(&["files", "sync"]).await;
    assert_eq!(synced.code, 3, "{synced:?}");
    assert!(synced.stdout.starts_with("synced mf6/test@registry ("), "{synced:?}");
    let copied = home.ok(&["files", "copy", "mf6/test/simple", "out"]).await;
    assert!(
        copied.stdout.starts_with("copied mf6/test@registry/simple to out: 2 files"),
        "{copied:?}"
    );
    for off in [
        "/repos/MODFLOW-ORG/modflow6-largetestmodels",
        "/repos/early",
        "/repos/MODFLOW-ORG/modflow6/",
    ] {
        // Of `modflow6` the definition files are still on, whose refs are no releases.
        let asked = hub
            .requests()
            .into_iter()
            .filter(|request| request.path.starts_with(off) && request.path.contains("/releases/"));
        assert_eq!(asked.count(), 0, "{off}");
    }
    assert_eq!(hub.unexpected().len(), 0);
}

#[tokio::test]
async fn a_broken_overlay_is_named_and_breaks_nothing_else() {
    let hub = hub().await;
    for (text, says) in [
        ("[sources.mine\n", "line 1"),
        (
            "[sources.mine]\nrepo = \"nonsense\"\nrefs = [\"main\"]\n",
            "\"nonsense\" is no repository",
        ),
        ("[sources.mine]\nrepoo = \"me/mine\"\n", "unknown field `repoo`"),
        ("[sources.mine]\nrefs = [\"main\"]\n", "source \"mine\": `repo` is missing"),
        ("[sources.mine]\nrepo = \"me/mine\"\nrefs = [\"a b\"]\n", "\"a b\" is no git ref"),
        ("[sources.\"../x\"]\nrepo = \"me/mine\"\n", "source \"../x\": `key` is"),
    ] {
        let home = Home::seeing(&hub);
        home.write("config/callsheet/models.toml", text);
        let path = home.path("config/callsheet/models.toml").display().to_string();
        for command in [&["files", "list"][..], &["files", "sync"], &["source", "list"]] {
            let failed = home.run(command).await;
            assert_eq!((failed.code, failed.stdout.as_str()), (1, ""), "{failed:?}");
            let message = failed.stderr.as_str();
            assert!(message.starts_with(&format!("error: {path}: ")), "{message}");
            assert!(message.contains(says), "{says}: {message}");
        }
        home.ok(&["model", "list"]).await;
        let daemon = home.start_daemon().await;
        assert_eq!(home.run(&["model", "list"]).await.code, 0);
        let failed = home.run(&["files", "list"]).await;
        assert!(failed.stderr.starts_with(&format!("error: {path}: ")), "{failed:?}");
        daemon.stop().await;
    }
    // One that is no text at all, or no file.
    let home = Home::seeing(&hub);
    let path = home.path("config/modflow-devtools/models.toml");
    std::fs::create_dir_all(&path).unwrap();
    let unreadable = format!("error: {} cannot be read", path.display());
    assert!(home.fails(1, &["files", "list"]).await.starts_with(&unreadable));
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(home.fails(1, &["files", "list"]).await.starts_with(&unreadable));
    home.ok(&["model", "list"]).await;
    assert_eq!(hub.request_count(), 0);
}

#[tokio::test]
async fn what_cannot_be_a_source_is_not_added() {
    let hub = hub().await;
    let home = Home::seeing(&hub);
    for (args, says) in [
        (&["../x", "--repo", "a/b"][..], "source \"../x\": `key` is \"../x\""),
        (&[".hidden", "--repo", "a/b"], "`key` is"),
        (&["x", "--repo", "a/b", "--name", "../y"], "source \"x\": `name` is \"../y\""),
        (&["x", "--repo", "a/b", "--path", "../y"], "source \"x\": `path` is \"../y\""),
        (&["x", "--repo", "a/b", "--registry-path", "a/../../y"], "`registry_path` is"),
        (&["x", "--type", "http"], "source \"x\": `url` is missing"),
        (&["x", "--type", "http", "--url", "ftp://h/x"], "source \"x\": `url` is \"ftp://h/x\""),
        (&["x", "--type", "http", "--url", "http://me:secret@h/x"], "source \"x\": `url` is \"…\""),
        (&["x", "--type", "filesystem"], "source \"x\": `directory` is missing"),
        (&["x", "--repo", "a/b", "--token-env", "ghp_a-b"], "`token_env` cannot be the name"),
    ] {
        let said = home.fails(1, &[&["source", "add"], args].concat()).await;
        assert!(said.starts_with("error: source \"") && said.contains(says), "{says}: {said}");
        assert!(!said.contains("secret@") && !said.contains("ghp_"), "{said}");
    }
    for args in [&["x", "--repo", "nonsense"][..], &["x", "--repo", "a/b", "--ref", "a..b"]] {
        assert_eq!(home.run(&[&["source", "add"], args].concat()).await.code, 2);
    }
    assert_eq!(models(&home).await, [EXAMPLES, LARGE, TEST]);
}

#[tokio::test]
async fn a_source_is_added_synced_and_removed() {
    let hub = hub().await;
    let home = Home::seeing(&hub);
    let repository = hub.repository("me/mine");
    repository.branch("main", &commit(&repository, &MODELS));
    let add = [
        "source",
        "add",
        "mine",
        "--repo",
        "me/mine",
        "--ref",
        "main",
        "--name",
        "my/models",
        "--path",
        "mf6",
    ];
    let would = home.ok(&[&add[..], &["--dry-run"]].concat()).await;
    assert_eq!(
        would.stdout,
        "mine would be added; `callsheet files sync --source mine` fetches it\n"
    );
    assert_eq!(models(&home).await, [EXAMPLES, LARGE, TEST]);
    let added = home.ok(&add).await;
    assert_eq!(added.stdout, "mine added; `callsheet files sync --source mine` fetches it\n");
    assert_eq!(models(&home).await, ["mine my/models me/mine [main] added", EXAMPLES, LARGE, TEST]);
    assert_eq!(hub.request_count(), 0, "nothing is fetched by adding");
    home.ok(&["files", "sync", "--source", "my/models"]).await;
    let shown = home.ok(&["source", "show", "mine"]).await;
    assert!(
        shown.stdout.starts_with(
            "my/models (mine)\n  publishes: models\n  place: me/mine\n  said by: added\n  main: 3 models, 5 files, version controlled "
        ),
        "{shown:?}"
    );
    let would = home.ok(&["source", "remove", "my/models", "--dry-run"]).await;
    assert_eq!(would.stdout, "my/models would be removed\n");
    assert_eq!(models(&home).await.len(), 4);
    let removed = home.ok(&["source", "remove", "my/models"]).await;
    assert_eq!(removed.stdout, "my/models removed\n");
    // What was synced is still there, and nobody says any more where it came from.
    assert_eq!(models(&home).await, [EXAMPLES, LARGE, TEST, "mine my/models me/mine [] -"]);
    home.ok(&["files", "copy", "my/models@main/simple", "out"]).await;
    let gone = home.run(&["source", "remove", "mine"]).await;
    assert_eq!((gone.code, gone.stdout.as_str()), (1, ""));
    assert!(gone.stderr.starts_with("error: Source 'mine' not found\n"), "{gone:?}");
    let changes = home.ok(&["changes", "--kind", "source"]).await;
    let changes: Vec<_> =
        changes.stdout.lines().filter_map(|line| line.split_once("source models/")).collect();
    let changes: Vec<_> = changes.iter().map(|(_, change)| *change).collect();
    assert_eq!(changes, ["mine added", "mine removed"]);
}

#[tokio::test]
async fn a_shipped_source_is_switched_off_and_comes_back() {
    let hub = hub().await;
    let home = Home::seeing(&hub);
    let would = home.ok(&["source", "remove", "mf6/example", "--dry-run"]).await;
    assert_eq!(would.stdout, "mf6/example would be switched off\n");
    assert_eq!(models(&home).await, [EXAMPLES, LARGE, TEST]);
    let off = home.ok(&["source", "remove", "mf6/example"]).await;
    assert_eq!(off.stdout, "mf6/example switched off; `source add` with its key brings it back\n");
    let switched_off = "modflow6-examples mf6/example MODFLOW-ORG/modflow6-examples [] added";
    assert_eq!(models(&home).await, [switched_off, LARGE, TEST]);
    // Once more does not bring it back.
    let again = home.run(&["source", "remove", "modflow6-examples"]).await;
    assert_eq!(again.code, 1, "{again:?}");
    assert_eq!(again.stderr, "error: source 'modflow6-examples' is switched off already\n");
    assert_eq!(models(&home).await, [switched_off, LARGE, TEST]);
    let asked = home.run(&["files", "sync", "--source", "mf6/example"]).await;
    assert_eq!(asked.code, 1, "{asked:?}");
    assert!(asked.stderr.contains("source 'mf6/example' has no refs: name one"), "{asked:?}");
    home.ok(&["source", "add", "modflow6-examples"]).await;
    assert_eq!(models(&home).await, [EXAMPLES, LARGE, TEST]);
    // Likewise one that was replaced.
    home.ok(&["source", "add", "modflow6-examples", "--repo", "me/examples", "--ref", "v1"]).await;
    assert_eq!(models(&home).await[0], "modflow6-examples mf6/example me/examples [v1] added");
    home.ok(&["source", "remove", "modflow6-examples"]).await;
    assert_eq!(models(&home).await, [EXAMPLES, LARGE, TEST]);
    let unknown = home.run(&["source", "add", "nothing"]).await;
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.stderr.contains("source \"nothing\": `repo` is missing"), "{unknown:?}");
    assert_eq!(hub.request_count(), 0);
}

#[tokio::test]
async fn what_the_config_file_says_is_changed_there_only() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.write(
        "config/callsheet/models.toml",
        "[sources.modflow6-testmodels]\nrepo = \"a/b\"\nrefs = [\"x\"]\n",
    );
    let configured =
        "modflow6-testmodels mf6/test MODFLOW-ORG/modflow6-testmodels [develop] config";
    assert_eq!(models(&home).await, [EXAMPLES, LARGE, configured]);
    let added = home.run(&["source", "add", "modflow6-testmodels", "--repo", "me/x"]).await;
    assert_eq!(added.code, 1);
    assert_eq!(
        added.stderr,
        "error: source 'modflow6-testmodels' is in the config file; change it there\n"
    );
    for flags in [&[][..], &["--dry-run"]] {
        let removed = home.run(&[&["source", "remove", "mf6/test"], flags].concat()).await;
        assert_eq!(removed.code, 1);
        assert_eq!(
            removed.stderr,
            "error: source 'modflow6-testmodels' is in the config file; remove it there\n"
        );
    }
    assert_eq!(models(&home).await, [EXAMPLES, LARGE, configured]);
}

#[tokio::test]
async fn a_source_is_changed_under_a_running_daemon() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("me/mine");
    repository.branch("main", &commit(&repository, &MODELS));
    let home = Home::seeing(&hub);
    let daemon = home.start_daemon().await;
    home.ok(&["source", "add", "mine", "--repo", "me/mine", "--ref", "main", "--path", "mf6"])
        .await;
    home.ok(&["files", "copy", "mine@main/simple", "out"]).await;
    assert_eq!(home.files("work/out").len(), 2);
    assert_eq!(hub.count(GitHubHost::Raw, "/me/mine/"), 3);
    daemon.stop().await;
    home.ok(&["files", "copy", "mine/simple", "again"]).await;
    assert_eq!(hub.count(GitHubHost::Raw, "/me/mine/"), 3);
}
