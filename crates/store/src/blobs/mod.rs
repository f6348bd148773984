//! Blobs: large bodies by their digest, in a folder or in an S3-compatible store.
//!
//! A blob never changes, so nobody has to agree with anybody: any number of processes write and
//! read one place, and who writes what is there already writes nothing. What is read is checked.

mod directory;
mod s3;
mod url;

pub use s3::{S3Access, S3Keys};
pub use url::BlobsUrl;

use crate::StoreError;
use callsheet_types::Digest;
use directory::Directory;
use s3::S3;
use std::sync::Arc;

/// Where blobs are kept. Cloning shares it. Every method blocks.
#[derive(Clone, Debug)]
pub struct Blobs {
    url: Arc<BlobsUrl>,
    place: Arc<Place>,
}

#[derive(Debug)]
enum Place {
    Directory(Directory),
    S3(S3),
}

impl Blobs {
    /// Opens a place for blobs; a folder is made with the first of them. Connects to nothing yet.
    ///
    /// How a bucket is reached is in the environment: see [`S3Access::from_environment`].
    pub fn open(url: &BlobsUrl) -> Result<Self, StoreError> {
        match url {
            BlobsUrl::Directory(root) => Ok(Self::new(url, Place::Directory(Directory::new(root)))),
            BlobsUrl::S3 { .. } => Self::open_with(url, &S3Access::from_environment()?),
        }
    }

    /// Opens a place for blobs; where that is a bucket, it is reached in this way.
    pub fn open_with(url: &BlobsUrl, access: &S3Access) -> Result<Self, StoreError> {
        let BlobsUrl::S3 { bucket, prefix, endpoint } = url else { return Self::open(url) };
        let s3 = S3::open(bucket, prefix, endpoint.as_ref(), access)?;
        Ok(Self::new(url, Place::S3(s3)))
    }

    fn new(url: &BlobsUrl, place: Place) -> Self {
        Self { url: Arc::new(url.clone()), place: Arc::new(place) }
    }

    /// Returns where it is.
    pub fn url(&self) -> &BlobsUrl {
        &self.url
    }

    /// Keeps some bytes; the same again writes nothing. What is there and of another length, or in
    /// a folder of other bytes, is replaced.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        match &*self.place {
            Place::Directory(directory) => directory.put(&digest, bytes)?,
            Place::S3(s3) => s3.put(&digest, bytes)?,
        }
        Ok(digest)
    }

    /// Returns the bytes of a digest; `None` where they are not kept, and
    /// [`StoreError::DamagedBlob`] where others are kept in their place.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let kept = match &*self.place {
            Place::Directory(directory) => directory.get(digest)?,
            Place::S3(s3) => s3.get(digest)?,
        };
        let Some(bytes) = kept else { return Ok(None) };
        if Digest::of(&bytes) == *digest {
            return Ok(Some(bytes));
        }
        Err(StoreError::DamagedBlob { digest: *digest, place: self.place_of(digest).into() })
    }

    /// Returns whether something is kept under a digest, without reading it.
    pub fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        match &*self.place {
            Place::Directory(directory) => directory.has(digest),
            Place::S3(s3) => s3.has(digest),
        }
    }

    /// Returns the digests of all that is kept, in their order.
    pub fn list(&self) -> Result<Vec<Digest>, StoreError> {
        let mut digests = match &*self.place {
            Place::Directory(directory) => directory.list()?,
            Place::S3(s3) => s3.list()?,
        };
        digests.sort_unstable();
        Ok(digests)
    }

    /// Forgets a blob, damaged or not; returns whether there was one.
    pub fn remove(&self, digest: &Digest) -> Result<bool, StoreError> {
        match &*self.place {
            Place::Directory(directory) => directory.remove(digest),
            Place::S3(s3) => s3.remove(digest),
        }
    }

    fn place_of(&self, digest: &Digest) -> String {
        match &*self.place {
            Place::Directory(directory) => directory.path(digest).display().to_string(),
            Place::S3(s3) => s3.place_of(digest),
        }
    }
}

/// Puts two parts of a path together, of which the first may be empty.
fn join(first: &str, second: &str) -> String {
    let slash = if first.is_empty() || second.is_empty() { "" } else { "/" };
    format!("{first}{slash}{second}")
}

/// Returns what a blob is called below the root: the folder, and the name in it.
fn names(digest: &Digest) -> (String, String) {
    let mut folder = digest.hex();
    let name = folder.split_off(2);
    (folder, name)
}

/// Returns the digest of which these are the names.
fn named(folder: &str, name: &str) -> Option<Digest> {
    let digest = Digest::parse_hex(&format!("{folder}{name}")).ok()?;
    // The same digits in capitals would be another file.
    (names(&digest) == (folder.to_owned(), name.to_owned())).then_some(digest)
}
