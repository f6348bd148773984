//! Which registry a ref means: a release's before a commit's, a commit before a tag before a branch.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, hub, registry_of};
use callsheet_testkit::{FakeGitHub, FakeRepository, Gate, GitHubFault, GitHubHost};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use std::io::Write as _;

async fn scene() -> (FakeGitHub, FakeRepository, Home) {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let home = Home::with(&hub, SOURCE);
    (hub, repository, home)
}

/// Syncs a ref, whatever was synced before, and returns what was found.
async fn found(home: &Home, reference: &str) -> Value {
    let args = ["files", "sync", "--source", "mf6/test", "--ref", reference, "--force", "--json"];
    let report = home.ok(&args).await.json();
    assert_eq!(report["synced"].as_array().map(Vec::len), Some(1), "{report}");
    report["synced"][0].clone()
}

/// A registry as a release has it, and one small enough to be told apart.
fn other_registry() -> String {
    registry_of(&MODELS[..2])
}

#[tokio::test]
async fn a_release_comes_before_a_tag_and_a_tag_before_a_branch() {
    let (hub, repository, home) = scene().await;
    let first = commit(&repository, &MODELS);
    let second = commit(&repository, &MODELS[..2]);
    repository.tag("v1", &first);
    repository.branch("v1", &second);
    repository.release("v1", [("models.toml", other_registry()), ("mf6.zip", String::new())]);
    let release = found(&home, "v1").await;
    assert_eq!((&release["mode"], &release["commit"]), (&"release".into(), &Value::Null));
    assert_eq!(
        release["url"],
        format!("{}/{TEST_MODELS}/releases/download/v1/models.toml", hub.web_url())
    );
    repository.delete_release("v1");
    let tag = found(&home, "v1").await;
    assert_eq!(tag["mode"], "version_controlled");
    assert_eq!(tag["commit"], first);
    repository.delete_tag("v1");
    assert_eq!(found(&home, "v1").await["commit"], second);
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
}

#[tokio::test]
async fn a_commit_is_found_by_its_hash_or_the_beginning_of_it() {
    let (hub, repository, home) = scene().await;
    let first = commit(&repository, &MODELS);
    let second = commit(&repository, &MODELS[..2]);
    assert_eq!(found(&home, &first).await["commit"], first);
    assert_eq!(found(&home, &first[..7]).await["commit"], first);
    assert_eq!(found(&home, &first.to_uppercase()[..9]).await["commit"], first);
    // A whole hash is a commit whatever else bears that name.
    repository.tag(&first, &second);
    repository.branch(&first, &second);
    assert_eq!(found(&home, &first).await["commit"], first);
    // The beginning of one is not what git means where there is a tag or a branch of that name.
    repository.branch(&first[..8], &second);
    assert_eq!(found(&home, &first[..8]).await["commit"], second);
    repository.tag(&first[..7], &second);
    assert_eq!(found(&home, &first[..7]).await["commit"], second);
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
}

#[tokio::test]
async fn an_annotated_tag_means_its_commit() {
    let (hub, repository, home) = scene().await;
    let first = commit(&repository, &MODELS);
    repository.annotated_tag("releases/2026", &first);
    assert_eq!(found(&home, "releases/2026").await["commit"], first);
    home.ok(&["files", "copy", "mf6/test@releases/2026/simple", "out"]).await;
    assert_eq!(home.files("work/out").len(), 2);
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
}

/// Asks for a ref and returns all that was said about it.
async fn refused(home: &Home, reference: &str) -> String {
    let args = ["files", "sync", "--source", "mf6/test", "--ref", reference];
    let failed = home.run(&args).await;
    assert_eq!((failed.code, failed.stdout.as_str()), (1, ""), "{failed:?}");
    let mf = home.mf(&["models", "sync", "-s", "modflow6-testmodels", "-r", reference]).await;
    assert_eq!(mf.code, 1, "{mf:?}");
    let line = failed.stderr.lines().next().unwrap_or_default();
    let said = line.strip_prefix("error: ").unwrap_or(line);
    // Both say the same.
    assert!(mf.stderr.contains(said), "{mf:?}\n{failed:?}");
    failed.stderr
}

#[tokio::test]
async fn what_is_missing_is_said_in_three_ways() {
    let (hub, repository, home) = scene().await;
    let said = refused(&home, "nowhere").await;
    let first = "error: mf6/test@nowhere: Registry discovery failed, ref 'mf6/test@nowhere' does not exist\n";
    assert!(said.starts_with(first), "{said}");
    repository.release("v1", [("mf6.zip", "zip")]);
    let said = refused(&home, "v1").await;
    let first = "error: mf6/test@v1: Registry file 'models.toml' not found as release asset for 'mf6/test@v1'\n";
    assert!(said.starts_with(first), "{said}");
    let bare = repository.commit([("README.md", "no registry")]);
    repository.branch("bare", &bare);
    let said = refused(&home, "bare").await;
    let first = "error: mf6/test@bare: Registry file 'models.toml' not found in .registry for 'mf6/test@bare'\n";
    assert!(said.starts_with(first), "{said}");
    // Where the release lacks it, nobody looks elsewhere, though the tag would have it.
    let before = hub.count(GitHubHost::Raw, "/");
    repository.tag("v1", &commit(&repository, &MODELS));
    refused(&home, "v1").await;
    assert_eq!(hub.count(GitHubHost::Raw, "/"), before);
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
    // Nothing of all this is there afterwards.
    let listed = home.ok(&["files", "list"]).await;
    assert_eq!(listed.stdout, "nothing is synced; `callsheet files sync` does it\n");
}

#[tokio::test]
async fn a_folder_is_where_the_source_says() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("me/mine");
    for (at, folder) in ["", "meta", "meta/registries"].into_iter().enumerate() {
        let path = if folder.is_empty() {
            "models.toml".to_owned()
        } else {
            format!("{folder}/models.toml")
        };
        let made = repository.commit([(path, registry_of(&MODELS[..2]))]);
        repository.branch(&format!("b{at}"), &made);
    }
    for (reference, folders) in [
        ("b0", &["", ".", "/", "models.toml"][..]),
        ("b1", &["meta", "meta/", "/meta", "meta/models.toml"]),
        ("b2", &["meta/registries", "/meta/registries/"]),
    ] {
        for folder in folders {
            let home = Home::with(
                &hub,
                &format!(
                    "[sources.mine]\nrepo = \"me/mine\"\nrefs = [\"{reference}\"]\nregistry_path = \"{folder}\"\n"
                ),
            );
            let synced = home.ok(&["files", "sync", "--source", "mine"]).await;
            assert!(synced.stdout.contains(": 1 models, 2 files"), "{folder}: {synced:?}");
        }
    }
    let home = Home::with(
        &hub,
        "[sources.mine]\nrepo = \"me/mine\"\nrefs = [\"b1\"]\nregistry_path = \".\"\n",
    );
    let failed = home.fails(1, &["files", "sync", "--source", "mine"]).await;
    let first = "error: mine@b1: Registry file 'models.toml' not found in . for 'mine@b1'\n";
    assert!(failed.starts_with(first), "{failed}");
    for bad in ["../x", "a/../../b", "/etc/../x"] {
        let home = Home::with(
            &hub,
            &format!("[sources.mine]\nrepo = \"me/mine\"\nregistry_path = \"{bad}\"\n"),
        );
        let failed = home.fails(1, &["files", "list"]).await;
        assert!(failed.contains("sources.mine.registry_path"), "{failed}");
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).expect("a buffer");
    encoder.finish().expect("a buffer")
}

/// One frame of one block that is stored as it is.
fn zstd(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("a short text");
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000];
    frame.extend(length.to_le_bytes());
    frame.extend(&(length << 3 | 1).to_le_bytes()[..3]);
    frame.extend(text.as_bytes());
    frame
}

#[tokio::test]
async fn compressed_registry_files_are_read_in_releases_and_repositories() {
    let (hub, repository, home) = scene().await;
    let text = registry_of(&MODELS);
    let files = |name: &str, content: Vec<u8>| {
        let all = MODELS.map(|(path, content)| (path.to_owned(), content.as_bytes().to_vec()));
        repository.commit(all.into_iter().chain([(format!(".registry/{name}"), content)]))
    };
    for (name, content) in [("models.toml.zst", zstd(&text)), ("models.toml.gz", gzip(&text))] {
        let reference = name.rsplit_once('.').expect("an ending").1;
        repository.branch(reference, &files(name, content.clone()));
        let synced = found(&home, reference).await;
        assert_eq!((&synced["models"], &synced["mode"]), (&3.into(), &"version_controlled".into()));
        assert!(synced["url"].as_str().is_some_and(|url| url.ends_with(name)), "{synced}");
        let released = format!("released-{reference}");
        repository.release(&released, [(name.to_owned(), content), ("mf6.zip".to_owned(), vec![])]);
        let synced = found(&home, &released).await;
        assert_eq!((&synced["models"], &synced["mode"]), (&3.into(), &"release".into()));
        assert!(synced["url"].as_str().is_some_and(|url| url.ends_with(name)), "{synced}");
        let copied = format!("mf6/test@{reference}/simple");
        home.ok(&["files", "copy", &copied, reference]).await;
        assert_eq!(home.files(&format!("work/{reference}")).len(), 2);
    }
    // Damaged ones are no registry.
    let mut damaged = gzip(&text);
    let middle = damaged.len() / 2;
    damaged.truncate(middle);
    repository.branch("damaged", &files("models.toml.gz", damaged));
    let failed = home.fails(1, &["files", "sync", "-s", "mf6/test", "-r", "damaged"]).await;
    assert!(failed.starts_with("error: mf6/test@damaged: "), "{failed}");
    assert!(failed.contains("models.toml.gz"), "{failed}");
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
}

#[tokio::test]
async fn a_branch_is_resolved_once_and_its_files_are_of_that_commit() {
    let (hub, repository, home) = scene().await;
    let develop = commit(&repository, &MODELS);
    repository.branch("develop", &develop);
    let changed = MODELS
        .map(|(path, content)| (path, if content == "one layer" { "two layers" } else { content }));
    let moved = commit(&repository, &changed);
    // It moves while the registry is on its way.
    let gate = Gate::default();
    let registry = format!("/{TEST_MODELS}/{develop}/.registry");
    hub.fault_next(
        1,
        GitHubHost::Raw,
        &registry,
        GitHubFault::Stalled { after_bytes: 9, until: gate.clone() },
    );
    let syncing =
        home.command(&["files", "sync", "--source", "mf6/test"]).spawn().expect("it starts");
    hub.wait_for_stalls(1).await;
    repository.branch("develop", &moved);
    gate.open();
    let synced = syncing.wait_with_output().await.expect("an end");
    let said = String::from_utf8_lossy(&synced.stdout).into_owned();
    assert!(
        said.starts_with(&format!("synced mf6/test@develop ({}): 3 models", &develop[..12])),
        "{said}"
    );
    home.ok(&["files", "copy", "mf6/test@develop/simple", "out"]).await;
    assert_eq!(home.files("work/out")["model.dis"], b"one layer");
    assert_eq!(hub.count(GitHubHost::Raw, &format!("/{TEST_MODELS}/{moved}/")), 0);
    assert_eq!(hub.count(GitHubHost::Raw, &format!("/{TEST_MODELS}/develop/")), 0);
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    home.ok(&["files", "copy", "mf6/test@develop/simple", "again"]).await;
    assert_eq!(home.files("work/again")["model.dis"], b"two layers");
}
