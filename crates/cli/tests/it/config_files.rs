//! `[files]`, `[github]` and `[sources.KEY]`: each key, and what is other with it.

use crate::{
    files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, hub, registry_of},
    observe::daemon,
    server,
};
use callsheet_testkit::{FakeGitHub, Gate, GitHubFault, GitHubHost, TestServer};

/// Where the source of the tests is fetched from, without its table.
const COPY: [&str; 4] = ["files", "copy", "mf6/test@develop/deep", "out"];

#[tokio::test]
async fn cache_dir_is_where_files_are_cached() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    let elsewhere = home.path("elsewhere");
    let config = format!("[files]\ncache_dir = {elsewhere:?}\n{SOURCE}{}", hub.config());
    home.write_config(&config);
    home.ok(&COPY).await;
    assert!(home.files("elsewhere/files").len() >= 3);
    assert!(!home.path("cache/callsheet").exists());
}

#[tokio::test]
async fn auto_sync_syncs_what_is_new_before_models_are_listed() {
    let hub = hub().await;
    let others =
        "[sources.modflow6-examples]\nrefs = []\n[sources.modflow6-largetestmodels]\nrefs = []\n";
    let home = Home::with(&hub, &format!("{SOURCE}{others}"));
    assert!(home.ok(&["files", "list"]).await.stdout.contains("nothing is synced"));
    assert_eq!(hub.request_count(), 0);
    home.write_config(&format!("[files]\nauto_sync = true\n{SOURCE}{others}{}", hub.config()));
    let listed = home.ok(&["files", "list"]).await;
    assert!(listed.stdout.contains("mf6/test@develop"), "{listed:?}");
    // What is not published here cannot be synced, and that is a warning.
    assert!(listed.stderr.contains("warning: modflow6@"), "{listed:?}");
}

#[tokio::test]
async fn single_files_is_how_many_come_one_by_one() {
    let hub = hub().await;
    for (single_files, archives) in [(3, 0), (2, 1)] {
        hub.forget_requests();
        let config = format!("[files]\nsingle_files = {single_files}\n{SOURCE}");
        let home = Home::with(&hub, &config);
        home.ok(&COPY).await;
        assert_eq!(hub.count(GitHubHost::Codeload, "/"), archives, "{single_files}");
    }
}

#[tokio::test]
async fn parallel_is_how_many_come_at_once() {
    let hub = hub().await;
    let home = Home::with(&hub, &format!("[files]\nparallel = 2\n{SOURCE}"));
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    hub.forget_requests();
    let gate = Gate::new();
    let stalled = GitHubFault::Stalled { after_bytes: 0, until: gate.clone() };
    hub.fault(GitHubHost::Raw, "/", stalled);
    let copy = tokio::spawn(home.command(&COPY).output());
    hub.wait_for_stalls(2).await;
    assert_eq!(hub.count(GitHubHost::Raw, "/"), 2);
    hub.heal();
    gate.open();
    let output = callsheet_testkit::within("the copy", copy).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(hub.count(GitHubHost::Raw, "/"), 3);
}

async fn mirror(hub: &FakeGitHub) -> TestServer {
    server(&format!("{SOURCE}{}", hub.config())).start().await
}

#[tokio::test]
async fn mirrors_are_asked_before_the_source() {
    let hub = hub().await;
    let mirror = mirror(&hub).await;
    let fetched = mirror.cli(["files", "fetch", "mf6/test@develop/deep"]).await;
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let home = Home::with(&hub, &format!("[files]\nmirrors = [{:?}]\n{SOURCE}", mirror.url()));
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    hub.forget_requests();
    home.ok(&COPY).await;
    assert_eq!((home.files("work/out").len(), hub.request_count()), (3, 0));
}

#[tokio::test]
async fn max_file_bytes_is_the_largest_file() {
    let hub = hub().await;
    let home = Home::with(&hub, &format!("[files]\nmax_file_bytes = 9\n{SOURCE}"));
    let refused = home.run(&COPY).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("9 bytes"), "{refused:?}");
    assert!(!home.path("work/out").exists());
}

#[tokio::test]
async fn usage_false_counts_no_copies() {
    let hub = hub().await;
    for (usage, copies) in [(true, 1), (false, 0)] {
        let home = Home::with(&hub, &format!("[files]\nusage = {usage}\n{SOURCE}"));
        home.ok(&COPY).await;
        let used = home.ok(&["files", "usage", "--json"]).await.json();
        assert_eq!(used["used"].as_array().map(Vec::len), Some(copies), "{used}");
    }
}

#[tokio::test]
async fn web_raw_and_api_are_where_github_is() {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let registry = registry_of(&MODELS);
    repository.release("v1", [("models.toml", registry.as_str().to_owned())]);
    let other = FakeGitHub::start().await;
    other.stop().await;
    for (key, own, host) in [
        ("web", other.web_url(), GitHubHost::Web),
        ("raw", other.raw_url(), GitHubHost::Raw),
        ("api", other.api_url(), GitHubHost::Api),
    ] {
        let good = Home::with(&hub, SOURCE);
        hub.forget_requests();
        let reference = if key == "web" { "v1" } else { "develop" };
        let sync = ["files", "sync", "--source", "mf6/test", "--ref", reference];
        let _ = good.run(&sync).await;
        assert!(hub.count(host, "/") > 0, "{key}");
        let urls = [("web", hub.web_url()), ("raw", hub.raw_url()), ("api", hub.api_url())];
        let urls = urls.map(|(name, url)| {
            format!("{name} = {:?}\n", if name == key { own.clone() } else { url })
        });
        let home = Home::new(&format!("{SOURCE}[github]\n{}", urls.concat()));
        let failed = home.run(&sync).await;
        assert_eq!(failed.code, 1, "{key}: {failed:?}");
        let address = own.trim_start_matches("http://");
        assert!(failed.stderr.contains(address), "{key}: {failed:?}");
    }
}

#[tokio::test]
async fn token_env_and_token_file_open_what_is_private() {
    let hub = hub().await;
    hub.repository(TEST_MODELS).set_private("t0ken");
    let sync = ["files", "sync", "--source", "mf6/test"];
    let home = Home::with(&hub, SOURCE).env("MY_TOKEN", "t0ken");
    assert_eq!(home.run(&sync).await.code, 1);
    home.write("token", "t0ken\n");
    let file = home.path("token");
    for token in ["token_env = \"MY_TOKEN\"".to_owned(), format!("token_file = {file:?}")] {
        let github = hub.config().replace("[github]", &format!("[github]\n{token}"));
        home.write_config(&format!("{SOURCE}{github}"));
        home.ok(&[&sync[..], &["--force"]].concat()).await;
    }
    let github = hub.config().replace("[github]", "[github]\ntoken_env = \"NOT_SET\"");
    let refused = daemon(&github).run(["config", "check"]).await;
    assert!(refused.stderr.contains("github.token_env"), "{refused:?}");
}

#[tokio::test]
async fn type_url_and_directory_say_how_a_source_is_reached() {
    let hub = hub().await;
    let home = Home::with(&hub, "");
    for (path, content) in MODELS {
        home.write(&format!("models/{path}"), content);
    }
    home.write("models/mf6/models.toml", &registry_of(&MODELS));
    let served = {
        let repository = hub.repository("me/served");
        let with_registry = MODELS.iter().map(|(path, text)| (*path, (*text).to_owned()));
        let commit =
            repository.commit(with_registry.chain([("mf6/models.toml", registry_of(&MODELS))]));
        format!("{}/me/served/{commit}/mf6", hub.raw_url())
    };
    let folder = home.path("models/mf6");
    for (name, source) in [
        ("folder", format!("type = \"filesystem\"\ndirectory = {folder:?}\n")),
        ("served", format!("type = \"http\"\nurl = {served:?}\n")),
    ] {
        let table = format!("[sources.{name}]\nname = \"mf6/test\"\nrefs = [\"now\"]\n{source}");
        let off = "[sources.modflow6-testmodels]\nrefs = []\nname = \"off\"\n";
        home.write_config(&format!("{table}{off}{}", hub.config()));
        home.ok(&["files", "copy", &format!("{name}@now/deep"), name]).await;
        assert_eq!(home.files(&format!("work/{name}")).len(), 3, "{name}");
    }
}

#[tokio::test]
async fn publishes_says_what_kind_of_registry_it_is() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("me/mf");
    let digest = callsheet_types::Digest::of(b"begin").to_string();
    let dfns = format!("[files]\n\"gwf-chd.dfn\" = {{hash = \"{digest}\"}}\n");
    let commit =
        repository.commit([(".registry/dfns.toml", dfns), ("doc/gwf-chd.dfn", "begin".to_owned())]);
    repository.branch("main", &commit);
    let source = "repo = \"me/mf\"\nrefs = [\"main\"]\n";
    let dfns = "[sources.mine]\npublishes = \"dfns\"\ndfn_path = \"doc\"\n";
    let home = Home::with(&hub, &format!("{dfns}{source}"));
    home.ok(&["files", "copy", "--publishes", "dfns", "mine@main/gwf-chd", "out"]).await;
    assert_eq!(home.files("work/out")["gwf-chd.dfn"], b"begin");
    home.write_config(&format!("[sources.mine]\n{source}{}", hub.config()));
    let failed = home.run(&["files", "sync", "--source", "mine"]).await;
    assert!(failed.stderr.contains("'models.toml' not found in .registry"), "{failed:?}");
}

#[tokio::test]
async fn name_repo_and_refs_say_what_is_synced_and_what_it_is_called() {
    let hub = hub().await;
    let fork = hub.repository("me/fork");
    fork.branch("mine", &commit(&fork, &MODELS[..2]));
    let table = "[sources.mine]\nrepo = \"me/fork\"\nrefs = [\"mine\"]\nname = \"own/name\"\npath = \"mf6\"\n";
    let home = Home::with(&hub, table);
    let synced = home.ok(&["files", "sync", "--source", "own/name"]).await;
    assert!(synced.stdout.starts_with("synced own/name@mine"), "{synced:?}");
    assert!(synced.stdout.contains("1 models, 2 files"), "{synced:?}");
}

#[tokio::test]
async fn registry_path_and_path_are_folders_of_the_repository() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("me/odd");
    let files = MODELS.iter().map(|(path, text)| (format!("in/here/{path}"), (*text).to_owned()));
    let registry = ("lists/models.toml".to_owned(), registry_of(&MODELS));
    repository.branch("main", &repository.commit(files.chain([registry])));
    let table = |more: &str| {
        format!(
            "[sources.odd]\nrepo = \"me/odd\"\nrefs = [\"main\"]\nname = \"mf6/test\"\n{more}[sources.modflow6-testmodels]\nrefs = []\nname = \"off\"\n"
        )
    };
    let (registry_path, path) = ("registry_path = \"lists\"\n", "path = \"in/here/mf6\"\n");
    let home = Home::with(&hub, &table(&format!("{registry_path}{path}")));
    home.ok(&["files", "copy", "odd@main/deep", "out"]).await;
    assert_eq!(home.files("work/out").len(), 3);
    for (missing, says) in [(path, "not found in .registry"), (registry_path, "is not there")] {
        let home = Home::with(&hub, &table(missing));
        let failed = home.run(&["files", "copy", "odd@main/deep", "out"]).await;
        assert!(failed.code == 1 && failed.stderr.contains(says), "{failed:?}");
    }
}

#[tokio::test]
async fn asset_is_the_archive_of_a_release() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("me/released");
    let files = MODELS.iter().filter_map(|(path, text)| Some((path.strip_prefix("mf6/")?, *text)));
    let first = repository.commit(files.collect::<Vec<_>>());
    let zip = repository.archive(&first, callsheet_testkit::ArchiveKind::Zip);
    repository.release(
        "v1",
        [
            ("models.toml", registry_of(&MODELS).into_bytes()),
            ("good.zip", zip.to_vec()),
            ("other.zip", b"no archive".to_vec()),
        ],
    );
    let table = |asset: &str| {
        format!(
            "[sources.released]\nrepo = \"me/released\"\nrefs = [\"v1\"]\nname = \"mf6/test\"\n{asset}[sources.modflow6-testmodels]\nrefs = []\nname = \"off\"\n"
        )
    };
    let copy = ["files", "copy", "released@v1/deep", "out"];
    let home = Home::with(&hub, &table("asset = \"good.zip\"\n"));
    home.ok(&copy).await;
    assert_eq!(home.files("work/out").len(), 3);
    let failed = Home::with(&hub, &table("")).run(&copy).await;
    assert!(failed.stderr.contains("several archives: good.zip, other.zip"), "{failed:?}");
}

#[tokio::test]
async fn a_source_may_have_web_raw_and_api_of_its_own() {
    let hub = hub().await;
    let nowhere = FakeGitHub::start().await;
    nowhere.stop().await;
    let (web, raw, api) = (hub.web_url(), hub.raw_url(), hub.api_url());
    let own = format!("{SOURCE}web = {web:?}\nraw = {raw:?}\napi = {api:?}\n");
    let home = Home::with(&nowhere, &own);
    home.ok(&COPY).await;
    assert_eq!(Home::with(&nowhere, SOURCE).run(&COPY).await.code, 1);
}

#[tokio::test]
async fn a_source_may_have_a_token_env_or_a_token_file_of_its_own() {
    let hub = hub().await;
    hub.repository(TEST_MODELS).set_private("own");
    let home = Home::with(&hub, SOURCE).env("OWN", "own").env("GITHUB_TOKEN", "common");
    assert_eq!(home.run(&COPY).await.code, 1);
    home.write("token", "own\n");
    let file = home.path("token");
    for (i, token) in
        ["token_env = \"OWN\"\n".to_owned(), format!("token_file = {file:?}\n")].iter().enumerate()
    {
        home.write_config(&format!("{SOURCE}{token}{}", hub.config()));
        home.ok(&["files", "copy", "mf6/test@develop/deep", &format!("out{i}")]).await;
    }
}
