//! Registry files as several people write them, and where the files are that they name.

use crate::files_scene::{Home, MODELS, TEST_MODELS, hub, model, registry_of};
use callsheet_testkit::{FakeGitHub, FakeRepository, GitHubHost};
use callsheet_types::Digest;
use std::fmt::Write as _;

/// Writes a registry as the Python package does: with an address and a bare hash for each file.
fn peers(base: &str) -> String {
    let mut text = "schema_version = \"1.0\"\n\n".to_owned();
    let mut files: Vec<_> = MODELS
        .iter()
        .filter_map(|(path, content)| Some((path.strip_prefix("mf6/")?, content)))
        .collect();
    files.sort_unstable();
    for (key, content) in files {
        let hash = Digest::of(content.as_bytes()).hex();
        let _ = write!(text, "[files.\"{key}\"]\nurl = \"{base}/{key}\"\nhash = \"{hash}\"\n\n");
    }
    let models = registry_of(&MODELS);
    text.push_str(&models[models.find("[models]").expect("models")..]);
    text
}

const REAL: &str = "https://raw.githubusercontent.com/MODFLOW-ORG/modflow6-testmodels";

fn with_registry(repository: &FakeRepository, registry: &str) -> String {
    let registry = (".registry/models.toml", registry.to_owned());
    repository.commit(
        MODELS.map(|(path, content)| (path, content.to_owned())).into_iter().chain([registry]),
    )
}

/// Copies every model and compares it with what was published.
async fn all_are_copied(home: &Home, prefix: &str) {
    for name in ["simple", "deep", "deep/inner"] {
        let (address, folder) = (format!("{prefix}/{name}"), format!("{prefix}/{name}"));
        let folder = folder.replace(['/', '@', '%'], "_");
        home.ok(&["files", "copy", &address, &folder]).await;
        assert_eq!(home.files(&format!("work/{folder}")), model(&MODELS, name), "{address}");
    }
}

#[tokio::test]
async fn a_registry_without_addresses_needs_the_sources_folder() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("me/mine");
    // Keys from the repository's root.
    let root = registry_of(&MODELS)
        .replace("\"simple/", "\"mf6/simple/")
        .replace("\"deep/", "\"mf6/deep/");
    repository.branch("root", &with_registry(&repository, &root));
    repository.branch("below", &with_registry(&repository, &registry_of(&MODELS)));
    let config = "[sources.modflow6-testmodels]\nrepo = \"me/mine\"\nname = \"mf6/test\"\nrefs = [\"root\"]\n";
    let home = Home::with(&hub, config);
    all_are_copied(&home, "mf6/test@root").await;
    // What is cached already is there wherever it would be; somebody else has nothing.
    let home = Home::with(&hub, config);
    let failed = home.fails(1, &["files", "copy", "mf6/test@below/simple", "out"]).await;
    assert!(failed.starts_with("error: 'simple/"), "{failed}");
    assert!(failed.contains("of 'mf6/test@below' is not there: looked for at "), "{failed}");
    assert!(!home.path("work/out").exists());
    for folder in ["mf6", "/mf6/"] {
        let home = Home::with(
            &hub,
            &format!(
                "[sources.modflow6-testmodels]\nrepo = \"me/mine\"\nname = \"mf6/test\"\npath = \"{folder}\"\n"
            ),
        );
        all_are_copied(&home, "mf6/test@below").await;
    }
}

#[tokio::test]
async fn the_python_packages_registry_is_followed_for_forks_mirrors_and_other_refs() {
    let hub = FakeGitHub::start().await;
    for (repo, reference, base) in [
        (TEST_MODELS, "develop", format!("{REAL}/develop/mf6")),
        // Made in the original, read in a fork, whatever that is called.
        ("me/modflow6-testmodels", "develop", format!("{REAL}/develop/mf6")),
        ("me/tests", "develop", format!("{REAL}/develop/mf6")),
        // Made at one ref, read at another that was made from it.
        (TEST_MODELS, "stable", format!("{REAL}/develop/mf6")),
        (TEST_MODELS, "v1", format!("{REAL}/0123456789abcdef0123456789abcdef01234567/mf6")),
        (TEST_MODELS, "feature/x", format!("{REAL}/feature/x/mf6")),
        // Nobody here knows where such a ref ends and the folder begins.
        (TEST_MODELS, "later", format!("{REAL}/feature/y/z/mf6")),
        (TEST_MODELS, "heads", format!("{REAL}/refs/heads/feature/y/mf6")),
        (
            "me/modflow6-testmodels",
            "mirror",
            "https://mirror.example/gh/MODFLOW-ORG/modflow6-testmodels/mirror/mf6".to_owned(),
        ),
        (
            TEST_MODELS,
            "web",
            "https://github.com/MODFLOW-ORG/modflow6-testmodels/raw/web/mf6".to_owned(),
        ),
    ] {
        let repository = hub.repository(repo);
        repository.branch(reference, &with_registry(&repository, &peers(&base)));
        let config = format!(
            "[sources.modflow6-testmodels]\nrepo = \"{repo}\"\nname = \"mf6/test\"\nrefs = [\"{reference}\"]\n"
        );
        let home = Home::with(&hub, &config);
        let synced = home.ok(&["files", "sync", "--source", "mf6/test"]).await;
        assert!(synced.stdout.contains(": 3 models, 5 files"), "{base}: {synced:?}");
        assert!(!synced.stdout.contains("warning"), "{synced:?}");
        all_are_copied(&home, &format!("mf6/test@{}", reference.replace('/', "%2F"))).await;
    }
    assert_eq!(hub.count(GitHubHost::Elsewhere, "/"), 0);
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
}

#[tokio::test]
async fn a_sources_folder_goes_before_what_the_addresses_say() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("me/mine");
    let moved = MODELS.map(|(path, content)| (path.replace("mf6/", "models/"), content.to_owned()));
    let registry = (".registry/models.toml".to_owned(), peers(&format!("{REAL}/develop/mf6")));
    repository.branch("develop", &repository.commit(moved.into_iter().chain([registry])));
    let config = "[sources.modflow6-testmodels]\nrepo = \"me/mine\"\nname = \"mf6/test\"\nrefs = [\"develop\"]\npath = \"models\"\n";
    all_are_copied(&Home::with(&hub, config), "mf6/test@develop").await;
}

#[tokio::test]
async fn a_fork_in_place_of_a_source_is_synced_and_copied() {
    let hub = hub().await;
    let fork = hub.repository("me/modflow6-testmodels");
    let registry = peers(&format!("{REAL}/develop/mf6"));
    fork.branch("feature-branch", &with_registry(&fork, &registry));
    let home = Home::seeing(&hub);
    let sync = [
        "models",
        "sync",
        "--source",
        "modflow6-testmodels",
        "--ref",
        "feature-branch",
        "--repo",
        "me/modflow6-testmodels",
    ];
    let synced = home.mf(&sync).await;
    assert_eq!(synced.code, 0, "{synced:?}");
    assert!(synced.stdout.starts_with("  [+] Synced mf6/test@feature-branch\n"), "{synced:?}");
    all_are_copied(&home, "mf6/test@feature-branch").await;
    assert_eq!(hub.count(GitHubHost::Raw, "/MODFLOW-ORG/"), 0);
    // A repository that no source has is one of its own.
    let other = hub.repository("some/body");
    other.branch("main", &with_registry(&other, &registry));
    let synced = home.mf(&["models", "sync", "--repo", "some/body", "--ref", "main"]).await;
    assert!(synced.stdout.starts_with("  [+] Synced some/body@main\n"), "{synced:?}");
    all_are_copied(&home, "some/body@main").await;
    // A fork that nobody configured is never taken for the original of the same name.
    let original = home.mf(&["models", "list", "--source", "modflow6-testmodels"]).await.stdout;
    fork.branch("main", &with_registry(&fork, &registry));
    let synced = ["models", "sync", "--repo", "me/modflow6-testmodels", "--ref", "main"];
    let synced = home.mf(&synced).await;
    assert!(synced.stdout.starts_with("  [+] Synced me/modflow6-testmodels@main\n"), "{synced:?}");
    all_are_copied(&home, "me/modflow6-testmodels@main").await;
    let listed = home.mf(&["models", "list", "--source", "modflow6-testmodels"]).await.stdout;
    assert_eq!(listed, original);
    let named = home
        .mf(&["models", "sync", "--repo", "some/body", "--ref", "main", "--source", "my/own"])
        .await;
    assert!(named.stdout.starts_with("  [+] Synced my/own@main\n"), "{named:?}");
    all_are_copied(&home, "my/own@main").await;
    // Of one that a source has, that source is meant.
    let original = hub.repository(TEST_MODELS);
    original.branch("develop", &with_registry(&original, &registry));
    let synced = home.mf(&["models", "sync", "--repo", TEST_MODELS, "--ref", "develop"]).await;
    assert!(synced.stdout.starts_with("  [+] Synced mf6/test@develop\n"), "{synced:?}");
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
}

#[tokio::test]
async fn files_without_a_hash_are_marked() {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let hash = Digest::of(b"one layer");
    let registry = registry_of(&MODELS).replace(&format!("{{hash = \"{hash}\"}}"), "{}");
    repository.branch("develop", &with_registry(&repository, &registry));
    let home = Home::with(&hub, crate::files_scene::SOURCE);
    let synced = home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    assert!(
        synced.stdout.ends_with(": 3 models, 5 files, version controlled\n  warning: 1 files have no hash, and count as unverified\n"),
        "{synced:?}"
    );
    let listed = home.ok(&["files", "list", "--json"]).await.json();
    assert_eq!(listed["registries"][0]["unverified"], 1);
    let named = Digest::of(b"simulation");
    let show = ["files", "show", "mf6/test@develop/simple"];
    let shown = home.ok(&show).await;
    assert!(shown.stdout.contains("  model.dis  unknown  (unverified)\n"), "{shown:?}");
    assert!(shown.stdout.contains(&format!("  mfsim.nam  {named}\n")), "{shown:?}");
    home.ok(&["files", "copy", "mf6/test@develop/simple", "out"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "simple"));
    let shown = home.ok(&show).await;
    assert!(shown.stdout.contains(&format!("  model.dis  {hash}  (unverified)\n")), "{shown:?}");
}

#[tokio::test]
async fn versions_are_read_as_far_as_they_are_known() {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let home = Home::with(&hub, crate::files_scene::SOURCE);
    let sync = ["files", "sync", "--source", "mf6/test"];
    let plain = registry_of(&MODELS);
    for version in [
        "schema_version = \"1\"\n",
        "schema_version = \"1.7\"\n",
        "generated_at = 2026-01-01T00:00:00Z\ndevtools_version = \"1.9\"\n",
    ] {
        let text = plain.replacen("schema_version = \"1.0\"\n", version, 1);
        repository.branch("develop", &with_registry(&repository, &text));
        home.ok(&sync).await;
    }
    for version in ["\"2.0\"", "\"0.9\"", "\"one\""] {
        let text = plain.replacen("\"1.0\"", version, 1);
        repository.branch("develop", &with_registry(&repository, &text));
        let said = home.fails(1, &sync).await;
        let reason = format!(
            "cannot be used: its schema_version is {version}; this program reads 1; what was synced before stays\n"
        );
        assert!(said.contains(&reason), "{said}");
    }
}
