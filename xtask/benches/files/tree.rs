//! Trees of models.

use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// As many models, files and bytes as the repository of MODFLOW's test models has.
const MODELS: usize = 242;
const FILES: usize = 5_179;
const BYTES: f64 = 75.1e6;

/// Models of that repository; see the notes beside them.
const REFERENCE: &str = "../../shared/data/mf6-testmodels/mf6";

/// The name of the repository, by which the Python package finds out where in it a folder is.
const REPOSITORY: &str = "modflow6-testmodels";

/// Models in a folder.
#[derive(Debug)]
pub(crate) struct Tree {
    /// What it is called in tables.
    pub(crate) name: &'static str,
    _folder: TempDir,
    /// Where the models are.
    pub(crate) root: PathBuf,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

impl Tree {
    /// Makes models up, always the same: many small files and a few large ones.
    pub(crate) fn made_up() -> Result<Self> {
        let mut tree = Self::empty("made up")?;
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        // From 60 bytes to 100 kB, each magnitude as often as any other.
        let sizes: Vec<f64> =
            (0..FILES).map(|_| 60.0 * (random.unit() * (1e5_f64 / 60.0).ln()).exp()).collect();
        let scale = BYTES / sizes.iter().sum::<f64>();
        for (nth, size) in sizes.into_iter().enumerate() {
            let (model, file) = (nth % MODELS, nth / MODELS);
            let folder = tree.root.join(format!("test{model:03}_made_up"));
            // Two thirds of the models have folders in them.
            let is_deep = model % 3 != 0 && file > 5;
            let folder = if is_deep { folder.join("data") } else { folder };
            let name = match file {
                0 => "mfsim.nam".to_owned(),
                _ => format!("flow{file:02}.dat"),
            };
            let content = random.text((size * scale) as usize);
            tree.put(&folder.join(name), content.as_bytes())?;
        }
        Ok(tree)
    }

    /// Copies the models of the reference data, if they are here.
    pub(crate) fn reference() -> Result<Option<Self>> {
        let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join(REFERENCE);
        if !reference.is_dir() {
            eprintln!("skipped: the models in {} are not here", reference.display());
            return Ok(None);
        }
        let mut tree = Self::empty("reference data")?;
        let mut folders = vec![reference.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else {
                    let path = entry.path();
                    let content = std::fs::read(&path)?;
                    tree.put(&tree.root.join(path.strip_prefix(&reference)?), &content)?;
                }
            }
        }
        Ok(Some(tree))
    }

    fn empty(name: &'static str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join(REPOSITORY).join("mf6");
        Ok(Self { name, _folder: folder, root, files: 0, bytes: 0 })
    }

    fn put(&mut self, path: &Path, content: &[u8]) -> Result<()> {
        std::fs::create_dir_all(path.parent().context("a folder above a file")?)?;
        std::fs::write(path, content)?;
        self.files += 1;
        self.bytes += content.len() as u64;
        Ok(())
    }
}

/// Numbers that look random, always the same (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number from 0 to below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns lines of numbers, as MODFLOW's inputs have them.
    fn text(&mut self, bytes: usize) -> String {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(bytes + 32);
        while text.len() < bytes {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "  {:e}", self.unit());
        }
        text.truncate(bytes);
        text
    }
}
