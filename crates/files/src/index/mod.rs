//! Making a registry of a folder: finding its models, and hashing their files.
//!
//! Every folder with a name file is a model of all that is in it, models below it included, except
//! what MODFLOW writes itself. The order of everything comes from the names, never from the file
//! system: the same tree gives the same registry everywhere.

mod hash;
mod memory;
mod walk;

use crate::registry::{Base, Clash, Example, File, Model, Publishes, Registry, check_names};
use callsheet_types::FilePath;
use globset::{GlobBuilder, GlobMatcher};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What is to be indexed, and how.
#[derive(Clone, Debug)]
pub struct IndexOptions {
    /// What stands before each model's name, such as `mf6/test`; may be empty. It is the whole name
    /// of the folder itself, should that be a model, which then is not in an example.
    pub name: String,
    /// The file that makes a folder a model; may hold `*` and `?`.
    pub namefile: String,
    /// Whether models are grouped into examples by the first part of their path.
    pub with_examples: bool,
    /// Where digests are remembered with the state of the files; files that look unchanged are then
    /// not read again.
    pub memory: Option<PathBuf>,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Indexed {
    /// The registry; no file has an address yet.
    pub registry: Registry,
    /// Files that were read.
    pub hashed: usize,
    /// Files whose digest was remembered.
    pub remembered: usize,
    /// Bytes that were read.
    pub bytes: u64,
    /// What was left out and why, such as symbolic links.
    pub problems: Vec<callsheet_types::Problem>,
}

/// A folder that cannot be indexed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It cannot be read.
    #[error("{path} cannot be read", path = .path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// No model is in it.
    #[error("no folder below {path} holds a file {namefile:?}", path = .path.display())]
    NoModel {
        /// The folder.
        path: PathBuf,
        /// What makes a folder a model.
        namefile: String,
    },
    /// A file's path cannot be published.
    #[error(transparent)]
    Path(#[from] callsheet_types::FilePathError),
    /// Two files are one where case does not count.
    #[error("{0:?} and {1:?} are one file where case does not count")]
    SameName(String, String),
    /// The pattern is none.
    #[error("{pattern:?} is no pattern for a file's name: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
}

/// Makes a registry of a folder. `on_file` is told how many files are done, of how many. Blocks.
pub fn index(
    folder: &Path,
    options: &IndexOptions,
    on_file: &(dyn Fn(u64, u64) + Sync),
) -> Result<Indexed, IndexError> {
    let pattern = pattern(&options.namefile)?;
    let begun = SystemTime::now();
    let mut found = walk::walk(folder, &pattern)?;
    if found.models.is_empty() {
        return Err(IndexError::NoModel {
            path: folder.to_owned(),
            namefile: options.namefile.clone(),
        });
    }
    let memory = options.memory.as_deref().map(memory::Memory::read).unwrap_or_default();
    let hashed = hash::hash(folder, &found.files, &memory, on_file)?;
    if let Some(path) = &options.memory
        && let Err(error) = memory.write(path, &found.files, &hashed, begun)
    {
        found.problems.push(callsheet_types::Problem {
            place: path.display().to_string(),
            message: format!("digests are not remembered: {error}"),
        });
    }
    let mut files: Vec<File> = Vec::with_capacity(found.files.len());
    for (file, &digest) in found.files.iter().zip(&hashed.digests) {
        let key = FilePath::new(&file.path)?;
        files.push(File { key, digest: Some(digest), base: Base::None });
    }
    check_names(&files).map_err(|clash| match clash {
        Clash::SameName(one, other) => IndexError::SameName(one, other),
        // On disk, the file and the folder can differ in case alone.
        Clash::FileAndFolder(file, inside) => {
            let parts: Vec<&str> = inside.split('/').take(file.split('/').count()).collect();
            IndexError::SameName(file, parts.join("/"))
        }
    })?;
    let mut models = models(folder, &options.name, &found.models, &files);
    let examples =
        if options.with_examples { examples(&found.models, &models) } else { Vec::new() };
    models.sort_by(|a, b| a.name.cmp(&b.name));
    let registry =
        Registry { publishes: Publishes::Models, files, models, examples, ..Registry::default() };
    Ok(Indexed {
        registry,
        hashed: hashed.read,
        remembered: found.files.len() - hashed.read,
        bytes: hashed.bytes,
        problems: found.problems,
    })
}

fn pattern(namefile: &str) -> Result<GlobMatcher, IndexError> {
    let wrong = |reason: String| IndexError::Pattern { pattern: namefile.to_owned(), reason };
    if namefile.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    if namefile.contains(['/', '\\']) {
        return Err(wrong("it holds a slash".to_owned()));
    }
    let glob = GlobBuilder::new(namefile).literal_separator(true).build();
    Ok(glob.map_err(|error| wrong(error.kind().to_string()))?.compile_matcher())
}

/// Makes the models, in the order of their folders. The files are in the order of their keys.
fn models(folder: &Path, name: &str, folders: &[String], files: &[File]) -> Vec<Model> {
    let mut models = Vec::with_capacity(folders.len());
    for path in folders {
        let name = match (name, path.as_str()) {
            ("", "") => own_name(folder),
            (name, "") => name.to_owned(),
            ("", path) => path.to_owned(),
            (name, path) => format!("{name}/{path}"),
        };
        let start = files.partition_point(|file| file.key.as_str() < path.as_str());
        let mut listed: Vec<u32> = (start..files.len())
            .take_while(|&at| files[at].key.as_str().starts_with(path.as_str()))
            .filter(|&at| files[at].key.below(path).is_some())
            .map(|at| at as u32)
            .collect();
        // The Python package takes the first file's folder for the model's.
        listed.sort_by_key(|&at| (files[at as usize].key.folder() != path, at));
        models.push(Model { name: name.into(), files: listed });
    }
    models
}

/// Returns what a folder is called, even if it is given as `.`.
fn own_name(folder: &Path) -> String {
    let whole = folder.canonicalize();
    let name = whole.as_deref().unwrap_or(folder).file_name();
    name.map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Groups models by the first part of their folder. Flow comes first in a group: what else is in it
/// reads its results.
fn examples(folders: &[String], models: &[Model]) -> Vec<Example> {
    let mut groups: BTreeMap<&str, Vec<(bool, &str)>> = BTreeMap::new();
    for (folder, model) in folders.iter().zip(models) {
        if folder.is_empty() {
            continue;
        }
        let (first, rest) = folder.split_once('/').unwrap_or((folder, ""));
        groups.entry(first).or_default().push((!rest.contains("gwf"), &model.name));
    }
    let example = |(name, mut models): (&str, Vec<(bool, &str)>)| {
        models.sort_unstable();
        let models = models.into_iter().map(|(_, model)| model.into()).collect();
        Example { name: name.into(), models }
    };
    groups.into_iter().map(example).collect()
}
