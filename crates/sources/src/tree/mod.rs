//! Files that came in together, held in memory under limits.

mod archive;
mod directory;

pub(crate) use archive::is_tar;

use bytes::Bytes;
use callsheet_types::Problem;
use std::{
    collections::{BTreeMap, btree_map},
    fmt, io,
    path::{Path, PathBuf},
};

/// Files by their path, such as `models/a.toml`: relative, with `/`, without `.` and `..`.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// The origin's own name for this state, where it has one: the commit of `git archive`.
    pub revision: Option<String>,
    /// The files.
    pub files: BTreeMap<String, Bytes>,
    /// What was left out, and why.
    pub problems: Vec<Problem>,
}

/// How much is read.
#[derive(Clone, Copy, Debug)]
pub struct TreeLimits {
    /// All files together, decompressed.
    pub max_bytes: u64,
    /// Files, folders and everything else.
    pub max_entries: usize,
}

impl Default for TreeLimits {
    fn default() -> Self {
        Self { max_bytes: 256 << 20, max_entries: 200_000 }
    }
}

/// A tree of which nothing is used.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// It cannot be read.
    #[error("{path} cannot be read", path = .path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It is no archive, or not a whole one.
    #[error("{name} is a broken archive")]
    Broken {
        /// The archive.
        name: String,
        /// What is wrong.
        #[source]
        cause: io::Error,
    },
    /// A file in it is damaged, or not as long as the archive says.
    #[error("{name} holds a broken file, {path:?}")]
    BrokenMember {
        /// The archive.
        name: String,
        /// The file.
        path: String,
        /// What is wrong.
        #[source]
        cause: io::Error,
    },
    /// A file in it is packed in a way that is not read here.
    #[error("{name} holds {path:?}, {reason}, which cannot be read")]
    Unsupported {
        /// The archive.
        name: String,
        /// The file.
        path: String,
        /// In which way.
        reason: String,
    },
    /// It would write outside its root if it were unpacked: somebody means harm.
    #[error("{name} holds the path {path:?}, which leaves its root; nothing of it is used")]
    Hostile {
        /// The archive.
        name: String,
        /// The path.
        path: String,
    },
    /// It holds a path that not every system can have.
    #[error("{name} holds the path {path:?}, and {reason}; nothing of it is used")]
    BadPath {
        /// The archive.
        name: String,
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It holds a file twice.
    #[error("{name} holds {path:?} twice; nothing of it is used")]
    Twice {
        /// The archive.
        name: String,
        /// The file.
        path: String,
    },
    /// It holds two paths that cannot be side by side everywhere: they differ only in case, or one
    /// is a file where the other needs a folder.
    #[error("{name} holds {path:?} and {other:?}, which cannot be side by side; nothing is used")]
    Alike {
        /// The archive.
        name: String,
        /// One.
        path: String,
        /// The other, which stands earlier.
        other: String,
    },
    /// It was to have one folder at its top, and has not.
    #[error("{name} has no one folder at its top: it holds {path:?}{}", Beside(.top))]
    NoTopFolder {
        /// The archive.
        name: String,
        /// What is elsewhere.
        path: String,
        /// The folder that came first.
        top: Option<String>,
    },
    /// It becomes so large that it is meant to.
    #[error("{name} becomes more than {max_ratio} times as large as it is; nothing of it is used")]
    Bomb {
        /// The archive.
        name: String,
        /// The limit.
        max_ratio: u64,
    },
    /// A file in it is too large.
    #[error("{name} holds {path:?}, which is larger than {max_bytes} bytes")]
    LargeMember {
        /// The archive.
        name: String,
        /// The file.
        path: String,
        /// The limit.
        max_bytes: u64,
    },
    /// Whoever was to take a file of it did not.
    #[error("{path:?} of {name} cannot be kept")]
    NotTaken {
        /// The archive.
        name: String,
        /// The file.
        path: String,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It is too large.
    #[error("{name} holds more than {max_bytes} bytes")]
    TooLarge {
        /// The archive or folder.
        name: String,
        /// The limit.
        max_bytes: u64,
    },
    /// It has too many entries.
    #[error("{name} holds more than {max_entries} files")]
    TooMany {
        /// The archive or folder.
        name: String,
        /// The limit.
        max_entries: usize,
    },
}

struct Beside<'a>(&'a Option<String>);

impl fmt::Display for Beside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(top) => write!(f, " beside {top:?}"),
            None => Ok(()),
        }
    }
}

impl Tree {
    /// Reads a folder, an archive (`tar`, plain or with gzip, told by its content) or a single
    /// file. Blocks.
    pub fn read_path(path: &Path) -> Result<Self, TreeError> {
        Self::read_path_within(path, TreeLimits::default())
    }

    /// Reads as [`Tree::read_path`] does, within other limits. Blocks.
    pub fn read_path_within(path: &Path, limits: TreeLimits) -> Result<Self, TreeError> {
        let unreadable = |cause| TreeError::Unreadable { path: path.to_owned(), cause };
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if metadata.is_dir() {
            return directory::read(path, limits);
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        archive::read(&name, file, limits)
    }

    /// Reads an archive or a single file that is in memory.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, TreeError> {
        Self::from_bytes_within(name, bytes, TreeLimits::default())
    }

    /// Reads as [`Tree::from_bytes`] does, within other limits.
    pub fn from_bytes_within(
        name: &str,
        bytes: &[u8],
        limits: TreeLimits,
    ) -> Result<Self, TreeError> {
        archive::read(name, bytes, limits)
    }

    /// Packs a folder as `tar`: the same content gives the same bytes. What [`Tree::read_path`]
    /// would leave out with a problem goes along as what it is, so that whoever reads the archive
    /// meets the same problem. Blocks.
    pub fn to_tar(folder: &Path) -> Result<Vec<u8>, TreeError> {
        directory::pack(folder, TreeLimits::default())
    }

    /// Returns the tree without the one folder that all its files are in, as archives of
    /// repositories have it; the same tree where there is none.
    #[must_use]
    pub fn without_root(mut self) -> Self {
        let root = self.files.keys().next().and_then(|path| path.split_once('/'));
        let Some(root) = root.map(|(root, _)| format!("{root}/")) else { return self };
        if !self.files.keys().all(|path| path.starts_with(&root)) {
            return self;
        }
        let without = |path: &str| path.strip_prefix(&root).unwrap_or(path).to_owned();
        self.files = self.files.into_iter().map(|(path, file)| (without(&path), file)).collect();
        for problem in &mut self.problems {
            problem.place = without(&problem.place);
        }
        self
    }

    fn note(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { place: place.into(), message: message.into() });
    }

    fn add(&mut self, path: String, content: Bytes) {
        match self.files.entry(path) {
            btree_map::Entry::Vacant(place) => {
                place.insert(content);
            }
            btree_map::Entry::Occupied(place) => {
                let place = place.key().clone();
                self.note(place, "stands there twice; the first counts");
            }
        }
    }
}

/// What becomes of a path in an archive.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Checked {
    /// It is used, in this form.
    Path(String),
    /// It is the root itself.
    Root,
    /// It leaves the root.
    Hostile,
}

/// Checks a path: `/` divides, and so does `\`, which some systems would take for it.
pub(crate) fn check_path(path: &str) -> Checked {
    let is_drive =
        path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    if path.starts_with(['/', '\\']) || is_drive || path.contains('\0') {
        return Checked::Hostile;
    }
    let mut parts = Vec::new();
    for part in path.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => return Checked::Hostile,
            part => parts.push(part),
        }
    }
    if parts.is_empty() { Checked::Root } else { Checked::Path(parts.join("/")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_in_its_root() {
        for (path, expected) in [
            ("a/b.toml", "a/b.toml"),
            ("./a//b.toml", "a/b.toml"),
            ("a\\b", "a/b"),
            ("a/..b", "a/..b"),
        ] {
            assert_eq!(check_path(path), Checked::Path(expected.to_owned()));
        }
        for path in ["", ".", "./"] {
            assert_eq!(check_path(path), Checked::Root);
        }
        for path in ["/etc", "..", "a/../../b", "a/..", "\\\\h\\x", "C:\\x", "a\\..\\..\\b", "a\0"]
        {
            assert_eq!(check_path(path), Checked::Hostile, "{path:?}");
        }
    }
}
