//! `mf programs` and `mf dfns`, and what goes over all three.

use crate::files_scene::{Home, SOURCE, hub};
use callsheet_testkit::{FakeGitHub, GitHubHost};
use callsheet_types::Digest;

const MODFLOW: &str = "MODFLOW-ORG/modflow6";
const DFNS: &str = "doc/mf6io/mf6ivar/dfn";

/// Releases of programs, and the definition files that they read.
async fn scene() -> (FakeGitHub, Home) {
    let hub = hub().await;
    let repository = hub.repository(MODFLOW);
    let hash = |content: &str| Digest::of(content.as_bytes()).hex();
    let definitions = format!(
        "schema_version = \"1.0\"\n[metadata]\nref = \"develop\"\n[files]\n\"common.dfn\" = \"{}\"\n\"gwf-chd.dfn\" = {{hash = \"sha256:{}\"}}\n",
        hash("common"),
        hash("chd")
    );
    let commit = repository.commit([
        (format!("{DFNS}/common.dfn"), "common".to_owned()),
        (format!("{DFNS}/gwf-chd.dfn"), "chd".to_owned()),
        (".registry/dfns.toml".to_owned(), definitions),
    ]);
    repository.branch("develop", &commit);
    for version in ["6.7.0", "6.6.3"] {
        let assets = ["linux", "win64", "mac", "macarm"]
            .map(|dist| (dist, format!("mf{version}_{dist}.zip"), format!("{dist} {version}")));
        let mut text = "schema_version = \"1.0\"\n".to_owned();
        for program in ["mf6", "zbud6"] {
            text.push_str(&format!("\n[programs.{program}]\nexe = \"bin/{program}\"\n"));
            for (dist, asset, content) in &assets {
                let hash = hash(content);
                text.push_str(&format!("[[programs.{program}.dists]]\nname = \"{dist}\"\nasset = \"{asset}\"\nhash = \"sha256:{hash}\"\n"));
            }
        }
        let files = assets.map(|(_, asset, content)| (asset, content));
        repository.release(version, files.into_iter().chain([("programs.toml".to_owned(), text)]));
    }
    let home = Home::with(&hub, SOURCE);
    (hub, home)
}

/// What this machine's platform is called.
const PLATFORM: &str = if cfg!(all(target_os = "macos", target_arch = "aarch64")) {
    "macarm"
} else if cfg!(target_os = "macos") {
    "mac"
} else {
    "linux"
};

#[tokio::test]
async fn programs_are_synced_listed_copied_and_cleared() {
    let (hub, home) = scene().await;
    let empty = home.mf(&["programs", "list"]).await;
    assert_eq!(
        (empty.code, empty.stdout.as_str()),
        (0, "No cached registries. Run 'sync' first.\n")
    );
    let synced = home.mf(&["programs", "sync"]).await;
    assert_eq!(
        (synced.code, synced.stdout.as_str()),
        (
            0,
            "  [+] Synced modflow6@6.7.0\n  [+] Synced modflow6@6.6.3\n\nSync complete:\n  Synced: 2\n  Skipped: 0\n  Failed: 0\n"
        )
    );
    let info = home.mf(&["programs", "info"]).await;
    assert_eq!(
        info.stdout,
        format!(
            "Registry sync status:\n\nmodflow6 ({MODFLOW})\n  Configured refs: 6.7.0, 6.6.3\n  Cached refs: 6.6.3, 6.7.0\n"
        )
    );
    let listed = home.mf(&["programs", "list", "--ref", "6.7.0", "--verbose"]).await;
    let names: String = ["mf6", "zbud6"]
        .iter()
        .flat_map(|name| {
            ["linux", "mac", "macarm", "win64"].map(|dist| format!("    {name}/{dist}\n"))
        })
        .collect();
    assert_eq!(
        listed.stdout,
        format!("Available programs:\n\nmodflow6@6.7.0:\n  Programs: 8\n{names}")
    );
    for (address, files) in [
        // What is for this machine, where nothing else is said.
        ("mf6@6.7.0", vec![PLATFORM]),
        ("modflow6@6.7.0/zbud6", vec![PLATFORM]),
        ("mf6@6.7.0/win64", vec!["win64"]),
        ("modflow6@6.7.0/mf6/mac", vec!["mac"]),
        ("mf6@6.7.0/*", vec!["linux", "mac", "macarm", "win64"]),
    ] {
        let out = address.replace(['/', '@', '*'], "_");
        let copied = home.mf(&["programs", "copy", address, &out]).await;
        assert_eq!(copied.code, 0, "{address}: {copied:?}");
        let mut contents: Vec<_> = home.files(&format!("work/{out}")).into_values().collect();
        contents.sort();
        let expected: Vec<_> =
            files.iter().map(|dist| format!("{dist} 6.7.0").into_bytes()).collect();
        assert_eq!(contents, expected, "{address}");
    }
    assert_eq!(
        home.files("work/mf6_6.7.0").into_keys().next(),
        Some(format!("mf6.7.0_{PLATFORM}.zip"))
    );
    // A version that is not configured.
    hub.repository(MODFLOW).release(
        "6.5.0",
        [
            ("programs.toml", "[programs.mf6]\ndists = [{name = \"any\", asset = \"mf6.zip\"}]\n"),
            ("mf6.zip", "any 6.5.0"),
        ],
    );
    let copied = home.mf(&["programs", "copy", "mf6@6.5.0", "old"]).await;
    assert_eq!(copied.code, 0, "{copied:?}");
    assert_eq!(home.files("work/old")["mf6.zip"], b"any 6.5.0");
    let none = home.mf(&["programs", "copy", "mf7@6.7.0", "no"]).await;
    assert_eq!(none.code, 1);
    assert!(
        none.stderr.starts_with("error: 'mf7' not in registry of 'modflow6@6.7.0'\n"),
        "{none:?}"
    );
    let none = home.mf(&["programs", "copy", "mf6@9.9.9", "no"]).await;
    assert_eq!(none.code, 1);
    assert!(
        none.stderr
            .starts_with("error: Registry discovery failed, ref 'modflow6@9.9.9' does not exist\n"),
        "{none:?}"
    );
    assert!(!home.path("work/no").exists());
    let cleared = home.mf(&["programs", "clear", "--force"]).await;
    assert!(cleared.stdout.ends_with("Cleared 3 cached registries\n"), "{cleared:?}");
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
}

#[tokio::test]
async fn programs_are_never_looked_for_among_tags_and_branches() {
    let (hub, home) = scene().await;
    hub.forget_requests();
    let failed = home.mf(&["programs", "sync", "--source", "modflow6", "--ref", "develop"]).await;
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("ref 'modflow6@develop' does not exist"), "{failed:?}");
    hub.repository(MODFLOW).release("bare", [("mf6.zip", "zip")]);
    let failed = home.mf(&["programs", "sync", "--source", "modflow6", "--ref", "bare"]).await;
    assert!(
        failed.stderr.contains(
            "Registry file 'programs.toml' not found as release asset for 'modflow6@bare'"
        ),
        "{failed:?}"
    );
    assert_eq!(hub.request_count(), 2);
}

#[tokio::test]
async fn definition_files_are_synced_listed_copied_and_cleared() {
    let (hub, home) = scene().await;
    let synced = home.mf(&["dfns", "sync"]).await;
    assert_eq!(synced.code, 0, "{synced:?}");
    assert!(synced.stdout.starts_with("  [+] Synced mf6@develop\n"), "{synced:?}");
    let listed = home.mf(&["dfns", "list", "-v"]).await;
    assert_eq!(
        listed.stdout,
        "Available components:\n\nmf6@develop:\n  Components: 2\n    common\n    gwf-chd\n"
    );
    let info = home.mf(&["dfns", "info"]).await;
    assert!(
        info.stdout.ends_with(&format!(
            "\nmf6 ({MODFLOW})\n  Configured refs: develop\n  Cached refs: develop\n"
        )),
        "{info:?}"
    );
    for address in ["mf6@develop/gwf-chd", "modflow6@develop/gwf-chd", "mf6/gwf-chd"] {
        let out = address.replace(['/', '@'], "_");
        let copied = home.mf(&["dfns", "copy", address, &out]).await;
        assert_eq!(copied.code, 0, "{address}: {copied:?}");
        let files: Vec<_> = home.files(&format!("work/{out}")).into_iter().collect();
        assert_eq!(files, [("gwf-chd.dfn".to_owned(), b"chd".to_vec())]);
    }
    let copied = home.mf(&["dfns", "copy", "mf6@develop/*", "all"]).await;
    assert_eq!(copied.code, 0, "{copied:?}");
    assert_eq!(home.files("work/all").len(), 2);
    let cleared =
        home.mf(&["dfns", "clear", "--source", "mf6", "--ref", "develop", "--force"]).await;
    assert!(cleared.stdout.ends_with("Cleared 1 cached registry\n"), "{cleared:?}");
    // They are in version control, and a release of that name says nothing of them.
    assert_eq!(hub.count(GitHubHost::Api, &format!("/repos/{MODFLOW}/releases/")), 0);
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
}

#[tokio::test]
async fn everything_is_synced_and_cleaned_at_once() {
    let (_hub, home) = scene().await;
    home.write(
        "config/callsheet/models.toml",
        "[sources.modflow6-examples]\nrefs = []\n[sources.modflow6-largetestmodels]\nrefs = []\n",
    );
    let synced = home.mf(&["sync", "--all"]).await;
    assert_eq!(
        (synced.code, synced.stdout.as_str()),
        (
            0,
            "  [+] Synced mf6/test@develop\n  [+] Synced modflow6@6.7.0\n  [+] Synced modflow6@6.6.3\n  [+] Synced mf6@develop\n\nSync complete:\n  Synced: 4\n  Skipped: 0\n  Failed: 0\n"
        )
    );
    let again = home.mf(&["sync"]).await;
    assert!(again.stdout.ends_with("  Synced: 0\n  Skipped: 4\n  Failed: 0\n"), "{again:?}");
    home.mf(&["models", "copy", "mf6/test/simple", "out"]).await;
    // Of each kind, only its own goes.
    let cleared = home.mf(&["programs", "clear", "--force"]).await;
    assert!(cleared.stdout.ends_with("Cleared 2 cached registries\n"), "{cleared:?}");
    assert_eq!(home.ok(&["files", "list"]).await.stdout.lines().count(), 3);
    let asked = home.mf(&["clean", "--all"]).await;
    assert_eq!(asked.code, 1, "{asked:?}");
    let all = home.mf(&["clean", "--all", "--force"]).await;
    assert_eq!(all.code, 0, "{all:?}");
    assert!(all.stdout.ends_with("Cleared 2 cached registries\n"), "{all:?}");
    assert_eq!(
        home.mf(&["models", "list"]).await.stdout,
        "No cached registries. Run 'sync' first.\n"
    );
    let info = home.ok(&["files", "info", "--json"]).await.json();
    assert_eq!(info["cache"]["files"], 0, "{info}");
}
