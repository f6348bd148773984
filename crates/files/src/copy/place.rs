//! Renaming what was staged to its place; all of it, or none.

use super::{CopyError, Existing, look::Ground, stage::Stage, unwritable};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// What has been renamed, so that it can be undone.
struct Placing<'a> {
    stage: &'a Stage,
    existing: Existing,
    /// From where to where, in order.
    renamed: Vec<(PathBuf, PathBuf)>,
    replaced: usize,
    met: usize,
}

/// Why something could not be placed.
enum Obstacle {
    /// A file of other content came there meanwhile.
    Content(PathBuf),
    Other(CopyError),
}

/// Places everything. Returns how many of the files another process had placed meanwhile.
pub(super) fn place(stage: Stage, ground: &Ground, existing: Existing) -> Result<usize, CopyError> {
    let mut placing = Placing { stage: &stage, existing, renamed: Vec::new(), replaced: 0, met: 0 };
    let Err(obstacle) = placing.merge(&stage.staged(), &ground.folder) else {
        return Ok(placing.met);
    };
    if let Err(cause) = undo(&placing.renamed) {
        // What was replaced is the user's, and must not go with the hidden folder.
        return Err(CopyError::Io { path: stage.rescue(), cause });
    }
    Err(match obstacle {
        Obstacle::Content(path) => {
            let workspace = ground.workspace();
            let path = path.strip_prefix(&workspace).unwrap_or(&path).display().to_string();
            CopyError::WouldReplace { workspace, paths: vec![path] }
        }
        Obstacle::Other(error) => error,
    })
}

impl Placing<'_> {
    /// Moves what one folder holds into another; what the other does not have goes there whole.
    fn merge(&mut self, from: &Path, to: &Path) -> Result<(), Obstacle> {
        let mut entries: Vec<_> = fs::read_dir(from)
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .map_err(|cause| Obstacle::Other(unwritable(to)(cause)))?;
        entries.sort_unstable_by_key(fs::DirEntry::file_name);
        for entry in entries {
            self.put(&entry.path(), &to.join(entry.file_name()))?;
        }
        Ok(())
    }

    fn put(&mut self, from: &Path, to: &Path) -> Result<(), Obstacle> {
        let other = |cause| Obstacle::Other(unwritable(to)(cause));
        match rename_new(from, to) {
            Ok(()) => {
                self.renamed.push((from.to_owned(), to.to_owned()));
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(other(error)),
        }
        let there = fs::symlink_metadata(to).map_err(other)?;
        if fs::symlink_metadata(from).map_err(other)?.is_dir() {
            return if there.is_dir() {
                self.merge(from, to)
            } else {
                Err(Obstacle::Other(CopyError::NoFolder { path: to.to_owned() }))
            };
        }
        // What cannot be read cannot be known to be the same.
        if there.is_file() && is_same(from, to).unwrap_or(false) {
            self.met += 1;
            return Ok(());
        }
        if there.is_dir() {
            return Err(other(io::ErrorKind::IsADirectory.into()));
        }
        if self.existing == Existing::Refuse {
            return Err(Obstacle::Content(to.to_owned()));
        }
        let old = self.stage.replaced().join(self.replaced.to_string());
        self.replaced += 1;
        match fs::rename(to, &old) {
            Ok(()) => self.renamed.push((to.to_owned(), old)),
            // Another copy just moved it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(other(error)),
        }
        fs::rename(from, to).map_err(other)?;
        self.renamed.push((from.to_owned(), to.to_owned()));
        Ok(())
    }
}

/// Renames everything back, the last first; goes on where one fails.
fn undo(renamed: &[(PathBuf, PathBuf)]) -> io::Result<()> {
    let mut undone = Ok(());
    for (from, to) in renamed.iter().rev() {
        undone = undone.and(fs::rename(to, from));
    }
    undone
}

/// Renames to a name that nothing has yet.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::{
            fs::{CWD, RenameFlags, renameat_with},
            io::Errno,
        };
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Not every file system can; on those another process may come between.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            renamed => return renamed.map_err(Into::into),
        }
    }
    match fs::symlink_metadata(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

/// Returns whether two files have the same content.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (io::BufReader::new(one).bytes(), io::BufReader::new(other).bytes());
    loop {
        match (one.next().transpose()?, other.next().transpose()?) {
            (None, None) => return Ok(true),
            (one, other) if one != other => return Ok(false),
            _ => {}
        }
    }
}
