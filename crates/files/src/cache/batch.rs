use super::{
    Cache, CacheError,
    folder::{Temporary, failed, flush_folders},
    intake::Arrived,
};
use callsheet_types::Digest;
use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
    io::Read,
    time::{Duration, Instant},
};

/// A batch that has gathered this much commits it by itself.
const MAX_FILES: usize = 4096;
const MAX_BYTES: u64 = 1 << 30;
/// Temporary files older than a day are cleaned away, so none may wait nearly as long.
const MAX_WAIT: Duration = Duration::from_hours(1);

/// From so many files on, flushing the whole file system is cheaper than flushing each.
#[cfg(target_os = "linux")]
const FLUSH_ALL_FROM: usize = 16;

/// Files that come into the cache together; those that are not committed never do.
#[derive(Debug)]
pub struct Batch<'a> {
    cache: &'a Cache,
    pending: Vec<(Temporary, Digest)>,
    pending_bytes: u64,
    since: Option<Instant>,
    seen: HashSet<Digest>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(cache: &'a Cache) -> Self {
        Self { cache, pending: Vec::new(), pending_bytes: 0, since: None, seen: HashSet::new() }
    }

    /// Takes a file in, as [`Cache::put`] does. Commits by itself what has gathered now and then,
    /// so that memory and disk stay bounded.
    pub fn put(
        &mut self,
        content: &mut dyn Read,
        expected: Option<Digest>,
        max_bytes: u64,
    ) -> Result<(Digest, u64), CacheError> {
        let arrived = Arrived::read(self.cache, content, expected, max_bytes)?;
        let (digest, length) = (arrived.digest, arrived.length);
        if self.seen.contains(&digest) || self.cache.length_of(&digest) == Some(length) {
            return Ok((digest, length));
        }
        self.pending.push((arrived.on_disk(self.cache)?, digest));
        self.pending_bytes += length;
        self.seen.insert(digest);
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.pending.len() >= MAX_FILES
            || self.pending_bytes >= MAX_BYTES
            || since.elapsed() >= MAX_WAIT
        {
            self.flush()?;
        }
        Ok((digest, length))
    }

    /// Makes all of it durable and visible.
    pub fn commit(mut self) -> Result<(), CacheError> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), CacheError> {
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        self.since = None;
        flush_files(&pending)?;
        let mut touched = BTreeSet::new();
        for (temporary, digest) in pending {
            self.cache.settle(&temporary, &digest, &mut touched)?;
        }
        flush_folders(&touched)
    }
}

fn flush_files(pending: &[(Temporary, Digest)]) -> Result<(), CacheError> {
    // Where the file system cannot be flushed as a whole, or says that something went wrong, each
    // file is asked for itself.
    #[cfg(target_os = "linux")]
    if let [.., (any, _)] = pending
        && pending.len() >= FLUSH_ALL_FROM
        && File::open(any.path()).is_ok_and(|file| rustix::fs::syncfs(&file).is_ok())
    {
        return Ok(());
    }
    for (temporary, _) in pending {
        let path = temporary.path();
        File::options()
            .append(true)
            .open(path)
            .and_then(|file| file.sync_all())
            .map_err(failed(path))?;
    }
    Ok(())
}
