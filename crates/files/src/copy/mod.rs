//! Out of the cache into a workspace: all files of a copy, or none.
//!
//! What the workspace has is looked at first ([`look`]); then every file is copied, verified, into a
//! hidden folder on the same file system ([`stage`]); then all of it is renamed to its place, which
//! can be undone ([`place`]). At every moment each file of the workspace is whole, be it the old one
//! or the new.

mod look;
mod place;
mod stage;

use crate::{Cache, CacheError};
use callsheet_types::{Digest, FilePath};
use look::{Ground, Look};
use stage::Stage;
use std::{
    collections::{HashMap, HashSet},
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
///
/// A process that is killed leaves a hidden folder `.callsheet-…`, and if it had begun to place
/// files, those that it had placed: each file is then the old or the new one, whole. A copy removes
/// that folder a day later, unless files that were replaced are in it.
pub fn copy_out(
    cache: &Cache,
    files: &[(FilePath, Digest)],
    workspace: &Path,
    existing: Existing,
) -> Result<Placed, CopyError> {
    let files = distinct(files, workspace)?;
    let ground = Ground::of(workspace)?;
    let Look { wanted, unchanged, unchanged_bytes } = look::look(cache, &files, &ground, existing)?;
    check_missing(cache, &wanted)?;
    let mut placed = Placed { written: wanted.len(), unchanged, bytes: unchanged_bytes };
    if wanted.is_empty() && ground.missing.is_empty() {
        return Ok(placed);
    }
    let stage = Stage::make(&ground)?;
    placed.bytes += stage.fill(cache, &wanted)?;
    let met = place::place(stage, &ground, existing)?;
    placed.written -= met;
    placed.unchanged += met;
    Ok(placed)
}

/// Returns the files without those that are named twice with the same content. Two that would be one
/// file, or a file and a folder of the same name, are an error.
fn distinct<'a>(
    files: &'a [(FilePath, Digest)],
    workspace: &Path,
) -> Result<Vec<&'a (FilePath, Digest)>, CopyError> {
    let mut by_name: HashMap<String, &(FilePath, Digest)> = HashMap::with_capacity(files.len());
    let mut folders = HashSet::new();
    let mut distinct = Vec::with_capacity(files.len());
    for file in files {
        let name = file.0.folded();
        for (slash, _) in name.match_indices('/') {
            if !folders.contains(&name[..slash]) {
                folders.insert(name[..slash].to_owned());
            }
        }
        match by_name.insert(name, file) {
            None => distinct.push(file),
            Some(same) if same == file => {}
            Some(other) => return Err(CopyError::SameName(other.0.clone(), file.0.clone())),
        }
    }
    match by_name.iter().find(|(name, _)| folders.contains(*name)) {
        Some((_, (path, _))) => Err(CopyError::NoFolder { path: workspace.join(path) }),
        None => Ok(distinct),
    }
}

/// Names everything that is missing before anything is written: who fetches it and tries again must
/// not meet a damaged file then. So where one is missing the others are looked into.
fn check_missing(cache: &Cache, wanted: &[&(FilePath, Digest)]) -> Result<(), CopyError> {
    if wanted.iter().all(|(_, digest)| cache.has(digest)) {
        return Ok(());
    }
    let mut is_there = vec![false; wanted.len()];
    stage::each(
        wanted,
        |(_, digest)| cache.is_intact(digest),
        |number, intact| {
            is_there[number] = intact;
        },
    )?;
    let missing = wanted.iter().zip(is_there).filter(|(_, is_there)| !is_there);
    let missing: Vec<_> = missing.map(|((path, _), _)| path.to_string()).collect();
    // All may be there by now, if another process fetched them.
    if missing.is_empty() { Ok(()) } else { Err(CopyError::Missing(missing)) }
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> CopyError + use<'_> {
    move |cause| CopyError::Io { path: path.to_owned(), cause }
}
