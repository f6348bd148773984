//! A hidden folder in which a copy is made before any of it is placed.

use super::{CopyError, look::Ground, unwritable};
use crate::{Cache, CacheError, cache::parallel};
use callsheet_types::{Digest, FilePath};
use std::{
    collections::BTreeSet,
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

const PREFIX: &str = ".callsheet-";
/// Where in it that goes which is replaced.
const REPLACED: &str = "old";
/// A copy that took so long was killed.
const STALE_AFTER: Duration = Duration::from_hours(24);

/// The folder; it goes away with all that still is in it.
pub(super) struct Stage {
    container: PathBuf,
    /// Where the workspace is in it.
    workspace: PathBuf,
    /// Where the workspace will be.
    target: PathBuf,
}

impl Stage {
    /// Makes one in the folder that exists, so that everything in it can be renamed to its place.
    pub(super) fn make(ground: &Ground) -> Result<Self, CopyError> {
        remove_stale(&ground.folder);
        let container = ground.folder.join(format!("{PREFIX}{:016x}", fastrand::u64(..)));
        fs::create_dir(&container).map_err(unwritable(&ground.folder))?;
        let mut stage = Self { container, workspace: PathBuf::new(), target: ground.workspace() };
        let mut workspace = stage.staged();
        workspace.extend(&ground.missing);
        stage.workspace = workspace;
        for folder in [&stage.workspace, &stage.replaced()] {
            fs::create_dir_all(folder).map_err(unwritable(&ground.folder))?;
        }
        Ok(stage)
    }

    /// Returns where that is which is to be placed.
    pub(super) fn staged(&self) -> PathBuf {
        self.container.join("new")
    }

    /// Returns where that goes which is replaced.
    pub(super) fn replaced(&self) -> PathBuf {
        self.container.join(REPLACED)
    }

    /// Keeps what it holds, under a name that is seen and never cleaned away.
    pub(super) fn rescue(mut self) -> PathBuf {
        let container = std::mem::take(&mut self.container);
        let name = container.file_name().unwrap_or_default().to_string_lossy();
        let kept = container.with_file_name(format!("callsheet-kept{}", &name[PREFIX.len() - 1..]));
        if fs::rename(&container, &kept).is_ok() { kept } else { container }
    }

    /// Copies the files into it. Returns their bytes.
    pub(super) fn fill(
        &self,
        cache: &Cache,
        wanted: &[&(FilePath, Digest)],
    ) -> Result<u64, CopyError> {
        let folders: BTreeSet<&str> = wanted.iter().map(|(path, _)| path.folder()).collect();
        for folder in folders {
            fs::create_dir_all(self.workspace.join(folder))
                .map_err(unwritable(&self.target.join(folder)))?;
        }
        let mut bytes = 0;
        let mut missing = Vec::new();
        let copy = |(path, digest): &&(FilePath, Digest)| {
            cache.copy_verified(digest, &self.workspace.join(path)).map_err(|error| match error {
                // Nobody knows the hidden folder.
                CacheError::Unwritable { cause, .. } => {
                    CopyError::Io { path: self.target.join(path), cause }
                }
                error => error.into(),
            })
        };
        each(wanted, copy, |number, copied| match copied {
            Some(length) => bytes += length,
            None => missing.push(number),
        })?;
        if missing.is_empty() {
            return Ok(bytes);
        }
        missing.sort_unstable();
        let name = |number: &usize| wanted.get(*number).map(|(path, _)| path.to_string());
        Err(CopyError::Missing(missing.iter().filter_map(name).collect()))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.container.as_os_str().is_empty() {
            // What stays is cleaned away by a later copy.
            let _ = fs::remove_dir_all(&self.container);
        }
    }
}

/// Does something with each item on a few threads, until one fails.
pub(super) fn each<T: Sync, R: Send, E: Send + Into<CopyError>>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
    mut done: impl FnMut(usize, R),
) -> Result<(), CopyError> {
    let mut failure = None;
    parallel::for_each(items, work, |number, result| match result {
        Ok(result) => {
            done(number, result);
            ControlFlow::Continue(())
        }
        Err(error) => {
            failure = Some(error.into());
            ControlFlow::Break(())
        }
    });
    failure.map_or(Ok(()), Err)
}

/// Removes what copies left that were killed long ago; not where there are files in it that were
/// replaced, which may be all that is left of them.
fn remove_stale(folder: &Path) {
    let is_stale = |entry: &fs::DirEntry| -> io::Result<bool> {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if !number.is_some_and(|number| {
            number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit())
        }) {
            return Ok(false);
        }
        let metadata = entry.metadata()?;
        let age = SystemTime::now().duration_since(metadata.modified()?).unwrap_or_default();
        Ok(metadata.is_dir() && age > STALE_AFTER && is_empty(&entry.path().join(REPLACED))?)
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_stale(&entry).unwrap_or(false) {
            // Another user's folder stays.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Returns whether a folder holds nothing, or is not there.
fn is_empty(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rescued_is_seen_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::make(&Ground::of(folder.path()).unwrap()).unwrap();
        let hidden = stage.container.clone();
        fs::write(stage.replaced().join("0"), "mine").unwrap();
        let kept = stage.rescue();
        assert!(!hidden.exists());
        assert_eq!(fs::read(kept.join("old/0")).unwrap(), b"mine");
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(name(&kept), name(&hidden).replace(".callsheet-", "callsheet-kept-"));

        let stage = Stage::make(&Ground::of(folder.path()).unwrap()).unwrap();
        let hidden = stage.container.clone();
        assert!(hidden.exists());
        drop(stage);
        assert!(!hidden.exists() && kept.exists());
    }
}
