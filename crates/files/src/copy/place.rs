//! Renaming what was staged to its place; all of it, or none.
//!
//! The process may be killed between any two steps: what is replaced is kept before a single rename
//! puts the new file over it, and undoing is a single rename too.

use super::{CopyError, Existing, look::Ground, stage::Stage, unwritable};
use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// What has been placed, so that it can be undone.
struct Placing<'a> {
    stage: &'a Stage,
    existing: Existing,
    /// In order.
    steps: Vec<Step>,
    replaced: usize,
    met: usize,
    /// Called after each change to what is on the disk; tests look at it then.
    on_change: &'a dyn Fn(),
}

/// A rename that can be undone by another.
struct Step {
    /// What is to be renamed: the file or folder that was placed, or what it replaced.
    from: PathBuf,
    /// And to where.
    to: PathBuf,
}

/// Why something could not be placed.
enum Obstacle {
    /// A file of other content came there meanwhile.
    Content(PathBuf),
    Other(CopyError),
}

/// Places everything. Returns how many of the files another process had placed meanwhile.
pub(super) fn place(stage: Stage, ground: &Ground, existing: Existing) -> Result<usize, CopyError> {
    place_watched(stage, ground, existing, &|| ())
}

fn place_watched(
    stage: Stage,
    ground: &Ground,
    existing: Existing,
    on_change: &dyn Fn(),
) -> Result<usize, CopyError> {
    let mut placing =
        Placing { stage: &stage, existing, steps: Vec::new(), replaced: 0, met: 0, on_change };
    let Err(obstacle) = placing.merge(&stage.staged(), &ground.folder) else {
        return Ok(placing.met);
    };
    if let Err(cause) = placing.undo() {
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
                self.note(to, from);
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
        let is_kept = match keep(to, &old, &there) {
            Ok(()) => true,
            // Another copy just moved it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(other(error)),
        };
        (self.on_change)();
        fs::rename(from, to).map_err(other)?;
        if is_kept {
            self.note(&old, to);
        } else {
            self.note(to, from);
        }
        Ok(())
    }

    /// Notes what is to be renamed should all of it be undone.
    fn note(&mut self, from: &Path, to: &Path) {
        self.steps.push(Step { from: from.to_owned(), to: to.to_owned() });
        (self.on_change)();
    }

    /// Renames everything back, the last first; goes on where one fails.
    fn undo(&self) -> io::Result<()> {
        let mut undone = Ok(());
        for Step { from, to } in self.steps.iter().rev() {
            undone = undone.and(fs::rename(from, to));
            (self.on_change)();
        }
        undone
    }
}

/// Gives a file, or a link, another name beside its own; where a file system cannot, a copy.
fn keep(file: &Path, kept: &Path, metadata: &Metadata) -> io::Result<()> {
    match fs::hard_link(file, kept) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => copy(file, kept, metadata),
        Ok(()) => Ok(()),
    }
}

fn copy(file: &Path, copy: &Path, metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        fs::copy(file, copy)?;
        if let Ok(modified) = metadata.modified()
            && let Ok(copy) = File::options().append(true).open(copy)
        {
            // Some file systems have no times; the content is what counts.
            let _ = copy.set_modified(modified);
        }
        return Ok(());
    }
    #[cfg(unix)]
    if metadata.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(file)?, copy);
    }
    // A socket or the like has no content that could be lost.
    fs::rename(file, copy)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A workspace with files of a user's, and a stage with new ones for it.
    struct Scene {
        folder: tempfile::TempDir,
        ground: Ground,
        stage: Stage,
    }

    impl Scene {
        fn with(old: &[&str], new: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let ground = Ground::of(folder.path()).unwrap();
            let stage = Stage::make(&ground).unwrap();
            for (root, names, content) in
                [(folder.path().to_owned(), old, "old"), (stage.staged(), new, "new")]
            {
                for name in names {
                    fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
                    fs::write(root.join(name), format!("{content} {name}")).unwrap();
                }
            }
            Self { folder, ground, stage }
        }
    }

    /// Fails unless a process that is killed now leaves each file whole, and loses none.
    fn check(workspace: &Path, replaced: &Path, names: &[&str]) -> String {
        let kept: Vec<String> = fs::read_dir(replaced)
            .unwrap()
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        let mut seen = String::new();
        for name in names {
            let (old, new) = (format!("old {name}"), format!("new {name}"));
            let found = fs::read_to_string(workspace.join(name)).unwrap();
            assert!(found == old || found == new && kept.contains(&old), "{found}: {kept:?}");
            seen.push_str(&found[..1]);
        }
        seen
    }

    #[test]
    fn whoever_is_killed_while_replacing_loses_nothing() {
        let names = ["a", "b/c"];
        let Scene { folder, ground, stage } = Scene::with(&names, &["a", "b/c", "b/d"]);
        let (replaced, seen) = (stage.replaced(), RefCell::new(Vec::new()));
        let look = || seen.borrow_mut().push(check(folder.path(), &replaced, &names));
        assert_eq!(place_watched(stage, &ground, Existing::Replace, &look).unwrap(), 0);
        assert_eq!(seen.into_inner(), ["oo", "no", "no", "nn", "nn"]);
        for name in ["a", "b/c", "b/d"] {
            let content = fs::read_to_string(folder.path().join(name)).unwrap();
            assert_eq!(content, format!("new {name}"));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn nor_does_whoever_is_killed_while_undoing() {
        let names = ["a", "b"];
        // A folder is in the way of the last.
        let Scene { folder, ground, stage } =
            Scene::with(&["a", "b", "d/x"], &["a", "b", "c", "d"]);
        let (replaced, seen) = (stage.replaced(), RefCell::new(Vec::new()));
        let look = || seen.borrow_mut().push(check(folder.path(), &replaced, &names));
        let error = place_watched(stage, &ground, Existing::Replace, &look).unwrap_err();
        assert!(matches!(&error, CopyError::Io { path, .. } if path.ends_with("d")), "{error:?}");
        assert_eq!(seen.into_inner(), ["oo", "no", "no", "nn", "nn", "nn", "no", "oo"]);
        assert_eq!(fs::read(folder.path().join("d/x")).unwrap(), b"old d/x");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_cannot_be_linked_is_copied() {
        let Scene { folder, .. } = Scene::with(&["a"], &[]);
        let (file, kept) = (folder.path().join("a"), folder.path().join("kept"));
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_hours(9999);
        File::options().append(true).open(&file).unwrap().set_modified(long_ago).unwrap();
        copy(&file, &kept, &fs::symlink_metadata(&file).unwrap()).unwrap();
        assert_eq!(
            (fs::read(&file).unwrap(), fs::read(&kept).unwrap()),
            (b"old a".into(), b"old a".into())
        );
        assert_eq!(fs::metadata(&kept).unwrap().modified().unwrap(), long_ago);
        #[cfg(unix)]
        {
            let (link, kept) = (folder.path().join("link"), folder.path().join("kept-link"));
            std::os::unix::fs::symlink("a", &link).unwrap();
            copy(&link, &kept, &fs::symlink_metadata(&link).unwrap()).unwrap();
            assert_eq!(
                (fs::read_link(&kept).unwrap(), fs::read_link(&link).unwrap()),
                ("a".into(), "a".into())
            );
        }
    }
}
