//! Small registry files that would do great harm, and what is left of files that were replaced.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, hub, model, registry_of};
use callsheet_testkit::FakeGitHub;

fn publish(hub: &FakeGitHub, registry: &str) {
    let repository = hub.repository(TEST_MODELS);
    let files = MODELS.iter().map(|(path, content)| (*path, (*content).to_owned()));
    let id = repository.commit(files.chain([(".registry/models.toml", registry.to_owned())]));
    repository.branch("develop", &id);
}

#[tokio::test]
async fn a_registry_that_nests_without_end_is_refused_with_a_sentence() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    let key = vec!["a"; 20_000].join(".");
    let good = registry_of(&MODELS);
    for (registry, line) in [
        (format!("x = {{{key} = 1}}\n{good}"), 1),
        (format!("{key} = 1\n{good}"), 1),
        (format!("[{key}]\n{good}"), 1),
        (format!("\n[[{key}]]\n{good}"), 2),
    ] {
        publish(&hub, &registry);
        let said = home.fails(1, &["files", "sync", "--source", "mf6/test"]).await;
        let expected = format!("line {line} is no TOML: a key is nested too deep");
        assert!(said.contains(&expected), "{said}");
    }
}

#[tokio::test]
async fn a_registry_writes_nothing_that_git_would_run() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    for key in [".git/config", "simple/.git/hooks/pre-commit", "simple/.GIT/config", "git~1/config"]
    {
        let file = format!("[files]\n\"{key}\" = {{}}\n");
        publish(&hub, &registry_of(&MODELS).replace("[files]\n", &file));
        let said = home.fails(1, &["files", "sync", "--source", "mf6/test"]).await;
        let expected = format!(
            "{key:?} cannot be the path of a published file: it has a part `.git`, which git would \
             take for its own"
        );
        assert!(said.contains(&expected), "{said}");
    }
}

#[tokio::test]
async fn a_later_copy_leaves_what_a_killed_one_had_replaced() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    let [kept, gone] =
        ["0", "1"].map(|first| format!("work/out/.callsheet-{first}123456789abcdef"));
    home.write(&format!("{kept}/old/0"), "mine");
    home.write(&format!("{gone}/new/mfsim.nam"), "simulation");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(48);
    for folder in [&kept, &gone] {
        std::fs::File::open(home.path(folder)).unwrap().set_modified(long_ago).unwrap();
    }
    home.write("work/out/mfsim.nam", "mine too");
    home.ok(&["files", "copy", "--force", "mf6/test@develop/simple", "out"]).await;
    let mut expected = model(&MODELS, "simple");
    expected.insert(".callsheet-0123456789abcdef/old/0".to_owned(), b"mine".to_vec());
    assert_eq!(home.files("work/out"), expected);
}
