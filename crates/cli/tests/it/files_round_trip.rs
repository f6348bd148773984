//! From a publisher's folder to a user's: indexed, published, synced and copied, byte for byte.

use crate::files_scene::{Home, TEST_MODELS, files_of};
use callsheet_testkit::{FakeGitHub, FakeTree, GitHubHost};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Returns whether a model's file is what a run of it makes, which nobody publishes.
fn is_output(path: &str) -> bool {
    const ENDINGS: [&str; 9] = ["lst", "hds", "hed", "cbb", "cbc", "bud", "ddn", "ucn", "glo"];
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    ENDINGS.contains(&&*ending) || name.contains(".DS_Store") || name.contains("compare")
}

/// Publishes the folder `mf6` of a repository, copies all its models, and compares.
async fn goes_round(tree: FakeTree) {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository(TEST_MODELS);
    repository.branch("develop", &repository.commit_tree(tree.clone()));
    let home = Home::seeing(&hub);
    let index = [
        "files",
        "index",
        "--repo",
        TEST_MODELS,
        "--ref",
        "develop",
        "--name",
        "mf6/test",
        "--path",
        "mf6",
        "--output",
        "registry",
    ];
    home.ok(&index).await;
    let registry = std::fs::read(home.path("work/registry/models.toml")).unwrap();
    let published = tree.clone().file(".registry/models.toml", registry);
    repository.branch("develop", &repository.commit_tree(published));

    let user = Home::with(&hub, "[files]\nsingle_files = 1\n");
    user.ok(&["files", "sync", "--source", "mf6/test", "--ref", "develop"]).await;
    let listed = user.ok(&["files", "list", "--json"]).await.json();
    let models = listed["registries"][0]["model_names"].as_array().unwrap().clone();
    let models: BTreeSet<_> = models
        .iter()
        .map(|name| name.as_str().unwrap().strip_prefix("mf6/test/").unwrap().to_owned())
        .collect();
    let expected: BTreeSet<_> = tree
        .paths()
        .iter()
        .filter_map(|path| path.strip_prefix("mf6/")?.strip_suffix("/mfsim.nam"))
        .map(str::to_owned)
        .collect();
    assert_eq!(models, expected);
    hub.forget_requests();
    let addresses: Vec<_> =
        models.iter().map(|model| format!("mf6/test@develop/{model}")).collect();
    let mut copy = vec!["files", "copy"];
    copy.extend(addresses.iter().map(String::as_str));
    copy.push("all");
    user.ok(&copy).await;
    assert_eq!(hub.count(GitHubHost::Codeload, ""), 1);
    assert_eq!(hub.request_count(), 2, "{:?}", hub.requests().len());
    let files: BTreeMap<String, Vec<u8>> = tree
        .paths()
        .into_iter()
        .filter(|path| !is_output(path))
        .filter_map(|path| {
            let key = path.strip_prefix("mf6/")?.to_owned();
            let is_of = |model: &String| key.starts_with(&format!("{model}/"));
            models.iter().any(is_of).then(|| (key, tree.content(&path).unwrap().to_vec()))
        })
        .collect();
    let copied = files_of(&user.path("work/all"));
    assert!(copied.keys().eq(files.keys()), "{:?}", copied.keys());
    assert!(copied == files, "some bytes differ");
}

#[tokio::test]
async fn a_folder_goes_round_without_what_runs_have_made() {
    let tree = FakeTree::new()
        .file("mf6/a/mfsim.nam", "simulation")
        .file("mf6/a/Model.DIS", "one layer")
        .file("mf6/a/model.LST", "a listing")
        .file("mf6/a/mf6.compare", "a comparison")
        .file("mf6/a/sub folder/data,1.npf", vec![0, 255, 13, 10])
        .file("mf6/a/sub folder/empty", "")
        .file("mf6/a/inner/mfsim.nam", "inner simulation")
        .file("mf6/a/inner/x.hds", "heads")
        .file("mf6/deep/er/ünicode/mfsim.nam", "simulation")
        .file("mf6/no model/x.nam", "nothing")
        .file("README.md", "models");
    goes_round(tree).await;
}

#[tokio::test]
async fn the_reference_models_go_round() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mf6-testmodels/mf6");
    if !folder.is_dir() {
        return eprintln!("skipped: {} is not there", folder.display());
    }
    goes_round(FakeTree::new().dir("mf6", &folder)).await;
}
