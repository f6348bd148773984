//! Making registries of folders, beside hashing the same files and nothing else.

use crate::{
    Measured,
    book::Book,
    options::Options,
    package::Package,
    process::{Home, Programs},
    tree::Tree,
};
use anyhow::{Result, ensure};
use std::{fmt::Write as _, path::Path};
use tempfile::TempDir;

const CASE: &str = "index";

/// Hashes every file of a folder in two processes.
const OPENSSL: &str = "find \"$0\" -type f -print0 | xargs -0 -P2 openssl dgst -sha256 > hashes";

pub(crate) struct Indexing {
    programs: Programs,
    package: Option<Package>,
    trees: Vec<Tree>,
    folder: TempDir,
    /// Runs so far, each of which has a home of its own.
    runs: usize,
}

impl Indexing {
    pub(crate) fn prepare(options: &Options) -> Result<Self> {
        let programs = Programs::find(options)?;
        let package = Package::start(&programs)?;
        let mut trees = vec![Tree::made_up()?];
        trees.extend(Tree::reference()?);
        let this = Self { programs, package, trees, folder: tempfile::tempdir()?, runs: 0 };
        for tree in &this.trees {
            this.index(tree, &this.kept(tree)?)?;
        }
        Ok(this)
    }

    fn home(&self, name: &str) -> Result<Home> {
        Home::new(&self.folder.path().join(name), &[])
    }

    /// The home in which a tree was indexed before.
    fn kept(&self, tree: &Tree) -> Result<Home> {
        self.home(&tree.name.replace(' ', "-"))
    }

    fn index(&self, tree: &Tree, home: &Home) -> Result<crate::book::Sample> {
        let root = tree.root.display().to_string();
        let output = home.path.join("registry").display().to_string();
        let args =
            ["files", "index", "--repo", "MODFLOW-ORG/modflow6-testmodels", "--ref", "develop"];
        let args = [&args[..], &["--name", "mf6/test", "--path", &root, "--output", &output]];
        let sample = home.run(&self.programs.callsheet, &args.concat())?;
        ensure!(Path::new(&output).join("models.toml").exists(), "no registry was written");
        Ok(sample)
    }
}

/// What the measurements of a tree are called.
struct Names {
    first: String,
    again: String,
    openssl: String,
    package: String,
}

impl Names {
    fn of(tree: &Tree) -> Self {
        let of = |what: &str| format!("{what}, {}", tree.name);
        Self {
            first: of("`files index`"),
            again: of("the same again"),
            openssl: of("`openssl`"),
            package: of("the package"),
        }
    }
}

impl Measured for Indexing {
    fn want(&self, book: &mut Book) {
        for tree in &self.trees {
            let names = Names::of(tree);
            book.want_at_most(CASE, &names.first, &names.openssl, 1.5);
            book.want_faster(CASE, &names.again, &names.openssl, 5.0);
            book.want_faster(CASE, &names.first, &names.package, 3.0);
        }
    }

    fn round(&mut self, book: &mut Book) -> Result<()> {
        // What one tree takes says little where it takes a few milliseconds.
        const TIMES: usize = 3;
        for tree in &self.trees {
            let kept = self.kept(tree)?;
            let names = Names::of(tree);
            for _ in 0..TIMES {
                let fresh = self.home(&format!("run-{}", self.runs))?;
                self.runs += 1;
                let hashed = fresh.run(
                    Path::new("sh"),
                    &["-c".as_ref(), OPENSSL.as_ref(), tree.root.as_os_str()],
                )?;
                book.add(CASE, &names.openssl, hashed);
                book.add(CASE, &names.first, self.index(tree, &fresh)?);
                book.add(CASE, &names.again, self.index(tree, &kept)?);
                if let Some(package) = &self.package {
                    book.add(CASE, &names.package, package.index(tree)?);
                }
            }
        }
        Ok(())
    }

    fn details(&self) -> String {
        let mut text = String::from(
            "Whole processes; pages of the files are in the kernel's cache. `files index` begins with \
             an empty memory of digests and writes its registry; the same again finds the registry \
             and every file as it was, and reads none. `openssl` is \
             `find … -type f -print0 | xargs -0 -P2 openssl dgst -sha256`; the package's is \
             `python -m modflow_devtools.models.make_registry` with a registry synced before.",
        );
        for tree in &self.trees {
            let _ = write!(
                text,
                "\n- {}: {} files, {:.1} MB",
                tree.name,
                tree.files,
                tree.bytes as f64 / 1e6
            );
        }
        text
    }
}
