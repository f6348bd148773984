//! Sources that are no repository on GitHub: folders, addresses, archives.

use crate::files_scene::{Home, MODELS, files_of, model, registry_of};
use callsheet_testkit::{ArchiveKind, FakeGitHub, FakeTree, GitHubHost};
use std::path::Path;

/// The files with their registry, as a folder or an archive holds them.
fn tree() -> FakeTree {
    let registry = registry_of(&MODELS);
    let files =
        MODELS.iter().filter_map(|(path, content)| Some((path.strip_prefix("mf6/")?, content)));
    files
        .fold(FakeTree::new(), |tree, (path, content)| tree.file(path, *content))
        .file("models.toml", registry)
}

fn unpack(tree: &FakeTree, folder: &Path) {
    for path in tree.paths() {
        let at = folder.join(&path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, tree.content(&path).unwrap()).unwrap();
    }
}

fn config(kind: &str, place: &str) -> String {
    format!(
        "[sources.mine]\ntype = \"{kind}\"\nname = \"mf6/test\"\nrefs = [\"one\", \"two\"]\n{place}\n"
    )
}

async fn copies_both(home: &Home, two: &str) {
    let synced = home.ok(&["files", "sync", "--source", "mine"]).await;
    assert_eq!(
        synced.stdout,
        "synced mf6/test@one: 3 models, 5 files, plain\nsynced mf6/test@two: 3 models, 5 files, plain\n"
    );
    home.ok(&["files", "copy", "mine@one/deep", "one"]).await;
    home.ok(&["files", "copy", "mine@two/deep", "two"]).await;
    assert_eq!(home.files("work/one"), model(&MODELS, "deep"));
    assert_eq!(home.files("work/two")["data/model.npf"], two.as_bytes());
}

/// The same files but one.
fn changed() -> FakeTree {
    let mut files = MODELS;
    files[3].1 = "k = 2";
    tree().file("deep/data/model.npf", "k = 2").file("models.toml", registry_of(&files))
}

#[tokio::test]
async fn a_folder_is_a_source() {
    let home = Home::new("");
    unpack(&tree(), &home.path("published/one"));
    unpack(&changed(), &home.path("published/two"));
    let folder = home.path("published").display().to_string();
    home.write_config(&config("filesystem", &format!("directory = \"{folder}/{{ref}}\"")));
    copies_both(&home, "k = 2").await;
    let before = files_of(&home.path("published"));
    // A folder is at hand offline too.
    home.ok(&["files", "clear", "--source", "mine", "--yes"]).await;
    home.ok(&["--offline", "files", "copy", "mine@one/simple", "simple"]).await;
    assert_eq!(home.files("work/simple"), model(&MODELS, "simple"));
    assert_eq!(files_of(&home.path("published")), before);
}

#[tokio::test]
async fn a_link_in_a_folder_is_not_followed() {
    let home = Home::new("");
    unpack(&tree(), &home.path("published"));
    home.write("outside.npf", "k = 1");
    let link = home.path("published/deep/data/model.npf");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(home.path("outside.npf"), &link).unwrap();
    let folder = home.path("published").display().to_string();
    home.write_config(&config("filesystem", &format!("directory = \"{folder}\"")));
    let said = home.fails(1, &["files", "copy", "mine@one/deep", "out"]).await;
    assert_eq!(
        said,
        format!(
            "error: 'deep/data/model.npf' of 'mf6/test@one' is not there: looked for at {}\n",
            link.display()
        )
    );
    assert!(!home.path("work/out").exists());
}

#[tokio::test]
async fn an_archive_on_disk_is_a_source() {
    let home = Home::new("");
    for (name, tree) in [("one", tree()), ("two", changed())] {
        let path = home.path(&format!("published-{name}.zip"));
        std::fs::write(path, tree.archive(ArchiveKind::Zip, "")).unwrap();
    }
    let file = home.path("published-{ref}.zip").display().to_string();
    home.write_config(&config("zip", &format!("directory = \"{file}\"")));
    copies_both(&home, "k = 2").await;
}

#[tokio::test]
async fn an_archive_at_an_address_is_a_source() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("o/r");
    for (name, tree) in [("one", tree()), ("two", changed())] {
        let archive = tree.archive(ArchiveKind::Zip, "");
        repository.branch(name, &repository.commit([("models.zip", archive)]));
    }
    let url = format!("url = \"{}/o/r/{{ref}}/models.zip\"", hub.raw_url());
    let home = Home::new(&config("zip", &url));
    copies_both(&home, "k = 2").await;
    hub.stop().await;
    home.ok(&["files", "copy", "mine@one/simple", "simple"]).await;
    assert_eq!(home.files("work/simple"), model(&MODELS, "simple"));
}

#[tokio::test]
async fn an_address_is_a_source_and_what_has_not_changed_is_not_sent_again() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("o/r");
    repository.branch("one", &repository.commit_tree(tree()));
    repository.branch("two", &repository.commit_tree(changed()));
    let home = Home::new(&config("http", &format!("url = \"{}/o/r/{{ref}}/\"", hub.raw_url())));
    copies_both(&home, "k = 2").await;
    hub.forget_requests();
    let again = home.ok(&["files", "sync", "--source", "mine"]).await;
    assert_eq!(
        again.stdout,
        "mf6/test@one is up to date: already cached\nmf6/test@two is up to date: already cached\n"
    );
    let requests = hub.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(requests.iter().all(|request| request.header("if-none-match").is_some()));
    repository.branch("one", &repository.commit_tree(changed()));
    let moved = home.ok(&["files", "sync", "--source", "mine"]).await;
    assert_eq!(
        moved.stdout,
        "synced mf6/test@one: 3 models, 5 files, plain\n  \
           models changed: 1 (mf6/test/deep)\n  \
           files changed: 1 (deep/data/model.npf)\n\
         mf6/test@two is up to date: already cached\n"
    );
    assert_eq!(hub.count(GitHubHost::Api, ""), 0);
}
