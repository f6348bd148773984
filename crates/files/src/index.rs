//! Making a registry of a folder: finding its models, and hashing their files.

use crate::registry::Registry;
use std::{
    io,
    path::{Path, PathBuf},
};

/// What is to be indexed, and how.
#[derive(Clone, Debug)]
pub struct IndexOptions {
    /// What stands before each model's name, such as `mf6/test`.
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
    let _ = (options, on_file);
    Err(IndexError::Unreadable {
        path: folder.to_owned(),
        cause: io::ErrorKind::Unsupported.into(),
    })
}
