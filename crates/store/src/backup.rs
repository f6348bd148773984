//! Copying a database while it is used.

use crate::{Store, StoreError, StoreUrl, db::Value};
use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// Copies to a file beside the wanted one first: what has the wanted name is whole.
pub(crate) fn backup(store: &Store, to: &Path) -> Result<(), StoreError> {
    let fail = |cause: io::Error| match cause.kind() {
        io::ErrorKind::AlreadyExists => StoreError::AlreadyExists(to.to_owned()),
        _ => StoreError::File { path: to.to_owned(), cause },
    };
    if to.symlink_metadata().is_ok() {
        return Err(StoreError::AlreadyExists(to.to_owned()));
    }
    let folder = match to.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let copy = NamedTempFile::new_in(&folder).map_err(fail)?;
    match store.url() {
        StoreUrl::Sqlite(_) => {
            let path = copy.path().to_str().ok_or_else(|| {
                fail(io::Error::new(io::ErrorKind::InvalidInput, "the path is not Unicode"))
            })?;
            let sql = "VACUUM INTO $1";
            store.pool().with(|connection| connection.execute(sql, &[Value::Text(path)]))?;
        }
        StoreUrl::Postgres(_) => {
            let mut writer = io::BufWriter::new(copy.as_file());
            store.export(&mut writer)?;
            writer.flush().map_err(fail)?;
        }
    }
    copy.as_file().sync_all().map_err(fail)?;
    copy.persist_noclobber(to).map_err(|error| fail(error.error))?;
    // The name is durable when its folder is.
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(fail)
}
