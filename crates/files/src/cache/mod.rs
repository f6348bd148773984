//! The cache: one copy of equal bytes, however many refs and sources name them.
//!
//! A file's name is the digest of its content, so two processes that put the same file put the same
//! bytes, and nobody needs a lock. Below the root lie `files/sha256/ab/…`, `partial` (downloads that
//! broke off), `derived` (what can be made again) and `tmp` (files on their way).

mod batch;
mod derived;
mod folder;
mod intake;
pub(crate) mod parallel;
mod sweep;

use batch::Batch;
use callsheet_types::Digest;
pub(crate) use folder::digest_of;
use folder::{BLOCK_BYTES, Hasher, create_new, failed, next_block};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// A folder of verified files, shared by any number of processes. Cloning shares nothing but the
/// path.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// Something that the cache could not do.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder cannot be used.
    #[error("the cache {path} cannot be used", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// A copy cannot be written.
    #[error("{path} cannot be written", path = .path.display())]
    Unwritable {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The bytes are not what they were said to be.
    #[error("expected {expected}, got {got}")]
    WrongDigest {
        /// What they should be.
        expected: Digest,
        /// What they are.
        got: Digest,
    },
    /// There are more bytes than there may be.
    #[error("it is longer than {max_bytes} bytes")]
    TooLong {
        /// The limit.
        max_bytes: u64,
    },
    /// What is to be kept could not be read.
    #[error("it cannot be read")]
    Content(#[source] io::Error),
}

/// How much is in the cache.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct CacheStats {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Downloads that broke off, and can go on.
    pub partial_files: u64,
    /// Their bytes.
    pub partial_bytes: u64,
}

/// A file of the cache that is not what its name says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Damaged {
    /// What it should be.
    pub expected: Digest,
    /// What it is; unknown where it cannot be read.
    pub got: Option<Digest>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What stayed: files.
    pub kept_files: u64,
    /// What stayed: bytes.
    pub kept_bytes: u64,
}

impl Cache {
    /// Opens a cache; its folder is made with the first file.
    pub fn open(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Returns where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns whether there is a file of this digest, without looking into it.
    pub fn has(&self, digest: &Digest) -> bool {
        self.length_of(digest).is_some()
    }

    /// Keeps what a reader gives, durably, under its digest; with an expected digest, that or
    /// nothing. Returns digest and length.
    pub fn put(
        &self,
        content: &mut dyn Read,
        expected: Option<Digest>,
        max_bytes: u64,
    ) -> Result<(Digest, u64), CacheError> {
        let mut batch = self.batch();
        let put = batch.put(content, expected, max_bytes)?;
        batch.commit()?;
        Ok(put)
    }

    /// Begins to keep many files at once, which costs one flush instead of one for each.
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(self)
    }

    /// Returns the content of a file, verified; `None` where there is none, or a damaged one, which
    /// is then removed.
    pub fn read(&self, digest: &Digest) -> Result<Option<Vec<u8>>, CacheError> {
        let Some((file, length)) = self.open_kept(digest)? else { return Ok(None) };
        let bytes = self.read_opened(file, length, digest)?;
        if Digest::of(&bytes) == *digest {
            return Ok(Some(bytes));
        }
        self.discard(digest)?;
        Ok(None)
    }

    /// Opens a file after all of it was verified, for whoever passes on more than fits into memory;
    /// returns its length too. `None` where there is none, or a damaged one, which is then removed.
    pub fn open_verified(&self, digest: &Digest) -> Result<Option<(File, u64)>, CacheError> {
        if !self.is_intact(digest)? {
            return Ok(None);
        }
        self.open_kept(digest)
    }

    /// Copies a file to a path that does not exist yet, verified while it is copied; `false`, and
    /// nothing at the path, where there is none, or a damaged one, which is then removed.
    pub fn copy_to(&self, digest: &Digest, to: &Path) -> Result<bool, CacheError> {
        self.copy_verified(digest, to).map(|length| length.is_some())
    }

    /// As [`Cache::copy_to`]; returns the length of what was copied.
    pub(crate) fn copy_verified(
        &self,
        digest: &Digest,
        to: &Path,
    ) -> Result<Option<u64>, CacheError> {
        let Some((mut file, length)) = self.open_kept(digest)? else { return Ok(None) };
        let unwritable = |cause| CacheError::Unwritable { path: to.to_owned(), cause };
        if length <= BLOCK_BYTES as u64 {
            let bytes = self.read_opened(file, length, digest)?;
            if Digest::of(&bytes) != *digest {
                self.discard(digest)?;
                return Ok(None);
            }
            let (unfinished, mut copy) = Unfinished::create(to).map_err(unwritable)?;
            copy.write_all(&bytes).map_err(unwritable)?;
            unfinished.finish();
            return Ok(Some(bytes.len() as u64));
        }
        let (unfinished, mut copy) = Unfinished::create(to).map_err(unwritable)?;
        let mut hasher = Hasher::default();
        let mut block = vec![0; BLOCK_BYTES];
        let path = self.path_of(digest);
        while let Some(bytes) = next_block(&mut file, &mut block).map_err(failed(&path))? {
            hasher.update(bytes);
            // Whatever the length says now: what is longer than it was is damaged, and may be
            // without end.
            if hasher.length() > length {
                break;
            }
            copy.write_all(bytes).map_err(unwritable)?;
        }
        let (got, length) = hasher.finish();
        if got != *digest {
            drop(unfinished);
            self.discard(digest)?;
            return Ok(None);
        }
        unfinished.finish();
        Ok(Some(length))
    }

    /// Returns whether a file is there and intact; a damaged one is removed.
    pub(crate) fn is_intact(&self, digest: &Digest) -> Result<bool, CacheError> {
        let Some((file, _)) = self.open_kept(digest)? else { return Ok(false) };
        let (got, _) = digest_of(file).map_err(failed(&self.path_of(digest)))?;
        if got != *digest {
            self.discard(digest)?;
        }
        Ok(got == *digest)
    }

    /// Reads a file of the cache as long as it was when it was opened, and one byte more, so that
    /// one that grows is noticed.
    fn read_opened(&self, file: File, length: u64, digest: &Digest) -> Result<Vec<u8>, CacheError> {
        let mut bytes = Vec::new();
        file.take(length.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(failed(&self.path_of(digest)))?;
        Ok(bytes)
    }
}

/// A copy that goes away unless it is finished.
struct Unfinished<'a>(Option<&'a Path>);

impl<'a> Unfinished<'a> {
    fn create(path: &'a Path) -> io::Result<(Self, File)> {
        create_new(path).map(|file| (Self(Some(path)), file))
    }

    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            let _ = fs::remove_file(path);
        }
    }
}
