//! Blobs in a folder: `ROOT/sha256/ab/cdef…`, each written beside it first, and then given its name.

use super::{named, names};
use crate::StoreError;
use callsheet_types::Digest;
use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Once,
    time::Duration,
};
use tempfile::NamedTempFile;

/// What a file is called until it is whole. Nobody takes it for a blob.
const UNFINISHED: &str = ".unfinished-";

/// For how long somebody may be writing one. What is older was left by a process that was killed.
const LONGEST_WRITE: Duration = Duration::from_hours(24);

#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    /// What others left unfinished is cleared away once.
    cleared: Once,
}

impl Directory {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), cleared: Once::new() }
    }

    fn top(&self) -> PathBuf {
        self.root.join("sha256")
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        let (folder, name) = names(digest);
        self.top().join(folder).join(name)
    }

    pub(super) fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let (folder, name) = names(digest);
        let top = self.top();
        let folder = top.join(folder);
        let path = folder.join(name);
        if holds(&path, bytes).map_err(failed(&path))? {
            return Ok(());
        }
        make_folder(&folder).map_err(failed(&folder))?;
        self.cleared.call_once(|| clear_unfinished(&top));
        // As any other file of this user, which one that `tempfile` makes itself is not: whoever
        // may read the folder may read what is in it.
        let unfinished = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .make_in(&folder, |path| File::options().write(true).create_new(true).open(path))
            .map_err(failed(&folder))?;
        give(unfinished, bytes, &path).map_err(failed(&path))?;
        sync_folder(&folder).map_err(failed(&folder))
    }

    pub(super) fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(digest);
        if_there(fs::read(&path)).map_err(failed(&path))
    }

    pub(super) fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = self.path(digest);
        let found = if_there(fs::metadata(&path)).map_err(failed(&path))?;
        Ok(found.is_some_and(|found| found.is_file()))
    }

    pub(super) fn remove(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = self.path(digest);
        Ok(if_there(fs::remove_file(&path)).map_err(failed(&path))?.is_some())
    }

    pub(super) fn list(&self) -> Result<Vec<Digest>, StoreError> {
        let top = self.top();
        let mut digests = Vec::new();
        for folder in names_in(&top).map_err(failed(&top))? {
            // Two digits; anything else is no folder of ours.
            if folder.len() != 2 {
                continue;
            }
            let path = top.join(&folder);
            let names = names_in(&path).map_err(failed(&path))?;
            digests.extend(names.iter().filter_map(|name| named(&folder, name)));
        }
        Ok(digests)
    }
}

/// Returns whether a file has these bytes; one that is not there has not.
fn holds(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let Some(mut file) = if_there(File::open(path))? else { return Ok(false) };
    if file.metadata()?.len() != bytes.len() as u64 {
        return Ok(false);
    }
    let (mut rest, mut buffer) = (bytes, vec![0; 64 << 10]);
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok(rest.is_empty()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match rest.strip_prefix(&buffer[..count]) {
            Some(left) => rest = left,
            None => return Ok(false),
        }
    }
}

/// Fills a file and gives it its name, which it has only when all is on the disk.
fn give(mut unfinished: NamedTempFile, bytes: &[u8], path: &Path) -> io::Result<()> {
    unfinished.write_all(bytes)?;
    unfinished.as_file().sync_all()?;
    unfinished.persist(path)?;
    Ok(())
}

/// Makes a folder and those above it, each of them durably.
fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = folder.parent().ok_or(error)?;
            make_folder(parent)?;
            make_folder(folder)
        }
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => folder.parent().map_or(Ok(()), sync_folder),
    }
}

/// A name is durable when its folder is.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { File::open(folder)?.sync_all() }
}

/// Removes what processes that were killed left behind. It is in nobody's way, so that not being
/// able to is no error.
fn clear_unfinished(top: &Path) {
    for folder in names_in(top).unwrap_or_default() {
        let folder = top.join(folder);
        for name in names_in(&folder).unwrap_or_default() {
            let path = folder.join(&name);
            let is_old = || {
                let written = path.metadata().and_then(|metadata| metadata.modified()).ok()?;
                Some(written.elapsed().ok()? > LONGEST_WRITE)
            };
            if name.starts_with(UNFINISHED) && is_old() == Some(true) {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// Returns what is in a folder; nothing where it is not there, or is no folder.
fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()));
    names.collect()
}

fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    |cause| StoreError::File { path, cause }
}
