//! Hashing many files on all processors, with little memory.

use super::{
    IndexError,
    memory::Memory,
    walk::{FoundFile, place},
};
use callsheet_types::Digest;
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

/// What one thread reads at once.
const BUFFER_BYTES: usize = 512 * 1024;
/// Files from here on are begun first, so that none of them is left to one thread at the end.
const LARGE_BYTES: u64 = 4 * 1024 * 1024;
/// More threads than this wait for the disk only.
const MAX_THREADS: usize = 16;

/// What came of it.
pub(super) struct Hashed {
    /// One for each file, in the same order.
    pub(super) digests: Vec<Digest>,
    /// How many files were read.
    pub(super) read: usize,
    /// How many bytes they had.
    pub(super) bytes: u64,
}

/// Returns the digest of each file, remembered or read.
pub(super) fn hash(
    folder: &Path,
    files: &[FoundFile],
    memory: &Memory,
    on_file: &(dyn Fn(u64, u64) + Sync),
) -> Result<Hashed, IndexError> {
    let mut digests: Vec<Option<Digest>> = files.iter().map(|file| memory.digest(file)).collect();
    let mut to_read: Vec<usize> = (0..files.len()).filter(|&at| digests[at].is_none()).collect();
    let is_small = |at: usize| files[at].state.size < LARGE_BYTES;
    to_read.sort_by_key(|&at| {
        (is_small(at), if is_small(at) { 0 } else { u64::MAX - files[at].state.size })
    });
    let total = files.len() as u64;
    let remembered = total - to_read.len() as u64;
    if remembered > 0 {
        on_file(remembered, total);
    }
    let job = Job {
        next: AtomicUsize::new(0),
        done: AtomicU64::new(remembered),
        bytes: AtomicU64::new(0),
        results: Mutex::new(Vec::with_capacity(to_read.len())),
        failure: Mutex::new(None),
    };
    let work = || job.work(folder, files, &to_read, &|done| on_file(done, total));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.clamp(1, MAX_THREADS).min(to_read.len());
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    if let Some((at, cause)) = job.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(IndexError::Unreadable { path: place(folder, &files[at]), cause });
    }
    for (at, digest) in job.results.into_inner().unwrap_or_else(PoisonError::into_inner) {
        digests[at] = Some(digest);
    }
    let digests: Vec<Digest> = digests.into_iter().flatten().collect();
    Ok(Hashed { digests, read: to_read.len(), bytes: job.bytes.into_inner() })
}

/// What the threads share.
struct Job {
    /// How many files have been begun.
    next: AtomicUsize,
    done: AtomicU64,
    bytes: AtomicU64,
    results: Mutex<Vec<(usize, Digest)>>,
    /// The first file in order that could not be read.
    failure: Mutex<Option<(usize, io::Error)>>,
}

impl Job {
    fn work(&self, folder: &Path, files: &[FoundFile], to_read: &[usize], on_file: &dyn Fn(u64)) {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut results = Vec::new();
        while let Some(&at) = to_read.get(self.next.fetch_add(1, Relaxed)) {
            match digest(&place(folder, &files[at]), &mut buffer) {
                Ok((digest, bytes)) => {
                    results.push((at, digest));
                    self.bytes.fetch_add(bytes, Relaxed);
                    on_file(self.done.fetch_add(1, Relaxed) + 1);
                }
                Err(cause) => {
                    // Nobody begins another file.
                    self.next.store(to_read.len(), Relaxed);
                    let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    if failure.as_ref().is_none_or(|(known, _)| at < *known) {
                        *failure = Some((at, cause));
                    }
                    break;
                }
            }
        }
        self.results.lock().unwrap_or_else(PoisonError::into_inner).append(&mut results);
    }
}

fn digest(path: &Path, buffer: &mut [u8]) -> io::Result<(Digest, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok((Digest::from_bytes(hasher.finalize().into()), bytes)),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
