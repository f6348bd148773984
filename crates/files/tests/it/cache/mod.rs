//! The cache, as other parts see it.

mod damage;
pub(crate) mod folders;
mod processes;
mod sweeping;

use callsheet_files::{Cache, CacheError};
use callsheet_types::Digest;
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

pub(crate) const NO_LIMIT: u64 = u64::MAX;

pub(crate) fn cache() -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("cache"));
    (folder, cache)
}

pub(crate) fn put(cache: &Cache, bytes: &[u8]) -> Digest {
    let digest = Digest::of(bytes);
    let put = cache.put(&mut &*bytes, Some(digest), NO_LIMIT).unwrap();
    assert_eq!(put, (digest, bytes.len() as u64));
    digest
}

/// Where the documented layout has a file.
pub(crate) fn place(cache: &Cache, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    cache.root().join("files/sha256").join(&hex[..2]).join(&hex[2..])
}

/// Bytes that differ from place to place.
pub(crate) fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

/// Returns all paths below a folder, sorted; folders end with a slash.
pub(crate) fn tree(folder: &Path) -> Vec<String> {
    fn add(folder: &Path, prefix: &str, paths: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                paths.push(format!("{path}/"));
                add(&entry.path(), &format!("{path}/"), paths);
            } else {
                paths.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    add(folder, "", &mut paths);
    paths.sort();
    paths
}

/// Around the lengths at which a file is handled in another way.
const LENGTHS: [usize; 9] = [
    0,
    1,
    1000,
    256 * 1024 - 1,
    256 * 1024,
    256 * 1024 + 1,
    (1 << 20) - 1,
    (1 << 20) + 1,
    3_000_000,
];

#[test]
fn what_is_put_is_read_and_copied() {
    let (folder, cache) = cache();
    for (number, length) in LENGTHS.into_iter().enumerate() {
        let bytes = content(length, 1);
        let digest = Digest::of(&bytes);
        assert!(!cache.has(&digest));
        assert!(cache.read(&digest).unwrap().is_none());
        assert!(!cache.copy_to(&digest, &folder.path().join("none")).unwrap());
        put(&cache, &bytes);
        assert!(cache.has(&digest));
        assert_eq!(fs::read(place(&cache, &digest)).unwrap(), bytes);
        assert!(cache.read(&digest).unwrap().is_some_and(|read| read == bytes), "{length}");
        let copy = folder.path().join(number.to_string());
        assert!(cache.copy_to(&digest, &copy).unwrap());
        assert!(fs::read(&copy).unwrap() == bytes, "{length}");
    }
    assert!(!folder.path().join("none").exists());
    assert_eq!(tree(&cache.root().join("tmp")), [""; 0]);
}

#[test]
fn the_same_again_writes_nothing() {
    let (_folder, cache) = cache();
    for length in [1000, 3_000_000] {
        let bytes = content(length, 1);
        let path = place(&cache, &put(&cache, &bytes));
        let before = fs::metadata(&path).unwrap();
        put(&cache, &bytes);
        let mut batch = cache.batch();
        batch.put(&mut &*bytes, None, NO_LIMIT).unwrap();
        batch.commit().unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!(before.modified().unwrap(), after.modified().unwrap());
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::MetadataExt::ino(&before),
            std::os::unix::fs::MetadataExt::ino(&after)
        );
    }
    assert_eq!(cache.stats().unwrap().files, 2);
}

#[test]
fn bytes_that_are_not_what_they_should_be_are_refused() {
    let (_folder, cache) = cache();
    for length in LENGTHS {
        let bytes = content(length, 1);
        let expected = Digest::of(b"something else");
        let error = cache.put(&mut &*bytes, Some(expected), NO_LIMIT).unwrap_err();
        let got = Digest::of(&bytes);
        assert!(
            matches!(error, CacheError::WrongDigest { expected: e, got: g } if e == expected && g == got)
        );
        if length > 0 {
            let max_bytes = length as u64 - 1;
            let error = cache.put(&mut &*bytes, Some(got), max_bytes).unwrap_err();
            assert!(matches!(error, CacheError::TooLong { max_bytes: max } if max == max_bytes));
        }
        assert!(cache.put(&mut &*bytes, Some(got), length as u64).is_ok());
        cache.remove(&[got].into(), false).unwrap();
    }
    let endless = cache.put(&mut io::repeat(7), None, 5_000_000).unwrap_err();
    assert!(matches!(endless, CacheError::TooLong { max_bytes: 5_000_000 }));
    assert_eq!(cache.stats().unwrap().files, 0);
    assert_eq!(tree(&cache.root().join("tmp")), [""; 0]);
}

/// Gives some bytes, and then fails.
struct Breaking(u64);

impl Read for Breaking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = (self.0 as usize).min(buffer.len());
        self.0 -= length as u64;
        buffer[..length].fill(1);
        if length == 0 { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(length) }
    }
}

#[test]
fn content_that_breaks_off_is_not_kept() {
    let (_folder, cache) = cache();
    for length in [0, 1000, 3_000_000] {
        let error = cache.put(&mut Breaking(length), None, NO_LIMIT).unwrap_err();
        assert!(
            matches!(error, CacheError::Content(e) if e.kind() == io::ErrorKind::ConnectionReset)
        );
    }
    assert_eq!(cache.stats().unwrap().files, 0);
    if cache.root().exists() {
        assert_eq!(tree(&cache.root().join("tmp")), [""; 0]);
    }
}

#[test]
fn a_batch_is_seen_when_it_is_committed() {
    let (_folder, cache) = cache();
    let contents: Vec<_> = (0..40).map(|seed| content(5000, seed % 30)).collect();
    let mut batch = cache.batch();
    for bytes in &contents {
        batch.put(&mut &**bytes, Some(Digest::of(bytes)), NO_LIMIT).unwrap();
    }
    assert_eq!(tree(&cache.root().join("tmp")).len(), 30, "equal contents are written once");
    assert_eq!(cache.stats().unwrap().files, 0);
    batch.commit().unwrap();
    assert_eq!(cache.stats().unwrap().files, 30);
    for bytes in &contents {
        assert_eq!(cache.read(&Digest::of(bytes)).unwrap().as_ref(), Some(bytes));
    }
    assert_eq!(tree(&cache.root().join("tmp")), [""; 0]);
}

#[test]
fn a_batch_that_is_dropped_leaves_nothing() {
    let (_folder, cache) = cache();
    let mut batch = cache.batch();
    for seed in 0..20 {
        batch.put(&mut &*content(100, seed), None, NO_LIMIT).unwrap();
    }
    batch.put(&mut io::repeat(1).take(2_000_000), None, NO_LIMIT).unwrap();
    assert!(batch.put(&mut &b"x"[..], Some(Digest::of(b"y")), NO_LIMIT).is_err());
    drop(batch);
    assert_eq!(cache.stats().unwrap().files, 0);
    assert_eq!(tree(&cache.root().join("tmp")), [""; 0]);
}

#[test]
fn a_batch_stays_bounded() {
    let (_folder, cache) = cache();
    let mut batch = cache.batch();
    for number in 0..4100_u32 {
        batch.put(&mut &number.to_le_bytes()[..], None, NO_LIMIT).unwrap();
    }
    assert_eq!(cache.stats().unwrap().files, 4096);
    drop(batch);
    assert_eq!(cache.stats().unwrap().files, 4096);
}

#[test]
fn what_is_derived_is_replaced_and_told_apart_by_any_name() {
    let (_folder, cache) = cache();
    let long = "x".repeat(1000);
    let names = ["a", "A", "a/b", "../a", "", ".", "nul", "ä b:c\0", "registry-1.bin", &long];
    for name in names {
        assert_eq!(cache.derived(name), None);
        cache.keep_derived(name, b"old");
        cache.keep_derived(name, name.as_bytes());
    }
    for name in names {
        assert_eq!(cache.derived(name).unwrap(), name.as_bytes());
    }
    let derived = tree(&cache.root().join("derived"));
    assert_eq!(derived.len(), names.len());
    let mut folded: Vec<_> = derived.iter().map(|name| name.to_lowercase()).collect();
    folded.sort();
    folded.dedup();
    assert_eq!(folded.len(), names.len(), "also where case does not count");
}

#[test]
fn downloads_that_may_break_off_have_places_of_their_own() {
    let (_folder, cache) = cache();
    let names = ["https://x/a?b", "https://x/A?b", "../../a", "a"];
    let paths: Vec<_> = names.map(|name| cache.partial(name).unwrap()).to_vec();
    for (path, name) in paths.iter().zip(names) {
        assert_eq!(path.parent().unwrap(), cache.root().join("partial"));
        assert_eq!(&cache.partial(name).unwrap(), path);
        fs::write(path, name).unwrap();
        fs::write(format!("{}.json", path.display()), "{}").unwrap();
    }
    let stats = cache.stats().unwrap();
    assert_eq!(stats.partial_files, 4);
    assert_eq!(stats.partial_bytes, names.iter().map(|name| name.len() as u64).sum::<u64>());
}
