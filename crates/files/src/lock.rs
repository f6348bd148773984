//! The lock file: addresses, pinned to commits and digests.

use crate::{FileSet, SetFile, registry::Publishes};
use callsheet_types::{Digest, FilePath, GitRef, Repository};
use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What stands in a lock file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The format's version.
    pub version: u32,
    /// The pinned sets, in the order of their addresses.
    #[serde(default, rename = "file-set")]
    pub sets: Vec<LockedSet>,
}

/// A pinned set.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSet {
    /// Its address.
    pub address: String,
    /// What its source publishes.
    #[serde(default)]
    pub publishes: Publishes,
    /// The source's key.
    pub source: String,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<Repository>,
    /// The ref as it was asked for.
    pub reference: GitRef,
    /// The commit that it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<GitRef>,
    /// The model's name.
    pub model: String,
    /// Paths in the model's folder, and what is there.
    pub files: BTreeMap<FilePath, Digest>,
}

/// A lock file that cannot be used, or that says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It cannot be read.
    #[error("the lock file {path} cannot be read", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// It is no lock file.
    #[error("{path} is no lock file: {message}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// It is of a later version.
    #[error("{path} is of version {version}; this program reads 1", path = .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// It does not pin this.
    #[error("{path} does not pin '{address}'", path = .path.display())]
    NotPinned {
        /// The file.
        path: PathBuf,
        /// The address.
        address: String,
    },
    /// A file whose content nobody knows cannot be pinned.
    #[error("'{address}' cannot be pinned: what is in '{file}' is not known")]
    Unknown {
        /// The address.
        address: String,
        /// The file.
        file: String,
    },
    /// What is published is not what was pinned.
    #[error("'{address}' is not as it was pinned: {}", .differences.join("; "))]
    Differs {
        /// The address.
        address: String,
        /// How, file by file.
        differences: Vec<String>,
    },
}

/// As much as is read of a lock file of any version.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Lock {
    /// Pins sets.
    pub fn of(sets: &[FileSet]) -> Result<Self, LockError> {
        let mut locked = Vec::with_capacity(sets.len());
        for set in sets {
            let mut files = BTreeMap::new();
            for file in &set.files {
                let unknown = || LockError::Unknown {
                    address: set.address.clone(),
                    file: file.key.to_string(),
                };
                files.insert(file.path.clone(), file.digest.ok_or_else(unknown)?);
            }
            locked.push(LockedSet {
                address: set.address.clone(),
                publishes: set.publishes,
                source: set.source.clone(),
                repo: set.repo.clone(),
                reference: set.reference.clone(),
                commit: set.commit.as_deref().and_then(|commit| GitRef::new(commit).ok()),
                model: set.model.clone(),
                files,
            });
        }
        locked.sort_by(|a, b| a.address.cmp(&b.address));
        Ok(Self { version: 1, sets: locked })
    }

    /// Reads a lock file. Blocks.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| LockError::Unreadable { path: path.to_owned(), cause })?;
        let malformed = |error: toml::de::Error| LockError::Malformed {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        };
        let Versioned { version } = toml::from_str(&text).map_err(malformed)?;
        if version != 1 {
            return Err(LockError::Version { path: path.to_owned(), version });
        }
        toml::from_str(&text).map_err(malformed)
    }

    /// Writes it: the same sets give the same text.
    pub fn write(&self) -> Result<String, toml::ser::Error> {
        let text = toml::to_string_pretty(self)?;
        Ok(format!("# Made by `callsheet files lock`. Commit it; do not edit it.\n{text}"))
    }

    /// Returns the sets of an address, however it is written, or of a pattern; all where there is
    /// none.
    pub fn of_address(
        &self,
        path: &Path,
        addresses: &[String],
    ) -> Result<Vec<&LockedSet>, LockError> {
        if addresses.is_empty() {
            return Ok(self.sets.iter().collect());
        }
        let mut found: Vec<&LockedSet> = Vec::new();
        for address in addresses {
            let plain = address.replace("%2F", "/").replace("%2f", "/");
            let pattern = pattern(&plain);
            let is_it = |set: &&LockedSet| {
                let name = set.address.replace("%2F", "/");
                let key =
                    format!("{}@{}", set.source, name.split_once('@').map_or("", |(_, rest)| rest));
                [&name, &key, &set.model].into_iter().any(|said| match &pattern {
                    Some(pattern) => pattern.is_match(said),
                    None => plain == *said,
                })
            };
            let mut is_pinned = false;
            for set in self.sets.iter().filter(is_it) {
                is_pinned = true;
                if !found.iter().any(|known| known.address == set.address) {
                    found.push(set);
                }
            }
            if !is_pinned {
                return Err(LockError::NotPinned {
                    path: path.to_owned(),
                    address: address.clone(),
                });
            }
        }
        Ok(found)
    }
}

impl LockedSet {
    /// Returns the address of what was pinned: at its commit, where it has one.
    pub fn pinned_address(&self) -> String {
        let Some(commit) = &self.commit else { return self.address.clone() };
        let (source, path) = self.address.split_once('@').unwrap_or((&self.address, ""));
        let path = path.split_once('/').map_or("", |(_, path)| path);
        format!("{source}@{commit}/{path}")
    }

    /// Says of files whose content is not known what was pinned.
    pub fn complete(&self, files: &mut [SetFile]) {
        for file in files.iter_mut().filter(|file| file.digest.is_none()) {
            file.digest = self.files.get(&file.path).copied();
        }
    }

    /// Fails, naming every difference, unless these are the pinned files.
    pub fn compare(&self, files: &[SetFile]) -> Result<(), LockError> {
        let now: BTreeMap<&FilePath, Option<Digest>> =
            files.iter().map(|file| (&file.path, file.digest)).collect();
        let mut differences = Vec::new();
        for (path, expected) in &self.files {
            match now.get(path) {
                None => differences.push(format!("{path} is gone")),
                Some(Some(got)) if got == expected => {}
                Some(Some(got)) => differences.push(format!("{path} is {got}, was {expected}")),
                Some(None) => differences.push(format!("{path} has no known content")),
            }
        }
        differences.extend(
            now.keys()
                .filter(|path| !self.files.contains_key(**path))
                .map(|path| format!("{path} is new")),
        );
        if differences.is_empty() {
            return Ok(());
        }
        Err(LockError::Differs { address: self.address.clone(), differences })
    }
}

/// Reads a pattern as addresses have them: a star stands for a part of a name.
fn pattern(address: &str) -> Option<GlobMatcher> {
    if !address.contains(['*', '?', '[']) {
        return None;
    }
    let glob = GlobBuilder::new(address).literal_separator(true).build().ok()?;
    Some(glob.compile_matcher())
}
