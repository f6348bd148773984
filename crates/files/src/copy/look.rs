//! What a workspace already has.

use super::{CopyError, Existing, stage, unwritable};
use crate::{Cache, cache::digest_of};
use callsheet_types::{Digest, FilePath};
use std::{
    collections::HashMap,
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Component, Path, PathBuf},
};

/// Where a workspace is: the folder that exists, and what has to be made in it.
pub(super) struct Ground {
    /// The workspace, or the lowest folder above it that exists.
    pub(super) folder: PathBuf,
    /// The names of the folders from there to the workspace.
    pub(super) missing: Vec<OsString>,
}

impl Ground {
    /// Finds where a workspace is. It may be reached through links, as any path of a user's.
    pub(super) fn of(workspace: &Path) -> Result<Self, CopyError> {
        let workspace = std::path::absolute(workspace).map_err(unwritable(workspace))?;
        let mut folder = PathBuf::new();
        let mut missing: Vec<OsString> = Vec::new();
        for component in workspace.components() {
            match component {
                Component::ParentDir if missing.pop().is_some() => {}
                Component::Normal(name) if !missing.is_empty() => missing.push(name.to_owned()),
                Component::Normal(name) => {
                    let path = folder.join(name);
                    match fs::metadata(&path).map(|metadata| metadata.is_dir()) {
                        Ok(true) => folder = path,
                        Ok(false) => return Err(CopyError::NoFolder { path }),
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            return Err(unwritable(&path)(error));
                        }
                        // A link that leads nowhere is there, and no folder. A folder may have been
                        // made just now; it is met when the copy is placed.
                        Err(_) if path.is_symlink() => return Err(CopyError::NoFolder { path }),
                        Err(_) => missing.push(name.to_owned()),
                    }
                }
                other => folder.push(other),
            }
        }
        Ok(Self { folder, missing })
    }

    /// Returns the workspace.
    pub(super) fn workspace(&self) -> PathBuf {
        let mut workspace = self.folder.clone();
        workspace.extend(&self.missing);
        workspace
    }
}

/// What is to be copied, and what need not be.
pub(super) struct Look<'a> {
    /// Files that are to be written.
    pub(super) wanted: Vec<&'a (FilePath, Digest)>,
    /// Files that the workspace has.
    pub(super) unchanged: usize,
    /// Their bytes.
    pub(super) unchanged_bytes: u64,
}

/// What the workspace has where a file belongs.
enum Met {
    Nothing,
    /// A file that may have the same content.
    Alike,
    /// Something else that a file can replace.
    Different,
}

/// Compares the files with what the workspace has. Nothing in it is written.
pub(super) fn look<'a>(
    cache: &Cache,
    files: &[&'a (FilePath, Digest)],
    ground: &Ground,
    existing: Existing,
) -> Result<Look<'a>, CopyError> {
    let mut look = Look { wanted: Vec::new(), unchanged: 0, unchanged_bytes: 0 };
    if !ground.missing.is_empty() {
        look.wanted = files.to_vec();
        return Ok(look);
    }
    let mut folders = HashMap::new();
    let mut alike = Vec::new();
    let mut met = Vec::with_capacity(files.len());
    for file in files {
        let (path, digest) = file;
        let found = meet(&ground.folder, path, digest, cache, existing, &mut folders)?;
        if matches!(found, Met::Alike) {
            alike.push((met.len(), ground.folder.join(path), digest));
        }
        met.push(found);
    }
    let mut same_bytes: Vec<Option<u64>> = vec![None; files.len()];
    let digests = |(_, path, expected): &(usize, PathBuf, &Digest)| {
        // What cannot be read cannot be known to be the same.
        let got = File::open(path).and_then(digest_of).ok();
        Ok::<_, CopyError>(got.filter(|(got, _)| got == *expected).map(|(_, bytes)| bytes))
    };
    stage::each(&alike, digests, |number, same| same_bytes[alike[number].0] = same)?;

    let mut lost = Vec::new();
    for ((file, met), same) in files.iter().zip(met).zip(same_bytes) {
        match (met, same) {
            (Met::Alike, Some(bytes)) => {
                look.unchanged += 1;
                look.unchanged_bytes += bytes;
            }
            (Met::Nothing, _) => look.wanted.push(*file),
            (Met::Alike | Met::Different, _) => {
                lost.push(file.0.to_string());
                look.wanted.push(*file);
            }
        }
    }
    if existing == Existing::Refuse && !lost.is_empty() {
        return Err(CopyError::WouldReplace { workspace: ground.folder.clone(), paths: lost });
    }
    Ok(look)
}

/// Looks where a file belongs. `folders` remembers whether folders of the workspace exist.
fn meet<'a>(
    workspace: &Path,
    path: &'a FilePath,
    digest: &Digest,
    cache: &Cache,
    existing: Existing,
    folders: &mut HashMap<&'a str, bool>,
) -> Result<Met, CopyError> {
    for (slash, _) in path.as_str().match_indices('/') {
        let folder = &path.as_str()[..slash];
        let exists = match folders.get(folder) {
            Some(exists) => *exists,
            None => is_folder(&workspace.join(folder))?,
        };
        folders.insert(folder, exists);
        if !exists {
            return Ok(Met::Nothing);
        }
    }
    let place = workspace.join(path);
    let metadata = match fs::symlink_metadata(&place) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Met::Nothing),
        Err(error) => return Err(unwritable(&place)(error)),
    };
    if metadata.is_dir() && existing == Existing::Replace {
        return Err(unwritable(&place)(io::ErrorKind::IsADirectory.into()));
    }
    let is_as_long = cache.length_of(digest).is_none_or(|length| length == metadata.len());
    Ok(if metadata.is_file() && is_as_long { Met::Alike } else { Met::Different })
}

/// Returns whether a folder exists in the workspace. A link in its place leads out of it.
fn is_folder(path: &Path) -> Result<bool, CopyError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(true),
        Ok(_) => Err(CopyError::NoFolder { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unwritable(path)(error)),
    }
}
