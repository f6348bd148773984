//! What broke off and can go on, and what was made of something else and can be made again.

use super::{
    Cache, CacheError,
    folder::{Temporary, make_folder_durably},
};
use callsheet_types::{Digest, FilePath, encoded};
use std::{
    fs::{self, File},
    io::{Read, Write},
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// A name with its ending and whatever a download puts beside it must fit into 255 bytes.
const MAX_NAME_BYTES: usize = 150;

/// What is used is marked as such so often at most.
const MARKED_EVERY: Duration = Duration::from_hours(24);

/// Returns a file name for any text, which is another for another text, also where case does not
/// count.
fn file_name(text: &str) -> String {
    let name = encoded(text);
    let is_plain = name.len() <= MAX_NAME_BYTES
        && !name.starts_with('.')
        && !text.bytes().any(|byte| byte.is_ascii_uppercase())
        && FilePath::new(&name).is_ok();
    if is_plain { name } else { format!("~{}", Digest::of(text.as_bytes()).hex()) }
}

impl Cache {
    /// Returns where a download that may break off is written; `name` tells it from others.
    pub fn partial(&self, name: &str) -> Result<PathBuf, CacheError> {
        make_folder_durably(&self.partials())?;
        Ok(self.partials().join(file_name(name)))
    }

    /// Returns what was derived from something else under this name, if it still is there. It may
    /// be damaged: who derived it checks it.
    pub fn derived(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.deriveds().join(file_name(name));
        let metadata = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let mut file = File::open(&path).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let now = SystemTime::now();
        let age = metadata.modified().ok().and_then(|then| now.duration_since(then).ok());
        if age.is_some_and(|age| age > MARKED_EVERY) {
            // What is used stays; where it cannot be marked it is derived again one day.
            let _ = file.set_modified(now);
        }
        Some(bytes)
    }

    /// Keeps what can be made again; that it cannot be kept is no failure.
    pub fn keep_derived(&self, name: &str, bytes: &[u8]) {
        let keep = || -> Option<()> {
            let (temporary, mut file) = Temporary::create(self).ok()?;
            file.write_all(bytes).ok()?;
            drop(file);
            make_folder_durably(&self.deriveds()).ok()?;
            temporary.rename(&self.deriveds().join(file_name(name))).ok()
        };
        if keep().is_none() {
            tracing::debug!(name, root = %self.root.display(), "what was derived is not kept");
        }
    }
}
