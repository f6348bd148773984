//! `backends.json`: where an earlier version kept the backends that were added and those that
//! drain. What it holds is taken over into the store once, and the file is set aside.

use crate::catalog::{Catalog, Saved};
use callsheet_store::PublishError;
use callsheet_types::{BackendName, BackendSpec};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    backends: Vec<BackendSpec>,
    draining: BTreeSet<BackendName>,
}

/// A file of an earlier version that cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// It cannot be read or set aside.
    #[error("the file {path} of an earlier version cannot be {action}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: "read" or "set aside".
        action: &'static str,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It holds something else.
    #[error("the file {path} of an earlier version is damaged; mend it, or move it away to start without it", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: serde_json::Error,
    },
    /// The store did not take it.
    #[error("what an earlier version kept cannot be taken over")]
    Publish(#[from] PublishError),
}

/// Takes over what an earlier version kept in a data directory, if it did.
pub(crate) fn take_over(data_dir: &Path, catalog: &Catalog) -> Result<(), MoveError> {
    let path = data_dir.join("backends.json");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(MoveError::Io { path, action: "read", cause }),
    };
    let file: File = serde_json::from_slice(&bytes)
        .map_err(|cause| MoveError::Damaged { path: path.clone(), cause })?;
    if file.version != 1 {
        let cause = serde::de::Error::custom(format!("version {} is not known", file.version));
        return Err(MoveError::Damaged { path, cause });
    }
    let backends = file.backends.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
    catalog.take_over(&Saved { backends, draining: file.draining, ..Saved::default() })?;
    let aside = data_dir.join("backends.json.moved");
    std::fs::rename(&path, aside).map_err(|cause| MoveError::Io {
        path,
        action: "set aside",
        cause,
    })
}
