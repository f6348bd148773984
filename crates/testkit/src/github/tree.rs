//! The files of a commit.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// Files by path, as a commit or an archive holds them. Cloning copies no content.
#[derive(Clone, Debug, Default)]
pub struct FakeTree {
    pub(super) entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: EntryKind,
    /// What is in the file, or where the link leads.
    pub(super) content: Bytes,
    /// SHA-256 of the content in hex.
    pub(super) digest: Arc<str>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum EntryKind {
    File,
    Executable,
    Symlink,
}

impl FakeTree {
    /// Returns a tree without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a file. The path is taken as it is, hostile or not.
    #[must_use]
    pub fn file(self, path: impl Into<String>, content: impl Into<Bytes>) -> Self {
        self.with(path.into(), EntryKind::File, content.into())
    }

    /// Adds or replaces a file that may be executed.
    #[must_use]
    pub fn executable(self, path: impl Into<String>, content: impl Into<Bytes>) -> Self {
        self.with(path.into(), EntryKind::Executable, content.into())
    }

    /// Adds or replaces a symbolic link.
    #[must_use]
    pub fn symlink(self, path: impl Into<String>, target: impl Into<String>) -> Self {
        self.with(path.into(), EntryKind::Symlink, Bytes::from(target.into()))
    }

    /// Removes a file, or everything in a folder.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        let folder = format!("{path}/");
        self.entries.retain(|key, _| key != path && !key.starts_with(&folder));
        self
    }

    /// Adds everything in a real folder, below `prefix` (which may be empty). Links stay links; a
    /// `.git` is left out, as no commit can hold one.
    ///
    /// # Panics
    /// When the folder cannot be read.
    #[must_use]
    pub fn dir(mut self, prefix: &str, folder: &Path) -> Self {
        self.read_folder(prefix, folder);
        self
    }

    /// Returns the content of a file, or the target of a link.
    pub fn content(&self, path: &str) -> Option<Bytes> {
        self.entries.get(path).map(|entry| entry.content.clone())
    }

    /// Returns all paths, sorted.
    pub fn paths(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    fn with(mut self, path: String, kind: EntryKind, content: Bytes) -> Self {
        let digest = sha256(&content).into();
        self.entries.insert(path, Entry { kind, content, digest });
        self
    }

    fn read_folder(&mut self, prefix: &str, folder: &Path) {
        let broken = |error: std::io::Error| -> ! { panic!("{}: {error}", folder.display()) };
        for entry in std::fs::read_dir(folder).unwrap_or_else(|error| broken(error)) {
            let entry = entry.unwrap_or_else(|error| broken(error));
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == ".git" {
                continue;
            }
            let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let metadata = entry.metadata().unwrap_or_else(|error| broken(error));
            let (kind, content) = if metadata.is_dir() {
                self.read_folder(&path, &entry.path());
                continue;
            } else if metadata.is_symlink() {
                let target = std::fs::read_link(entry.path()).unwrap_or_else(|error| broken(error));
                (EntryKind::Symlink, target.to_string_lossy().into_owned().into_bytes())
            } else {
                let content = std::fs::read(entry.path()).unwrap_or_else(|error| broken(error));
                let is_executable = is_executable(&metadata);
                (if is_executable { EntryKind::Executable } else { EntryKind::File }, content)
            };
            *self = std::mem::take(self).with(path, kind, content.into());
        }
    }
}

impl<P: Into<String>, C: Into<Bytes>> FromIterator<(P, C)> for FakeTree {
    fn from_iter<I: IntoIterator<Item = (P, C)>>(files: I) -> Self {
        files.into_iter().fold(Self::new(), |tree, (path, content)| tree.file(path, content))
    }
}

#[cfg(unix)]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &std::fs::Metadata) -> bool {
    false
}

/// Returns the SHA-256 of these bytes in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
