//! Finding models and their files in a folder.

use super::IndexError;
use callsheet_types::{FilePathError, Problem};
use globset::GlobMatcher;
use std::{
    ffi::OsString,
    fs::{self, Metadata},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What is in a folder.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The models' folders, in order; the folder itself is empty.
    pub(super) models: Vec<String>,
    /// The models' files, in the order of their paths.
    pub(super) files: Vec<FoundFile>,
    /// What was left out.
    pub(super) problems: Vec<Problem>,
}

/// A file, as it was when it was found.
#[derive(Clone, Debug)]
pub(super) struct FoundFile {
    pub(super) path: String,
    pub(super) state: State,
}

/// What changes when a file is written to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct State {
    pub(super) size: u64,
    pub(super) modified_ns: i128,
    pub(super) changed_ns: i128,
    pub(super) inode: u64,
}

pub(super) fn walk(folder: &Path, namefile: &GlobMatcher) -> Result<Found, IndexError> {
    let mut walk = Walk { namefile, found: Found::default() };
    walk.folder(folder, "", false)?;
    let mut found = walk.found;
    found.models.sort_unstable();
    found.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    found.problems.sort_unstable();
    Ok(found)
}

struct Walk<'w> {
    namefile: &'w GlobMatcher,
    found: Found,
}

impl Walk<'_> {
    /// Walks a folder, which may be in a model.
    fn folder(&mut self, path: &Path, below: &str, in_model: bool) -> Result<(), IndexError> {
        let unreadable = |cause| IndexError::Unreadable { path: path.to_owned(), cause };
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            // Git's own: a folder, or in a submodule a file that says where that folder is.
            if entry.file_name().eq_ignore_ascii_case(".git") {
                continue;
            }
            let kind = entry.file_type().map_err(unreadable)?;
            entries.push((entry, kind));
        }
        let has_namefile = entries
            .iter()
            .any(|(entry, kind)| kind.is_file() && self.namefile.is_match(entry.file_name()));
        if has_namefile {
            self.found.models.push(text(below, path, None)?);
        }
        let in_model = in_model || has_namefile;
        for (entry, kind) in entries {
            let name = entry.file_name();
            if kind.is_dir() {
                // Of a folder without models, no name has to be publishable.
                let below = join(below, &name.to_string_lossy());
                self.folder(&entry.path(), &below, in_model)?;
            } else if in_model && !is_excluded(&name) {
                let path = text(below, &entry.path(), Some(&name))?;
                if kind.is_file() {
                    let metadata = entry
                        .metadata()
                        .map_err(|cause| IndexError::Unreadable { path: entry.path(), cause })?;
                    self.found.files.push(FoundFile { path, state: State::of(&metadata) });
                } else {
                    let what = if kind.is_symlink() { "a symbolic link" } else { "no file" };
                    let message = format!("is {what}, and left out");
                    self.found.problems.push(Problem { place: path, message });
                }
            }
        }
        Ok(())
    }
}

fn join(below: &str, name: &str) -> String {
    if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") }
}

/// Returns the path of something that is to be published, which has to be a text.
fn text(below: &str, path: &Path, name: Option<&OsString>) -> Result<String, FilePathError> {
    let wrong = |path: String| FilePathError { path, reason: "it is not UTF-8" };
    let written = match name {
        Some(name) => join(below, &name.to_string_lossy()),
        None => below.to_owned(),
    };
    // The folder was made into a text on the way down, whatever it held.
    let replaced = written.contains('\u{fffd}') && path.to_str().is_none();
    if replaced { Err(wrong(written)) } else { Ok(written) }
}

/// Returns whether a file is what a program or a system has left behind: the same rules as the
/// Python package's.
fn is_excluded(name: &OsString) -> bool {
    const PARTS: [&str; 2] = [".DS_Store", "compare"];
    const ENDINGS: [&str; 9] = ["lst", "hds", "hed", "cbb", "cbc", "bud", "ddn", "ucn", "glo"];
    let text = name.to_string_lossy();
    let ending = Path::new(&*text).extension().unwrap_or_default();
    PARTS.iter().any(|part| text.contains(part))
        || ENDINGS.iter().any(|excluded| ending.eq_ignore_ascii_case(excluded))
}

impl State {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Self {
            size: metadata.size(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }

    #[cfg(not(unix))]
    fn of(metadata: &Metadata) -> Self {
        // Without a time of its own, a file looks as if written just now, and is always read.
        let modified = metadata.modified().unwrap_or_else(|_| SystemTime::now());
        Self { size: metadata.len(), modified_ns: since_1970(modified), changed_ns: 0, inode: 0 }
    }
}

/// Returns the nanoseconds since 1970.
pub(super) fn since_1970(time: SystemTime) -> i128 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_nanos().cast_signed(),
        Err(before) => -before.duration().as_nanos().cast_signed(),
    }
}

/// Returns where a file is.
pub(super) fn place(folder: &Path, file: &FoundFile) -> PathBuf {
    folder.join(&file.path)
}
