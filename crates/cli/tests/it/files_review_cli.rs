//! Commands of files say what they do, and do no more: copies, sources, syncs, indexes.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, hub, model};
use callsheet_testkit::{FakeGitHub, FakeTree, GitHubFault, GitHubHost};
use std::time::{Duration, SystemTime};

const INDEX: [&str; 8] =
    ["files", "index", "--repo", TEST_MODELS, "--ref", "develop", "--name", "mf6/test"];
const SYNC: [&str; 4] = ["files", "sync", "--source", "mf6/test"];

fn indexing<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&INDEX[..], &["--path", "models/mf6", "--output", "out"], more].concat()
}

async fn out_of(home: &Home, args: &[&str]) -> String {
    home.ok(args).await.stdout
}

/// A home with models, an index of them, and beside it what belongs to an earlier one.
async fn with_an_earlier_copy() -> Home {
    let home = Home::new("");
    for (path, content) in MODELS {
        home.write(&format!("work/models/{path}"), content);
    }
    home.ok(&indexing(&["--compress", "zst"])).await;
    let earlier = std::fs::read(home.path("work/out/models.toml.zst")).unwrap();
    home.write("work/models/mf6/simple/model.dis", "two layers");
    home.ok(&indexing(&["--compress", "zst", "--difference"])).await;
    assert_eq!(home.files("work/out").len(), 3);
    home.ok(&indexing(&["--check", "--compress", "zst", "--difference"])).await;
    std::fs::write(home.path("work/out/models.toml.zst"), earlier).unwrap();
    home
}

#[tokio::test]
async fn a_check_sees_what_lies_beside_the_registry_file() {
    let home = with_an_earlier_copy().await;
    let before = home.files("work/out");
    let checked = home.run(&indexing(&["--check", "--difference", "--compress", "zst"])).await;
    let up_to_date = "out/models.toml is up to date: 3 models, 5 files\n";
    let stale = "  out/models.toml.zst is stale\n";
    assert_eq!((checked.code, checked.stdout), (4, format!("{up_to_date}{stale}")));
    let checked = home.run(&indexing(&["--check", "--difference", "--json"])).await;
    assert_eq!(checked.code, 4, "{checked:?}");
    assert_eq!(checked.json()["stale"], serde_json::json!(["out/models.toml.zst"]));
    let missing = home.run(&indexing(&["--check", "--difference", "--compress", "gz"])).await;
    assert_eq!(
        (missing.code, missing.stdout),
        (4, format!("{up_to_date}{stale}  out/models.toml.gz is stale\n"))
    );
    assert_eq!(home.files("work/out"), before);
    home.ok(&indexing(&["--difference", "--compress", "zst"])).await;
    home.ok(&indexing(&["--check", "--difference", "--compress", "zst"])).await;
}

#[tokio::test]
async fn what_is_stale_beside_a_registry_file_does_not_stay() {
    let home = with_an_earlier_copy().await;
    let made = out_of(&home, &indexing(&["--difference", "--compress", "gz"])).await;
    let removed = "  out/models.toml.zst was stale, and is removed\n";
    assert_eq!(made, format!("out/models.toml is up to date: 3 models, 5 files\n{removed}"));
    let names = |home: &Home| home.files("work/out").into_keys().collect::<Vec<_>>();
    assert_eq!(names(&home), ["models.toml", "models.toml.diff", "models.toml.gz"]);
    // Without a difference the registry file is another one, and then so is its compressed copy.
    let made = home.ok(&indexing(&["--json"])).await.json();
    assert_eq!(made["removed"], serde_json::json!(["out/models.toml.gz", "out/models.toml.diff"]));
    assert_eq!(made["stale"], serde_json::json!([]));
    assert_eq!(names(&home), ["models.toml"]);
    home.ok(&indexing(&["--compress", "gz"])).await;
    // A copy that says what the registry file says is left alone.
    home.ok(&indexing(&["--check"])).await;
    home.ok(&indexing(&[])).await;
    assert_eq!(names(&home), ["models.toml", "models.toml.gz"]);
}

#[tokio::test]
async fn an_archive_is_indexed_within_the_cache_and_its_links_are_named() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository(TEST_MODELS);
    let tree = MODELS.iter().fold(FakeTree::new(), |tree, (path, text)| tree.file(*path, *text));
    let tree = tree.symlink("mf6/simple/other.dis", "model.dis").symlink("outside", "README.md");
    repository.branch("develop", &repository.commit_tree(tree));
    let home = Home::seeing(&hub).env("TMPDIR", "/nonexistent");
    // What a killed process left behind goes after a day; what another has just begun stays.
    for name in ["index-old/mf6", "index-new"] {
        std::fs::create_dir_all(home.path(&format!("cache/callsheet/tmp/{name}"))).unwrap();
    }
    let old = std::fs::File::open(home.path("cache/callsheet/tmp/index-old")).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_hours(25)).unwrap();
    let asked = [&INDEX[..], &["--path", "mf6"]].concat();
    let made = home.ok(&asked).await;
    assert_eq!(made.stdout, "./models.toml: 3 models, 5 files\n");
    assert_eq!(made.stderr, "warning: simple/other.dis is a link, and left out\n");
    let left = std::fs::read_dir(home.path("cache/callsheet/tmp")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["index-new"]);
}

#[tokio::test]
async fn models_of_several_refs_that_would_meet_lie_under_their_addresses() {
    let hub = hub().await;
    let mut changed = MODELS;
    changed[1].1 = "two layers";
    let repository = hub.repository(TEST_MODELS);
    repository.branch("feature/x", &commit(&repository, &changed));
    let home = Home::with(&hub, SOURCE);
    let addresses =
        ["mf6/test@develop/simple", "mf6/test@feature/x/simple", "mf6/test@develop/deep/inner"];
    let copied = out_of(&home, &[&["files", "copy"], &addresses[..], &["out"]].concat()).await;
    assert_eq!(copied, "copied 3 models to out: 5 files, 55B\n");
    let files = home.files("work/out");
    let expected: Vec<(&str, &[u8])> = vec![
        ("deep/inner/mfsim.nam", b"inner simulation"),
        ("mf6/test@develop/simple/mfsim.nam", b"simulation"),
        ("mf6/test@develop/simple/model.dis", b"one layer"),
        ("mf6/test@feature%2Fx/simple/mfsim.nam", b"simulation"),
        ("mf6/test@feature%2Fx/simple/model.dis", b"two layers"),
    ];
    let found: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_slice())).collect();
    assert_eq!(found, expected);
    home.ok(&[&["files", "lock"], &addresses[..]].concat()).await;
    home.ok(&["files", "copy", "--locked", "locked"]).await;
    assert_eq!(home.files("work/locked"), files);
}

#[tokio::test]
async fn a_copy_from_a_lock_file_takes_patterns() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "lock", "mf6/test@develop/*", "mf6/test@develop/deep/inner"]).await;
    let copied = ["files", "copy", "--locked", "mf6/test@develop/*", "out"];
    assert_eq!(out_of(&home, &copied).await, "copied 2 models to out: 5 files, 50B\n");
    let by_key = ["files", "copy", "--locked", "modflow6-testmodels@develop/s?mple", "one"];
    home.ok(&by_key).await;
    assert_eq!(home.files("work/one"), model(&MODELS, "simple"));
    let said = home.fails(1, &["files", "copy", "--locked", "mf6/test@develop/x*", "no"]).await;
    assert_eq!(said, "error: callsheet.lock does not pin 'mf6/test@develop/x*'\n");
}

#[tokio::test]
async fn a_dry_run_of_a_copy_asks_nobody_and_remembers_nothing() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    let copy = ["files", "copy", "mf6/test@develop/simple", "out", "--dry-run"];
    let not_synced = "error: 'mf6/test@develop' is not synced; --dry-run does not sync it\n\
        hint: `callsheet files sync --source mf6/test --ref develop` does it\n";
    assert_eq!(home.fails(1, &copy).await, not_synced);
    assert_eq!(hub.connections(), 0);
    let dfns = ["files", "copy", "--publishes", "dfns", "mf6@develop/gwf-chd", "out", "--dry-run"];
    let said = home.fails(1, &dfns).await;
    let hint =
        "\nhint: `callsheet files sync --publishes dfns --source mf6 --ref develop` does it\n";
    assert!(said.ends_with(hint), "{said}");
    let listed = out_of(&home, &["files", "list"]).await;
    assert_eq!(listed, "nothing is synced; `callsheet files sync` does it\n");
    home.ok(&SYNC).await;
    hub.stop().await;
    let connections = hub.connections();
    // Nothing of it is here yet, so that nobody knows how long it is.
    let would = out_of(&home, &copy).await;
    assert_eq!(would, "would copy mf6/test@develop/simple to out: 2 files\n");
    assert_eq!(hub.connections(), connections);
    assert!(home.files("work").is_empty());
}

#[tokio::test]
async fn a_dry_run_of_a_copy_looks_at_the_workspace_as_the_copy_does() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    let copy = ["files", "copy", "mf6/test@develop/simple", "out"];
    let (dry, forced) = ([&copy[..], &["--dry-run"]].concat(), [&copy[..], &["--force"]].concat());
    home.ok(&copy).await;
    let there = "mf6/test@develop/simple to out: 0 files, 19B, 2 were there already\n";
    assert_eq!(out_of(&home, &dry).await, format!("would copy {there}"));
    assert_eq!(out_of(&home, &copy).await, format!("copied {there}"));
    std::fs::remove_file(home.path("work/out/mfsim.nam")).unwrap();
    let one = "would copy mf6/test@develop/simple to out: 1 files, 19B, 1 were there already\n";
    assert_eq!(out_of(&home, &dry).await, one);
    home.write("work/out/model.dis", "mine");
    let before = home.files("work");
    let refused = home.fails(1, &copy).await;
    assert!(refused.contains("already has model.dis with other content"), "{refused}");
    assert_eq!(home.fails(1, &dry).await, refused);
    home.ok(&["files", "lock", "mf6/test@develop/simple", "-o", "../a.lock"]).await;
    let locked = ["files", "copy", "--locked=../a.lock", "out", "--dry-run"];
    assert_eq!(home.fails(1, &locked).await, refused);
    let would = out_of(&home, &[&forced[..], &["--dry-run"]].concat()).await;
    assert_eq!(would, "would copy mf6/test@develop/simple to out: 2 files, 19B\n");
    assert_eq!(home.files("work"), before);
    assert_eq!(out_of(&home, &forced).await, would.replace("would copy", "copied"));
}

#[tokio::test]
async fn a_dry_run_says_of_what_it_cannot_know() {
    let home = Home::new("");
    let folder = home.path("published");
    let registry =
        "[files]\n\"m/a\" = {}\n\"m/b\" = {}\n[models]\n\"plain/m\" = [\"m/a\", \"m/b\"]\n";
    home.write("published/models.toml", registry);
    home.write_config(&format!(
        "[sources.plain]\ntype = \"filesystem\"\ndirectory = {folder:?}\nrefs = [\"now\"]\n"
    ));
    home.ok(&["files", "sync", "--source", "plain"]).await;
    home.write("work/out/a", "perhaps");
    let would = out_of(&home, &["files", "copy", "plain@now/m", "out", "--dry-run"]).await;
    assert_eq!(
        would,
        "would copy plain@now/m to out: 1 files, 1 are there, perhaps with other content\n"
    );
}

#[tokio::test]
async fn only_copies_that_were_made_are_counted() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.write("work/out/model.dis", "mine");
    home.fails(1, &["files", "copy", "mf6/test@develop/simple", "out"]).await;
    assert_eq!(out_of(&home, &["files", "usage"]).await, "no model was copied yet\n");
    home.ok(&["files", "copy", "mf6/test@develop/simple", "out", "--force"]).await;
    let used = home.ok(&["files", "usage", "--json"]).await.json();
    assert_eq!(used["used"][0]["address"], "mf6/test@develop/simple");
    assert_eq!(used["used"][0]["copies"], 1);
    // Where nothing can be counted, the copy is made all the same.
    std::fs::remove_file(home.path("data/callsheet/usage.jsonl")).unwrap();
    std::fs::create_dir(home.path("data/callsheet/usage.jsonl")).unwrap();
    home.ok(&["files", "copy", "mf6/test@develop/simple", "again"]).await;
    assert_eq!(home.files("work/again"), model(&MODELS, "simple"));
}

#[tokio::test]
async fn clearing_a_source_means_its_models() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.write("published/chd.dfn", "block");
    let registry = "[files]\n\"chd.dfn\" = {}\n";
    home.write("published/dfns.toml", registry);
    let folder = home.path("published").display().to_string();
    let key = "modflow6-testmodels";
    let add = ["source", "add", key, "--publishes", "dfns", "--type", "filesystem"];
    home.ok(&[&add[..], &["--directory", &folder, "--ref", "now"]].concat()).await;
    home.ok(&["files", "sync", "--source", key]).await;
    home.ok(&["files", "sync", "--source", key, "--publishes", "dfns"]).await;
    let clear = ["files", "clear", "--source", key, "--yes"];
    let cleared = out_of(&home, &clear).await;
    assert_eq!(cleared, "cleared mf6/test@develop: 0 files, 0B\n");
    let left = out_of(&home, &["files", "list"]).await;
    assert!(left.contains(&format!("{key}@now ")), "{left}");
    let cleared = out_of(&home, &[&clear[..], &["--publishes", "dfns"]].concat()).await;
    assert_eq!(cleared, format!("cleared {key}@now: 0 files, 0B\n"));
    for command in ["sync", "clear"] {
        let help = out_of(&home, &["files", command, "--help"]).await;
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains("of one source its models, unless --publishes says else"), "{help}");
    }
}

#[tokio::test]
async fn who_removes_what_replaced_a_source_is_told_which_is_in_force() {
    let home = Home::new("");
    let add = ["source", "add", "modflow6-examples", "--repo", "me/examples", "--ref", "v1"];
    home.ok(&add).await;
    let remove = ["source", "remove", "mf6/example"];
    let would = out_of(&home, &[&remove[..], &["--dry-run"]].concat()).await;
    let shipped = "the one that is shipped";
    assert_eq!(would, format!("mf6/example would be removed; {shipped} would be in force again\n"));
    let removed = out_of(&home, &remove).await;
    assert_eq!(removed, format!("mf6/example removed; {shipped} is in force again\n"));
    home.write(
        "config/callsheet/models.toml",
        "[sources.modflow6-examples]\nrepo = \"a/b\"\nname = \"mf6/example\"\nrefs = [\"x\"]\n",
    );
    home.ok(&add).await;
    let removed = home.ok(&[&remove[..], &["--json"]].concat()).await.json();
    assert_eq!(removed["restored"], "overlay");
    let shown = out_of(&home, &["source", "show", "mf6/example"]).await;
    assert!(shown.contains("  said by: overlay\n"), "{shown}");
}

#[tokio::test]
async fn a_source_is_added_with_hosts_and_a_token_of_its_own() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("me/mine");
    repository.branch("main", &commit(&repository, &MODELS));
    repository.set_private("hunter2");
    let home = Home::new("");
    home.write("work/token", "hunter2\n");
    let (web, raw, api) = (hub.web_url(), hub.raw_url(), hub.api_url());
    let hosts = ["--web", &web, "--raw", &raw, "--api", &api, "--token-file", "token"];
    let add = ["source", "add", "mine", "--repo", "me/mine", "--ref", "main", "--path", "mf6"];
    home.ok(&[&add[..], &hosts].concat()).await;
    home.ok(&["files", "copy", "mine/simple", "out"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "simple"));
    let sent = hub.authorizations(GitHubHost::Raw).into_iter().collect::<Vec<_>>();
    assert_eq!(sent, ["Bearer hunter2"]);
    let both = [&add[..], &hosts, &["--token-env", "TOKEN"]].concat();
    assert_eq!(home.run(&both).await.code, 2);
}

#[tokio::test]
async fn an_open_daemon_reads_no_secret_that_its_callers_name() {
    let config = |server: &str| format!("{server}[log]\nlevel = \"error\"\n");
    let home = Home::new(&config("")).env("ADMIN", "opensesame").env("SECRET", "hunter2");
    home.write("work/token", "hunter2\n");
    let add = ["source", "add", "mine", "--repo", "me/mine", "--ref", "main"];
    let named = [["--token-env", "SECRET"], ["--token-file", "token"]];
    let daemon = home.start_daemon().await;
    for flags in named {
        let refused = home.fails(1, &[&add[..], &flags].concat()).await;
        assert_eq!(
            refused,
            "error: source 'mine': a token is read where the daemon runs, and without an admin \
             token anybody could have it sent anywhere; say `token_env` or `token_file` in the \
             config file or in an overlay, or set `server.admin_token_env`\n"
        );
    }
    home.ok(&add).await;
    daemon.stop().await;
    home.ok(&[&add[..], &named[0]].concat()).await;
    home.write_config(&config("[server]\nadmin_token_env = \"ADMIN\"\n"));
    let daemon = home.start_daemon().await;
    home.ok(&[&add[..], &named[1]].concat()).await;
    daemon.stop().await;
}

#[tokio::test]
async fn what_helps_is_said_once_however_many_refs_fail() {
    let hub = hub().await;
    let home = Home::with(&hub, &SOURCE.replace("[\"develop\"]", "[\"a\", \"b\", \"c\"]"));
    let token = "hint: a private repository is seen only with a token: GITHUB_TOKEN, or the \
        source's `token_env`\n";
    let missing = ["a", "b", "c"].map(|reference| {
        let address = format!("mf6/test@{reference}");
        let said = format!("Registry discovery failed, ref '{address}' does not exist");
        (format!("error: {address}: {said}\n"), format!("  {address}: {said}\n"))
    });
    let said = home.fails(1, &SYNC).await;
    let expected: String = missing.iter().map(|(ours, _)| ours.as_str()).collect();
    assert_eq!(said, format!("{expected}{token}"));
    let said = home.mf(&["models", "sync", "-s", "mf6/test"]).await.stderr;
    let expected: String = missing.iter().map(|(_, mf)| mf.as_str()).collect();
    assert_eq!(said, format!("\nFailed syncs:\n{expected}    {token}"));
    // An error that begins with the address is not led by it.
    hub.fault(None, "/", GitHubFault::Html);
    let said = home.fails(1, &[&SYNC[..], &["--ref", "develop"]].concat()).await;
    assert!(said.starts_with("error: 'mf6/test@develop' could not be fetched: "), "{said}");
}
