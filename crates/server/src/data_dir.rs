//! The data directory, which one daemon at a time owns.

use crate::files;
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A data directory that this process owns as long as the value lives; the lock goes with the
/// process, however it ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// The daemon that runs on a data directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    /// Its process id.
    pub pid: u32,
    /// Where it answers.
    pub url: String,
}

/// A data directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process owns it.
    #[error("another callsheet runs on the data directory {path}", path = .path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be made, locked or written.
    #[error("the data directory {path} cannot be used", path = .path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// Longer than commands without a daemon take, several of them in a row too.
const PATIENCE: Duration = Duration::from_secs(20);

impl DataDir {
    /// Takes possession of a directory, which is made if need be. Waits for a command that owns it
    /// for a moment, and not for a daemon; blocks the thread for so long.
    pub fn take(path: &Path) -> Result<Self, DataDirError> {
        let failed = |cause| DataDirError::Io { path: path.to_owned(), cause };
        std::fs::create_dir_all(path).map_err(failed)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("daemon.lock"))
            .map_err(failed)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(cause)) => return Err(failed(cause)),
                Err(TryLockError::WouldBlock) => {
                    if Self::running(path).is_some() || Instant::now() > until {
                        return Err(DataDirError::Taken { path: path.to_owned() });
                    }
                    // The lock of a file tells nobody that it is free.
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
        let owned = Self { path: path.to_owned(), _lock: lock };
        // A daemon that was killed could not take back what it said.
        owned.withdraw();
        Ok(owned)
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells other processes where the daemon of this directory answers.
    pub fn announce(&self, url: &str) -> Result<(), DataDirError> {
        let running = Running { pid: std::process::id(), url: url.to_owned() };
        files::replace(&self.path.join("daemon.json"), &running)
            .map_err(|cause| DataDirError::Io { path: self.path.clone(), cause })
    }

    fn withdraw(&self) {
        let announced = self.path.join("daemon.json");
        if announced.exists() {
            // Left behind it would only mislead for the moment that a command owns the lock.
            let _ = std::fs::remove_file(announced);
        }
    }

    /// Returns the daemon that runs on a directory, if one does.
    pub fn running(path: &Path) -> Option<Running> {
        let lock = File::open(path.join("daemon.lock")).ok()?;
        // Whoever cannot be locked out is there; what it announced may be older than that.
        if lock.try_lock_shared().is_ok() {
            return None;
        }
        serde_json::from_slice(&std::fs::read(path.join("daemon.json")).ok()?).ok()
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        self.withdraw();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_at_a_time_who_can_be_found() {
        let dir = tempfile::tempdir().unwrap();
        assert!(DataDir::running(dir.path()).is_none());
        let owner = DataDir::take(dir.path()).unwrap();
        assert!(DataDir::running(dir.path()).is_none(), "it has not said where it answers");
        owner.announce("http://127.0.0.1:1").unwrap();
        assert!(matches!(DataDir::take(dir.path()), Err(DataDirError::Taken { .. })));
        assert_eq!(DataDir::running(dir.path()).unwrap().url, "http://127.0.0.1:1");
        drop(owner);
        assert!(DataDir::running(dir.path()).is_none());
        DataDir::take(dir.path()).unwrap();
    }

    #[test]
    fn who_owns_it_for_a_moment_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let owner = DataDir::take(dir.path()).unwrap();
        let (begun, begins) = std::sync::mpsc::channel();
        let path = dir.path().to_owned();
        let next = std::thread::spawn(move || {
            begun.send(()).unwrap();
            DataDir::take(&path).map(|_| ())
        });
        begins.recv().unwrap();
        drop(owner);
        next.join().unwrap().unwrap();
    }
}
