//! What was changed while running and must survive a restart: backends that were added, and who is
//! draining. One JSON file in the data directory, replaced as a whole.

use callsheet_types::{BackendName, BackendSpec};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The state, and where it is kept.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    saved: Saved,
}

/// What the file holds.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    version: Version,
    /// Backends that were added, in the order in which they were.
    pub(crate) backends: Vec<BackendSpec>,
    /// Backends, configured ones too, that were told to drain.
    pub(crate) draining: BTreeSet<BackendName>,
}

/// The only layout so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Version;

impl TryFrom<u32> for Version {
    type Error = String;
    fn try_from(version: u32) -> Result<Self, String> {
        let unknown =
            || format!("version {version} is of a newer Callsheet; this one knows version 1");
        if version == 1 { Ok(Self) } else { Err(unknown()) }
    }
}

impl From<Version> for u32 {
    fn from(Version: Version) -> Self {
        1
    }
}

/// A state file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read or written.
    #[error("the state file {path} cannot be {action}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: "read" or "written".
        action: &'static str,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It holds something else.
    #[error("the state file {path} is damaged; mend it, or move it away to start without it", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: serde_json::Error,
    },
}

impl State {
    /// Reads the state of a data directory; one that has none begins empty.
    pub(crate) fn read(data_dir: &Path) -> Result<Self, StateError> {
        let path = data_dir.join("backends.json");
        let saved = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|cause| StateError::Damaged { path: path.clone(), cause })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Saved::default(),
            Err(cause) => return Err(StateError::Io { path, action: "read", cause }),
        };
        Ok(Self { path, saved })
    }

    /// Returns what is saved.
    pub(crate) fn saved(&self) -> &Saved {
        &self.saved
    }

    /// Changes the state: on disk first, so that what is acknowledged survives.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Saved)) -> Result<(), StateError> {
        let mut next = self.saved.clone();
        change(&mut next);
        if next != self.saved {
            replace(&self.path, &next).map_err(|cause| StateError::Io {
                path: self.path.clone(),
                action: "written",
                cause,
            })?;
            self.saved = next;
        }
        Ok(())
    }
}

/// Replaces a file by the JSON of a value: a crash leaves the old one or the new one.
pub(crate) fn replace(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    serde_json::to_writer_pretty(&mut file, value)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The rename itself is durable only once its directory is.
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use callsheet_types::BackendUrl;

    #[test]
    fn what_was_changed_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::read(dir.path()).unwrap();
        assert_eq!(state.saved(), &Saved::default());
        let name = BackendName::new("a").unwrap();
        let spec = BackendSpec::new(name.clone(), BackendUrl::new("http://h:1").unwrap());
        state
            .change(|saved| {
                saved.backends.push(spec.clone());
                saved.draining.insert(name.clone());
            })
            .unwrap();
        let again = State::read(dir.path()).unwrap();
        assert_eq!(again.saved(), state.saved());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_damaged_file_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backends.json");
        for text in [
            "",
            "{",
            "{\"version\":2,\"backends\":[],\"draining\":[]}",
            "{\"version\":1,\"backend\":[]}",
        ] {
            std::fs::write(&path, text).unwrap();
            let error = State::read(dir.path()).unwrap_err();
            assert!(error.to_string().contains("backends.json"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("file");
        std::fs::write(&blocked, "").unwrap();
        let mut state = State { path: blocked.join("backends.json"), saved: Saved::default() };
        let name = BackendName::new("a").unwrap();
        let change = state.change(|saved| {
            saved.draining.insert(name);
        });
        assert!(change.is_err());
        assert_eq!(state.saved(), &Saved::default());
    }
}
