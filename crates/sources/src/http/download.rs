//! Large things: into a file, going on where an earlier attempt stopped.

use super::{FetchError, Http, Request};
use callsheet_types::Digest;
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// Called with how many bytes have come, and how many there will be where that is known.
pub type OnBytes<'a> = &'a (dyn Fn(u64, Option<u64>) + Send + Sync);

/// A finished download. Its file goes away when this is dropped.
#[derive(Debug)]
pub struct Downloaded {
    /// The content, at its beginning.
    pub file: File,
    /// Its digest.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: u64,
    /// Its entity tag, or its date where it has no tag.
    pub etag: Option<String>,
    path: PathBuf,
}

impl Drop for Downloaded {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Http {
    /// Gets what is at an address into the file `partial`, which stays where the download breaks
    /// off, so that the next one goes on there; whoever finds it in use by another process takes a
    /// file of its own beside it.
    pub async fn download(
        &self,
        request: &Request,
        partial: &Path,
        on_bytes: OnBytes<'_>,
    ) -> Result<Downloaded, FetchError> {
        let _ = (request, partial, on_bytes);
        Err(FetchError::NoUrl { text: request.url.clone(), reason: "not yet".to_owned() })
    }
}
