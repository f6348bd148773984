//! Addresses: which model at which ref of which source is meant.

use crate::files_scene::{Home, SOURCE, TEST_MODELS, commit, hub, model, registry_of};
use callsheet_testkit::{FakeGitHub, FakeRepository};

const MORE: [(&str, &str); 8] = [
    ("mf6/test001/mfsim.nam", "one"),
    ("mf6/test001/model.dis", "one layer"),
    ("mf6/test002/mfsim.nam", "two"),
    ("mf6/test002/a/deep.npf", "k"),
    ("mf6/test010/mfsim.nam", "ten"),
    ("mf6/test010/test011/mfsim.nam", "eleven"),
    ("mf6/other/mfsim.nam", "other"),
    ("mf6/other/compare.txt", "compared"),
];

async fn scene(config: &str) -> (FakeGitHub, FakeRepository, Home) {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    repository.branch("develop", &commit(&repository, &MORE));
    let home = Home::with(&hub, config);
    (hub, repository, home)
}

/// Returns the addresses that an address means.
async fn meant(home: &Home, address: &str) -> Vec<String> {
    let sets = home.ok(&["files", "show", address, "--json"]).await.json();
    let sets = sets.as_array().expect("sets").iter();
    sets.map(|set| set["address"].as_str().expect("an address").to_owned()).collect()
}

#[tokio::test]
async fn a_model_is_called_in_many_ways() {
    let (hub, _repository, home) = scene(SOURCE).await;
    for address in [
        "mf6/test@develop/test001",
        "modflow6-testmodels@develop/test001",
        "modflow6-testmodels@develop/mf6/test001",
        "mf6/test@develop/mf6/test001",
        "mf6/test@develop/mf6/test/test001",
        "mf6/test@develop/test001/",
        "mf6/test/test001",
        "modflow6-testmodels/mf6/test001",
        "modflow6-testmodels/test001",
    ] {
        assert_eq!(meant(&home, address).await, ["mf6/test@develop/test001"], "{address}");
        let out = address.replace(['/', '@'], "_");
        home.ok(&["files", "copy", address, &out]).await;
        assert_eq!(home.files(&format!("work/{out}")), model(&MORE, "test001"), "{address}");
        let mf = home.mf(&["models", "copy", address, &format!("mf-{out}")]).await;
        assert_eq!(mf.code, 0, "{mf:?}");
        assert_eq!(home.files(&format!("work/mf-{out}")), model(&MORE, "test001"), "{address}");
    }
    assert_eq!(
        meant(&home, "mf6/test@develop/test010/test011").await,
        ["mf6/test@develop/test010/test011"]
    );
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
}

#[tokio::test]
async fn a_name_without_a_ref_means_the_first_ref_of_the_source() {
    let (hub, repository, home) =
        scene(&SOURCE.replace("[\"develop\"]", "[\"stable\", \"develop\"]")).await;
    let mut files = MORE;
    files[1].1 = "stable layer";
    repository.branch("stable", &commit(&repository, &files));
    // The other is synced, and is not meant.
    home.ok(&["files", "sync", "-s", "mf6/test", "-r", "develop"]).await;
    assert_eq!(meant(&home, "mf6/test/test001").await, ["mf6/test@stable/test001"]);
    home.ok(&["files", "copy", "mf6/test/test001", "out"]).await;
    assert_eq!(home.files("work/out")["model.dis"], b"stable layer");
    home.ok(&["files", "clear", "-s", "mf6/test", "-r", "stable", "--yes"]).await;
    // Offline, what is synced goes before what is first.
    assert_eq!(
        home.ok(&["files", "show", "mf6/test/test001", "--offline"]).await.stdout.lines().next(),
        Some("mf6/test@develop/test001")
    );
    assert_eq!(hub.unexpected().len(), 0);
}

#[tokio::test]
async fn a_plain_name_is_searched_in_all_that_is_synced() {
    let (hub, _repository, home) = scene(SOURCE).await;
    let mine = hub.repository("me/mine");
    let registry = "[files]\n\"own/mfsim.nam\" = {}\n[models]\n\"ex-own\" = [\"own/mfsim.nam\"]\n\"ex-both\" = [\"own/mfsim.nam\"]\n[examples]\n";
    let made = mine.commit([("own/mfsim.nam", "own"), (".registry/models.toml", registry)]);
    mine.branch("main", &made);
    let other = hub.repository("me/other");
    other.branch(
        "main",
        &other.commit([
            ("own/mfsim.nam", "other".to_owned()),
            (".registry/models.toml", registry.replace("ex-own", "ex-other")),
        ]),
    );
    let unknown = home.fails(1, &["files", "copy", "ex-own", "out"]).await;
    assert_eq!(
        unknown,
        "error: 'ex-own' not in registry\nhint: `callsheet files list --verbose` names all models\n"
    );
    for name in ["mine", "other"] {
        home.ok(&["source", "add", name, "--repo", &format!("me/{name}"), "--ref", "main"]).await;
        home.ok(&["files", "sync", "-s", name]).await;
    }
    home.ok(&["files", "sync", "-s", "mf6/test"]).await;
    assert_eq!(meant(&home, "ex-own").await, ["mine@main/ex-own"]);
    assert_eq!(meant(&home, "ex-other").await, ["other@main/ex-other"]);
    home.ok(&["files", "copy", "ex-other", "out"]).await;
    assert_eq!(home.files("work/out")["mfsim.nam"], b"other");
    let said = home.fails(1, &["files", "show", "ex-both"]).await;
    assert_eq!(
        said,
        "error: 'ex-both' may be mine@main/ex-both or other@main/ex-both\nhint: write one of them\n"
    );
    // The merged view.
    let listed = home.ok(&["files", "list", "--verbose"]).await;
    assert_eq!(
        listed.stdout,
        "mine@main:\n  ex-both\n  ex-own\nmf6/test@develop:\n  mf6/test/other\n  mf6/test/test001\n  mf6/test/test002\n  mf6/test/test010\n  mf6/test/test010/test011\nother@main:\n  ex-both\n  ex-other\n"
    );
}

#[tokio::test]
async fn patterns_and_several_models_go_into_folders_of_their_own() {
    let (hub, _repository, home) = scene(SOURCE).await;
    let all = ["test001", "test002", "test010"].map(|name| format!("mf6/test@develop/{name}"));
    assert_eq!(meant(&home, "mf6/test@develop/test0*").await, all);
    assert_eq!(meant(&home, "mf6/test@develop/mf6/test00?").await, all[..2]);
    assert_eq!(meant(&home, "mf6/test/test0[01]*").await, all);
    assert_eq!(
        meant(&home, "mf6/test@develop/test*/*").await,
        ["mf6/test@develop/test010/test011"]
    );
    let copied = home.ok(&["files", "copy", "mf6/test@develop/test0*", "out"]).await;
    assert_eq!(copied.stdout, "copied 3 models to out: 6 files, 25B\n");
    let names: Vec<_> = home.files("work/out").into_keys().collect();
    assert_eq!(
        names,
        [
            "test001/mfsim.nam",
            "test001/model.dis",
            "test002/a/deep.npf",
            "test002/mfsim.nam",
            "test010/mfsim.nam",
            "test010/test011/mfsim.nam"
        ]
    );
    let two = [
        "files",
        "copy",
        "mf6/test@develop/other",
        "mf6/test@develop/test001",
        "mf6/test/test001",
        "two",
    ];
    let copied = home.ok(&two).await;
    assert!(copied.stdout.starts_with("copied 2 models to two: 4 files"), "{copied:?}");
    let names: Vec<_> = home.files("work/two").into_keys().collect();
    assert_eq!(
        names,
        ["other/compare.txt", "other/mfsim.nam", "test001/mfsim.nam", "test001/model.dis"]
    );
    let none = home.fails(1, &["files", "copy", "mf6/test@develop/none*", "no"]).await;
    assert!(none.starts_with("error: 'none*' not in registry of 'mf6/test@develop'\n"), "{none}");
    assert!(!home.path("work/no").exists());
    assert_eq!(hub.unexpected().len(), 0);
}

#[tokio::test]
async fn an_unknown_model_is_answered_with_those_that_are_like_it() {
    let (_hub, _repository, home) = scene(SOURCE).await;
    let said = home.fails(1, &["files", "copy", "mf6/test@develop/test012", "out"]).await;
    assert_eq!(
        said,
        "error: 'test012' not in registry of 'mf6/test@develop'\nhint: did you mean mf6/test@develop/test010 or mf6/test@develop/test010/test011 or mf6/test@develop/test001 or mf6/test@develop/test002?\n"
    );
    let said = home.mf(&["models", "copy", "mf6/test/otter", "out"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(
        said.stderr.starts_with("error: 'otter' not in registry of 'mf6/test@develop'\n"),
        "{said:?}"
    );
    for (address, says) in [
        ("nobody@develop/x", "error: Source 'nobody' not found\nhint: Available sources: "),
        (
            "mf6/test@",
            "error: \"mf6/test@\" is no address: it names no ref after the `@`; expected ",
        ),
        ("@develop/x", "error: \"@develop/x\" is no address: it names no source; expected "),
        (
            "mf6/test@develop/../x",
            "error: \"mf6/test@develop/../x\" is no address: it leaves its source; expected ",
        ),
    ] {
        let said = home.fails(1, &["files", "copy", address, "out"]).await;
        assert!(said.starts_with(says), "{address}: {said}");
    }
    assert!(!home.path("work/out").exists());
    let usage = home.run(&["files", "copy", "mf6/test@develop/test001"]).await;
    assert_eq!(usage.code, 2, "{usage:?}");
}

#[tokio::test]
async fn examples_are_listed_and_copied_by_name() {
    let (_hub, repository, home) = scene(SOURCE).await;
    let examples = "[examples]\n\"ex-pair\" = [\"mf6/test/test002\", \"mf6/test/test001\"]\n\"mf6/test/ex-one\" = [\"mf6/test/other\"]\n";
    let registry = registry_of(&MORE).replace("[examples]\n", examples);
    let files = MORE.map(|(path, content)| (path, content.to_owned()));
    let made = repository.commit(files.into_iter().chain([(".registry/models.toml", registry)]));
    repository.branch("develop", &made);
    let pair = ["mf6/test@develop/test002", "mf6/test@develop/test001"];
    assert_eq!(meant(&home, "mf6/test@develop/ex-pair").await, pair);
    assert_eq!(meant(&home, "mf6/test/ex-pair").await, pair);
    assert_eq!(meant(&home, "ex-pair").await, pair);
    assert_eq!(meant(&home, "mf6/test@develop/ex-one").await, ["mf6/test@develop/other"]);
    let listed = home.ok(&["files", "list", "--verbose"]).await;
    assert!(
        listed.stdout.ends_with("  ex-pair (example): mf6/test/test002, mf6/test/test001\n  mf6/test/ex-one (example): mf6/test/other\n"),
        "{listed:?}"
    );
    let copied = home.ok(&["files", "copy", "ex-pair", "out"]).await;
    assert!(copied.stdout.starts_with("copied 2 models to out: 4 files"), "{copied:?}");
    let names: Vec<_> = home.files("work/out").into_keys().collect();
    assert_eq!(
        names,
        ["test001/mfsim.nam", "test001/model.dis", "test002/a/deep.npf", "test002/mfsim.nam"]
    );
    let mf = home.mf(&["models", "list"]).await;
    assert_eq!(mf.stdout, "Available models:\n\nmf6/test@develop:\n  Models: 5\n  Examples: 2\n");
}

#[tokio::test]
async fn of_several_sources_of_one_name_each_is_called_by_its_key() {
    let fork = "[sources.a-fork]\nrepo = \"me/fork\"\nname = \"mf6/test\"\nrefs = [\"develop\"]\npath = \"mf6\"\n";
    let (hub, _repository, home) = scene(&format!("{SOURCE}{fork}")).await;
    let repository = hub.repository("me/fork");
    let mut files = MORE;
    files[1].1 = "forked layer";
    repository.branch("develop", &commit(&repository, &files));
    let says = "may be a-fork or modflow6-testmodels\nhint: write one of them\n";
    for (address, text) in
        [("mf6/test@develop/test001", "mf6/test"), ("mf6/test/test001", "mf6/test/test001")]
    {
        let said = home.fails(1, &["files", "copy", address, "no"]).await;
        assert_eq!(said, format!("error: '{text}' {says}"));
    }
    for command in [&["files", "sync", "--source"][..], &["source", "show"], &["source", "remove"]]
    {
        let said = home.fails(1, &[command, &["mf6/test"]].concat()).await;
        assert_eq!(said, format!("error: 'mf6/test' {says}"));
    }
    assert_eq!(hub.request_count(), 0);
    for (key, content) in [("a-fork", "forked layer"), ("modflow6-testmodels", "one layer")] {
        let address = format!("{key}@develop/test001");
        let copied = home.ok(&["files", "copy", &address, key]).await;
        // What is said can be used.
        assert!(
            copied.stdout.starts_with(&format!("copied {address} to {key}: 2 files")),
            "{copied:?}"
        );
        assert_eq!(home.files(&format!("work/{key}"))["model.dis"], content.as_bytes());
        assert_eq!(meant(&home, &format!("{key}/test001")).await, [address]);
    }
    // One that is switched off leaves its name to the other.
    home.write_config(&format!(
        "{SOURCE}{}\n{}",
        fork.replace("[\"develop\"]", "[]"),
        hub.config()
    ));
    assert_eq!(meant(&home, "mf6/test@develop/test001").await, ["mf6/test@develop/test001"]);
    assert_eq!(meant(&home, "mf6/test/test001").await, ["mf6/test@develop/test001"]);
    assert_eq!(meant(&home, "a-fork@develop/test001").await, ["a-fork@develop/test001"]);
}
