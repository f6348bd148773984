//! Files that are in an archive among a release's assets.

use crate::files_scene::Home;
use callsheet_testkit::{
    ArchiveKind, FakeGitHub, FakeRepository, FakeTree, GitHubFault, GitHubHost,
};
use callsheet_types::Digest;
use std::{collections::BTreeMap, fmt::Write as _};

const EXAMPLES: &str = "MODFLOW-ORG/modflow6-examples";
const FILES: [(&str, &str); 3] = [
    ("ex-gwf-a/mfsim.nam", "simulation a"),
    ("ex-gwf-a/data/a.npf", "k = 1"),
    ("ex-gwf-b/mfsim.nam", "simulation b"),
];
const OBJECTS: &str = "/github-production-release-asset/";

/// Makes the registry of a release, whose files' addresses name this archive, or none.
fn registry(archive: Option<&str>, with_hashes: bool) -> String {
    let mut text = "schema_version = \"1.0\"\n\n".to_owned();
    for (key, content) in FILES {
        let _ = writeln!(text, "[files.\"{key}\"]");
        if let Some(archive) = archive {
            let web = "https://github.com";
            let _ = writeln!(text, "url = \"{web}/{EXAMPLES}/releases/download/v1/{archive}\"");
        }
        if with_hashes {
            let _ = writeln!(text, "hash = \"{}\"", Digest::of(content.as_bytes()));
        }
        text.push('\n');
    }
    text.push_str(
        "[models]\n\
         \"mf6/example/ex-gwf-a\" = [\"ex-gwf-a/mfsim.nam\", \"ex-gwf-a/data/a.npf\"]\n\
         \"mf6/example/ex-gwf-b\" = [\"ex-gwf-b/mfsim.nam\"]\n\n\
         [examples]\nboth = [\"mf6/example/ex-gwf-a\", \"mf6/example/ex-gwf-b\"]\n",
    );
    text
}

/// Packs the files below a folder, or as they are.
fn zip(top: &str) -> bytes::Bytes {
    FILES
        .iter()
        .fold(FakeTree::new(), |tree, (path, content)| tree.file(*path, *content))
        .archive(ArchiveKind::Zip, top)
}

fn packed(tree: &FakeTree) -> bytes::Bytes {
    tree.archive(ArchiveKind::Zip, "")
}

async fn hub() -> (FakeGitHub, FakeRepository) {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository(EXAMPLES);
    (hub, repository)
}

fn home(hub: &FakeGitHub, further: &str) -> Home {
    Home::with(
        hub,
        &format!(
            "[sources.modflow6-examples]\nrepo = \"{EXAMPLES}\"\nname = \"mf6/example\"\nrefs = [\"v1\"]\n{further}"
        ),
    )
}

fn model_a() -> BTreeMap<String, Vec<u8>> {
    let files = [("mfsim.nam", "simulation a"), ("data/a.npf", "k = 1")];
    files.map(|(path, content)| (path.to_owned(), content.as_bytes().to_vec())).into()
}

/// Copies a model, and checks that it was copied whole.
async fn copies(home: &Home) {
    home.ok(&["files", "copy", "mf6/example@v1/ex-gwf-a", "out"]).await;
    assert_eq!(home.files("work/out"), model_a());
}

#[tokio::test]
async fn the_archive_that_the_registry_names_is_taken() {
    let (hub, repository) = hub().await;
    let registry = registry(Some("renamed.zip"), true);
    let other = packed(&FakeTree::new().file("else", "where"));
    repository.release(
        "v1",
        [("models.toml", registry.into()), ("renamed.zip", zip("")), ("mf6examples.zip", other)],
    );
    let home = home(&hub, "");
    copies(&home).await;
    // All of it came at once, and is asked for once.
    assert_eq!(hub.count(GitHubHost::Objects, OBJECTS), 2);
    hub.stop().await;
    home.ok(&["files", "copy", "mf6/example@v1/ex-gwf-b", "b"]).await;
    assert_eq!(home.files("work/b")["mfsim.nam"], b"simulation b");
}

#[tokio::test]
async fn the_archive_that_the_source_names_goes_first() {
    let (hub, repository) = hub().await;
    let registry = registry(Some("renamed.zip"), true);
    let other = packed(&FakeTree::new().file("else", "where"));
    repository.release(
        "v1",
        [("models.toml", registry.into()), ("renamed.zip", other), ("mine.zip", zip(""))],
    );
    copies(&home(&hub, "asset = \"mine.zip\"\n")).await;
    let home = home(&hub, "asset = \"gone.zip\"\n");
    let said = home.fails(1, &["files", "sync", "--source", "mf6/example"]).await;
    assert_eq!(
        said,
        "error: mf6/example@v1: the release of 'mf6/example@v1' has no archive \"gone.zip\"\n"
    );
}

#[tokio::test]
async fn the_only_archive_is_meant_where_none_is_named() {
    let (hub, repository) = hub().await;
    repository
        .release("v1", [("models.toml", registry(None, true).into()), ("whatever.zip", zip(""))]);
    copies(&home(&hub, "")).await;
}

#[tokio::test]
async fn of_several_archives_one_must_be_named() {
    let (hub, repository) = hub().await;
    let registry = registry(Some("gone.zip"), true);
    repository
        .release("v1", [("models.toml", registry.into()), ("a.zip", zip("")), ("b.zip", zip(""))]);
    let said = home(&hub, "").fails(1, &["files", "sync", "--source", "mf6/example"]).await;
    assert_eq!(
        said,
        "error: mf6/example@v1: the release of 'mf6/example@v1' has several archives: a.zip, b.zip\n\
         hint: name one in the source's `asset`\n"
    );
    copies(&home(&hub, "asset = \"b.zip\"\n")).await;
}

#[tokio::test]
async fn a_release_without_an_archive_cannot_be_synced() {
    let (hub, repository) = hub().await;
    repository.release("v1", [("models.toml", registry(Some("gone.zip"), true))]);
    let said = home(&hub, "").fails(1, &["files", "sync", "--source", "mf6/example"]).await;
    assert_eq!(
        said,
        "error: mf6/example@v1: the release of 'mf6/example@v1' has no archive \"gone.zip\"\n"
    );
}

#[tokio::test]
async fn an_archive_may_have_one_folder_at_its_top() {
    let (hub, repository) = hub().await;
    repository.release(
        "v1",
        [("models.toml", registry(None, true).into()), ("a.zip", zip("mf6examples"))],
    );
    copies(&home(&hub, "")).await;
}

#[tokio::test]
async fn an_archive_that_is_not_what_its_release_says_is_not_opened() {
    let (hub, repository) = hub().await;
    repository.release("v1", [("models.toml", registry(None, false).into()), ("a.zip", zip(""))]);
    let home = home(&hub, "");
    home.ok(&["files", "sync", "--source", "mf6/example"]).await;
    hub.forget_requests();
    hub.fault(GitHubHost::Objects, OBJECTS, GitHubFault::FlippedByte { at: 40 });
    let said = home.fails(1, &["files", "copy", "mf6/example@v1/ex-gwf-a", "out"]).await;
    let expected = Digest::of(&zip(""));
    let start = format!(
        "error: 'a.zip' of 'mf6/example@v1' is not what was published: expected {expected}, got sha256:"
    );
    assert!(said.starts_with(&start), "{said}");
    assert_eq!(hub.count(GitHubHost::Objects, OBJECTS), 2);
    assert!(!home.path("work/out").exists());
    hub.heal();
    copies(&home).await;
}

#[tokio::test]
async fn where_neither_release_nor_registry_say_a_digest_what_came_is_remembered() {
    let (hub, repository) = hub().await;
    hub.set_digests(false);
    repository.release("v1", [("models.toml", registry(None, false).into()), ("a.zip", zip(""))]);
    let home = home(&hub, "");
    copies(&home).await;
    hub.stop().await;
    home.ok(&["files", "copy", "mf6/example@v1/both", "both"]).await;
    let both = home.files("work/both");
    let names: Vec<_> = both.keys().map(String::as_str).collect();
    assert_eq!(names, ["ex-gwf-a/data/a.npf", "ex-gwf-a/mfsim.nam", "ex-gwf-b/mfsim.nam"]);
}

#[tokio::test]
async fn a_file_that_the_archive_lacks_is_named() {
    let (hub, repository) = hub().await;
    let less = packed(&FakeTree::new().file("ex-gwf-a/mfsim.nam", "simulation a"));
    repository.release("v1", [("models.toml", registry(None, true).into()), ("a.zip", less)]);
    let home = home(&hub, "");
    let said = home.fails(1, &["files", "copy", "mf6/example@v1/ex-gwf-a", "out"]).await;
    assert_eq!(
        said,
        "error: 'ex-gwf-a/data/a.npf' of 'mf6/example@v1' is not there: the archive does not hold it\n"
    );
    assert!(!home.path("work/out").exists());
}

#[tokio::test]
async fn a_file_of_another_content_in_the_archive_is_named() {
    let (hub, repository) = hub().await;
    let changed = FakeTree::new()
        .file("ex-gwf-a/mfsim.nam", "simulation a")
        .file("ex-gwf-a/data/a.npf", "k = 2")
        .file("ex-gwf-b/mfsim.nam", "simulation b");
    repository
        .release("v1", [("models.toml", registry(None, true).into()), ("a.zip", packed(&changed))]);
    let home = home(&hub, "");
    let said = home.fails(1, &["files", "copy", "mf6/example@v1/ex-gwf-a", "out"]).await;
    let start = format!(
        "error: 'ex-gwf-a/data/a.npf' of 'mf6/example@v1' is not what was published: expected {}, got {}\n",
        Digest::of(b"k = 1"),
        Digest::of(b"k = 2")
    );
    assert!(said.starts_with(&start), "{said}");
    assert!(!home.path("work/out").exists());
    // The other model's files are as they should be.
    home.ok(&["files", "copy", "mf6/example@v1/ex-gwf-b", "b"]).await;
}
