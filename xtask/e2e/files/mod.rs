//! Files beside the Python package `modflow-devtools`: what either of them publishes, the other
//! syncs and copies, byte by byte.
//!
//! Both see one stand-in of GitHub, under its real names, behind a proxy; neither knows that it is
//! not the real one.

mod models;
mod run;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use callsheet_testkit::{ArchiveKind, FakeGitHub, FakeTree};

use crate::Outcome;
use models::Models;
use run::User;

/// Where `cargo xtask` says that the package is installed.
const INSTALLED: &str = "CALLSHEET_E2E_MODFLOW_DEVTOOLS";

const TEST_MODELS: &str = "MODFLOW-ORG/modflow6-testmodels";
const EXAMPLES: &str = "MODFLOW-ORG/modflow6-examples";
const ASSET: &str = "mf6examples.zip";

pub(crate) async fn run() -> Result<Outcome> {
    let Some(installed) = std::env::var_os(INSTALLED).map(PathBuf::from) else {
        return Ok(Outcome::Skipped("modflow-devtools is not installed".to_owned()));
    };
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    // The package finds out where in its repository a folder is by the repository's name.
    let root = folder.join("modflow6-testmodels").join("mf6");
    let models = Models::write(&root)?;
    let hub = FakeGitHub::start().await;
    let proxy = hub.proxy().await;
    let user = |name: &str| User::new(&folder.join(name), &installed, proxy.env());

    let ours = in_a_repository(&hub, &user("ours"), &models).await.context("our registry")?;
    in_their_repository(&hub, &user("theirs"), &models, &ours).await.context("their registry")?;
    in_a_release(&hub, &user("release"), &models).await.context("a release")?;
    ensure!(hub.refused_by_proxy().is_empty(), "asked: {:?}", hub.refused_by_proxy());
    ensure!(hub.unexpected().is_empty(), "asked: {:?}", hub.unexpected());
    Ok(Outcome::Passed)
}

/// Our registry of a repository, from a folder here and from the repository itself, is the same, and
/// both copy by it. Returns it.
async fn in_a_repository(hub: &FakeGitHub, user: &User, models: &Models) -> Result<PathBuf> {
    let repository = hub.repository(TEST_MODELS);
    let tree = FakeTree::new().dir("mf6", models.root());
    repository.branch("develop", &repository.commit_tree(tree.clone()));
    let (here, there) = (user.path("here"), user.path("there"));
    let index = ["--repo", TEST_MODELS, "--ref", "develop", "--name", "mf6/test", "--path"];
    user.index(&index, &models.root().display().to_string(), &here).await?;
    user.index(&index, "mf6", &there).await?;
    let registry = std::fs::read(here.join("models.toml"))?;
    ensure!(
        registry == std::fs::read(there.join("models.toml"))?,
        "the registry of the folder and that of the repository differ"
    );
    let tree = tree.file(".registry/models.toml", registry);
    repository.branch("develop", &repository.commit_tree(tree));

    user.sync_both("mf6/test", "develop").await?;
    models.ensure_copied_by_us(user, "mf6/test", "develop").await?;
    models.ensure_copied_by_them(user, "mf6/test").await?;
    println!("ok   files: our registry, {} models in both", models.len());
    Ok(here.join("models.toml"))
}

/// The package's registry says what ours does, and we copy by it.
async fn in_their_repository(
    hub: &FakeGitHub,
    user: &User,
    models: &Models,
    ours: &Path,
) -> Result<()> {
    // It makes none before it has synced one.
    user.sync_them("mf6/test", "develop").await?;
    let made = user.path("made");
    user.make_registry(&[
        ("--repo", TEST_MODELS),
        ("--ref", "develop"),
        ("--name", "mf6/test"),
        ("--path", "mf6"),
        ("--output", &made.display().to_string()),
    ])
    .await?;
    let theirs = made.join("models.toml");
    user.compare(ours, &theirs).await?;
    let repository = hub.repository(TEST_MODELS);
    let tree = FakeTree::new()
        .dir("mf6", models.root())
        .file(".registry/models.toml", std::fs::read(&theirs)?);
    repository.branch("develop", &repository.commit_tree(tree));
    user.sync_us("mf6/test", "develop").await?;
    models.ensure_copied_by_us(user, "mf6/test", "develop").await?;
    println!("ok   files: their registry, {} models in ours", models.len());
    Ok(())
}

/// The same with models that are in one archive of a release.
async fn in_a_release(hub: &FakeGitHub, user: &User, models: &Models) -> Result<()> {
    let repository = hub.repository(EXAMPLES);
    repository.tag("current", &repository.commit([("README.md", "examples")]));
    let zip = FakeTree::new().dir("", models.root()).archive(ArchiveKind::Zip, "");
    repository.release("current", [(ASSET, zip)]);
    let made = user.path("made");
    user.index(
        &["--repo", EXAMPLES, "--ref", "current", "--name", "mf6/example", "--asset-file"],
        ASSET,
        &made,
    )
    .await?;
    let ours = made.join("models.toml");
    repository.asset("current", "models.toml", std::fs::read(&ours)?);
    user.sync_both("mf6/example", "current").await?;
    models.ensure_copied_by_us(user, "mf6/example", "current").await?;
    models.ensure_copied_by_them(user, "mf6/example").await?;
    println!("ok   files: our registry of a release, {} models in both", models.len());

    let made = user.path("made-by-them");
    user.make_registry(&[
        ("--repo", EXAMPLES),
        ("--ref", "current"),
        ("--name", "mf6/example"),
        ("--asset-file", ASSET),
        ("--output", &made.display().to_string()),
    ])
    .await?;
    let theirs = made.join("models.toml");
    user.compare(&ours, &theirs).await?;
    repository.asset("current", "models.toml", std::fs::read(&theirs)?);
    let other = user.beside("other");
    other.sync_us("mf6/example", "current").await?;
    models.ensure_copied_by_us(&other, "mf6/example", "current").await?;
    println!("ok   files: their registry of a release, {} models in ours", models.len());
    Ok(())
}
