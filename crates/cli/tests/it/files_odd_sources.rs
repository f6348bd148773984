//! Sources that are damaged, changed, odd or in the way, and what becomes of their files.

use crate::{
    files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, hub, model, registry_of},
    server,
};
use callsheet_testkit::{ArchiveKind, FakeGitHub, FakeTree, GitHubFault, GitHubHost};
use std::collections::BTreeMap;

const SYNC: [&str; 4] = ["files", "sync", "--source", "mf6/test"];
const COPY: [&str; 4] = ["files", "copy", "mf6/test@develop/deep", "out"];
/// Nothing else is called as the source of a test is.
const ALONE: &str = "[sources.modflow6-testmodels]\nrefs = []\nname = \"off\"\n";

fn deep() -> BTreeMap<String, Vec<u8>> {
    model(&MODELS, "deep")
}

fn lose_registries(home: &Home) {
    std::fs::remove_dir_all(home.path("data/callsheet/blobs")).unwrap();
    std::fs::remove_dir_all(home.path("cache/callsheet/derived")).unwrap();
}

#[tokio::test]
async fn a_registry_that_was_lost_here_comes_again_and_is_in_nobodys_way() {
    let hub = hub().await;
    let other = hub.repository("me/other");
    other.branch("main", &commit(&other, &MODELS));
    let more = "[sources.other]\nrepo = \"me/other\"\nrefs = [\"main\"]\npath = \"mf6\"\n";
    let home = Home::with(&hub, &format!("{SOURCE}{more}"));
    home.ok(&SYNC).await;
    home.ok(&["files", "sync", "--source", "other"]).await;
    lose_registries(&home);
    let listed = home.ok(&["files", "list", "--json"]).await.json();
    assert!(listed["registries"][0]["problem"].is_string(), "{listed}");
    home.ok(&["files", "clear", "--source", "other", "--yes"]).await;
    home.ok(&SYNC).await;
    home.ok(&COPY).await;
    assert_eq!(home.files("work/out"), deep());
}

#[tokio::test]
async fn a_page_is_no_file_though_no_hash_says_so() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("me/plain");
    let registry = "[files]\n\"m/mfsim.nam\" = {}\n[models]\n\"plain/m\" = [\"m/mfsim.nam\"]\n";
    let first = repository.commit([("models.toml", registry), ("m/mfsim.nam", "simulation")]);
    let url = format!("{}/me/plain/{first}", hub.raw_url());
    let home = Home::with(
        &hub,
        &format!("[sources.plain]\ntype = \"http\"\nurl = {url:?}\nrefs = [\"now\"]\n"),
    );
    home.ok(&["files", "sync", "--source", "plain"]).await;
    hub.fault(GitHubHost::Raw, "/", GitHubFault::Html);
    let refused = home.run(&["files", "copy", "plain@now/m", "out"]).await;
    assert!(refused.code == 1 && refused.stderr.contains("page"), "{refused:?}");
    assert!(!home.path("work/out").exists());
    hub.heal();
    home.ok(&["files", "copy", "plain@now/m", "out"]).await;
    assert_eq!(home.files("work/out")["mfsim.nam"], b"simulation");
}

#[tokio::test]
async fn of_two_files_in_an_archive_the_one_below_the_path_is_meant() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("me/packed");
    let registry = "[files]\n\"m/mfsim.nam\" = {}\n[models]\n\"packed/m\" = [\"m/mfsim.nam\"]\n";
    let zip = FakeTree::new()
        .file("m/mfsim.nam", "decoy")
        .file("mf6/m/mfsim.nam", "simulation")
        .archive(ArchiveKind::Zip, "");
    repository
        .release("v1", [("models.toml", registry.as_bytes().to_vec()), ("a.zip", zip.to_vec())]);
    let table = "[sources.packed]\nrepo = \"me/packed\"\nrefs = [\"v1\"]\npath = \"mf6\"\n";
    let home = Home::with(&hub, table);
    home.ok(&["files", "copy", "packed@v1/m", "out"]).await;
    assert_eq!(home.files("work/out")["mfsim.nam"], b"simulation");
}

#[tokio::test]
async fn a_sources_own_token_goes_to_its_own_hosts_only() {
    let (hub, enterprise) = (hub().await, hub().await);
    let raw = enterprise.raw_url();
    let table = format!("{SOURCE}raw = {raw:?}\ntoken_env = \"OWN\"\n");
    let home = Home::with(&hub, &table).env("OWN", "own").env("GITHUB_TOKEN", "common");
    home.ok(&COPY).await;
    assert!(hub.authorizations(GitHubHost::Api).iter().all(|token| token.ends_with("common")));
    assert!(!hub.authorizations(GitHubHost::Api).is_empty());
    let own = enterprise.authorizations(GitHubHost::Raw);
    assert!(!own.is_empty() && own.iter().all(|token| token.ends_with("own")), "{own:?}");
}

#[tokio::test]
async fn a_release_may_name_files_of_the_repository() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository(TEST_MODELS);
    let at = repository.commit(MODELS);
    repository.tag("v1", &at);
    let publisher = Home::seeing(&hub);
    for (path, content) in MODELS {
        publisher.write(&format!("work/modflow6-testmodels/{path}"), content);
    }
    let index = ["files", "index", "--repo", TEST_MODELS, "--ref", "v1", "--name", "mf6/test"];
    publisher.ok(&[&index[..], &["--path", "modflow6-testmodels/mf6"]].concat()).await;
    let registry = publisher.files("work")["models.toml"].clone();
    repository.release("v1", [("models.toml", registry), ("docs.zip", b"no models".to_vec())]);
    let home = Home::seeing(&hub);
    home.ok(&["files", "copy", "mf6/test@v1/deep", "out"]).await;
    assert_eq!(home.files("work/out"), deep());
}

#[tokio::test]
async fn what_an_archive_has_otherwise_comes_from_the_repository() {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let at = commit(&repository, &MODELS);
    repository.branch("develop", &at);
    let tree = repository.tree(&at).file("mf6/deep/data/model.npf", "k = 1\r\n");
    let archive = tree.archive(ArchiveKind::TarGz, "top");
    repository.set_archive(&at, ArchiveKind::TarGz, archive);
    let home = Home::with(&hub, &format!("[files]\nsingle_files = 1\n{SOURCE}"));
    home.ok(&COPY).await;
    assert_eq!(home.files("work/out"), deep());
    assert_eq!(hub.count(GitHubHost::Codeload, "/"), 1);
}

#[tokio::test]
async fn a_mirror_that_has_nothing_yet_fetches_one_archive_for_all() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository(TEST_MODELS);
    let files: Vec<(String, String)> =
        (0..60).map(|i| (format!("mf6/big/{i:02}.dat"), format!("content {i}"))).collect();
    let mut all: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    all.push(("mf6/big/mfsim.nam", "simulation"));
    repository.branch("develop", &commit(&repository, &all));
    let mirror = server(&format!("{SOURCE}{}", hub.config())).start().await;
    assert_eq!(mirror.cli(["files", "sync", "--source", "mf6/test"]).await.code, 0);
    let home = Home::with(&hub, &format!("[files]\nmirrors = [{:?}]\n{SOURCE}", mirror.url()));
    home.ok(&SYNC).await;
    hub.forget_requests();
    home.ok(&["files", "copy", "mf6/test@develop/big", "out"]).await;
    assert_eq!(home.files("work/out").len(), 61);
    assert_eq!(hub.count(GitHubHost::Codeload, "/"), 1);
    assert_eq!(hub.count(GitHubHost::Raw, "/"), 0);
}

#[tokio::test]
async fn what_no_hash_holds_comes_anew_by_force() {
    let hub = FakeGitHub::start().await;
    let home = Home::with(&hub, "");
    let folder = home.path("published");
    home.write(
        "published/models.toml",
        "[files]\n\"m/mfsim.nam\" = {}\n[models]\n\"plain/m\" = [\"m/mfsim.nam\"]\n",
    );
    home.write("published/m/mfsim.nam", "first");
    let table = format!(
        "[sources.plain]\ntype = \"filesystem\"\ndirectory = {folder:?}\nrefs = [\"now\"]\n"
    );
    home.write_config(&table);
    let copy = ["files", "copy", "--force", "plain@now/m", "out"];
    home.ok(&copy).await;
    home.write("published/m/mfsim.nam", "second");
    home.ok(&copy).await;
    assert_eq!(home.files("work/out")["mfsim.nam"], b"first");
    home.ok(&["files", "sync", "--source", "plain", "--force"]).await;
    home.ok(&copy).await;
    assert_eq!(home.files("work/out")["mfsim.nam"], b"second");
}

#[tokio::test]
async fn a_secret_in_an_address_is_neither_kept_nor_shown() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("me/packed");
    let zip = FakeTree::new().file("models.toml", registry_of(&MODELS));
    let zip = MODELS.iter().fold(zip, |zip, (path, text)| {
        path.strip_prefix("mf6/").map_or(zip.clone(), |key| zip.clone().file(key, *text))
    });
    let at = repository.commit([("a.zip", zip.archive(ArchiveKind::Zip, "").to_vec())]);
    let url = format!("{}/me/packed/{at}/a.zip?sig=hunter2", hub.raw_url());
    let table = format!(
        "[sources.packed]\ntype = \"zip\"\nurl = {url:?}\nname = \"mf6/test\"\nrefs = [\"now\"]\n"
    );
    let home = Home::with(&hub, &format!("{table}{ALONE}"));
    home.ok(&["files", "copy", "packed@now/deep", "out"]).await;
    assert_eq!(home.files("work/out"), deep());
    for shown in [
        &["files", "list", "--json"][..],
        &["source", "show", "packed", "--json"],
        &["changes", "--json"],
        &["files", "info", "--json"],
    ] {
        let output = home.ok(shown).await;
        assert!(!output.stdout.contains("hunter2"), "{shown:?}");
    }
    let added = home.run(&["source", "add", "x", "--type", "zip", "--url", &url]).await;
    assert!(added.code == 1 && added.stderr.contains("has a query"), "{added:?}");
}

#[tokio::test]
async fn a_source_that_is_another_repository_now_is_asked_anew() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&COPY).await;
    let fork = hub.repository("me/fork");
    let mut models = MODELS;
    models[3].1 = "k = 2";
    fork.branch("develop", &commit(&fork, &models));
    home.write_config(&format!("{}{}", SOURCE.replace(TEST_MODELS, "me/fork"), hub.config()));
    home.ok(&["files", "copy", "--force", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(home.files("work/out")["data/model.npf"], b"k = 2");
}
