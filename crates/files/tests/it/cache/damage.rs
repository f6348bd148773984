//! A file that is not what its name says is never given out.

use super::{cache, content, place, put, tree};
use callsheet_files::{Cache, Damaged};
use callsheet_types::Digest;
use std::{fs, path::Path};

/// Ways to damage a file of at least three bytes.
fn damages(bytes: &[u8]) -> Vec<Vec<u8>> {
    let flipped = |at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let mut damages = vec![
        flipped(0),
        flipped(bytes.len() / 2),
        flipped(bytes.len() - 1),
        bytes[..bytes.len() - 1].to_vec(),
        bytes[1..].to_vec(),
        Vec::new(),
        [bytes, b"x"].concat(),
        [bytes, bytes].concat(),
    ];
    // On both sides of where one block ends and the next begins.
    let block = 256 * 1024;
    damages.extend([block - 1, block].into_iter().filter(|at| *at < bytes.len()).map(flipped));
    damages
}

fn damage(cache: &Cache, digest: &Digest, bytes: &[u8]) {
    fs::write(place(cache, digest), bytes).unwrap();
}

#[test]
fn a_damaged_file_is_missing_and_gone() {
    let (folder, cache) = cache();
    let copy = folder.path().join("copy");
    let good = put(&cache, b"good");
    for length in [3, 1000, 256 * 1024, 256 * 1024 + 1, 1_500_000] {
        let bytes = content(length, 3);
        let digest = put(&cache, &bytes);
        for damaged in damages(&bytes) {
            damage(&cache, &digest, &damaged);
            assert!(cache.has(&digest));
            assert!(cache.read(&digest).unwrap().is_none());
            assert!(!cache.has(&digest), "it is removed");
            put(&cache, &bytes);

            damage(&cache, &digest, &damaged);
            assert!(!cache.copy_to(&digest, &copy).unwrap());
            assert!(!copy.exists());
            assert!(!cache.has(&digest), "it is removed");
            put(&cache, &bytes);
            assert!(cache.copy_to(&digest, &copy).unwrap());
            assert!(fs::read(&copy).unwrap() == bytes);
            fs::remove_file(&copy).unwrap();
        }
    }
    assert!(cache.has(&good));
    assert_eq!(tree(&cache.root().join("tmp")), [""; 0]);
}

#[test]
fn a_file_of_another_length_is_put_anew() {
    let (_folder, cache) = cache();
    let digest = put(&cache, b"whole");
    damage(&cache, &digest, b"who");
    put(&cache, b"whole");
    assert_eq!(cache.read(&digest).unwrap().unwrap(), b"whole");
}

#[test]
fn verify_finds_each_damaged_file_and_no_other() {
    let (_folder, cache) = cache();
    let digests: Vec<_> = (0..50).map(|seed| put(&cache, &content(3000, seed))).collect();
    for digest in &digests[..3] {
        damage(&cache, digest, b"damaged");
    }
    let mut expected: Vec<_> = digests[..3]
        .iter()
        .map(|digest| Damaged { expected: *digest, got: Some(Digest::of(b"damaged")) })
        .collect();
    expected.sort_by_key(|damaged| damaged.expected);

    let heard = std::cell::RefCell::new(Vec::new());
    let hear = |done, total| heard.borrow_mut().push((done, total));
    let (stats, damaged) = cache.verify(true, &hear).unwrap();
    assert_eq!((stats.files, stats.bytes), (47, 47 * 3000));
    assert_eq!(damaged, expected);
    assert_eq!(heard.take(), (1..=50).map(|done| (done, 50)).collect::<Vec<_>>());
    assert_eq!(cache.stats().unwrap().files, 50, "a dry run removes nothing");

    assert_eq!(cache.verify(false, &|_, _| ()).unwrap().1, expected);
    assert_eq!(cache.stats().unwrap().files, 47);
    assert_eq!(cache.verify(false, &|_, _| ()).unwrap().1, []);
    assert!(digests[3..].iter().all(|digest| cache.has(digest)));
}

#[test]
fn a_copy_never_writes_over_something() {
    let (folder, cache) = cache();
    let digest = put(&cache, b"new");
    let to = folder.path().join("file");
    fs::write(&to, "old").unwrap();
    let error = cache.copy_to(&digest, &to).unwrap_err();
    assert!(error.to_string().contains(to.to_str().unwrap()), "{error}");
    assert_eq!(fs::read(&to).unwrap(), b"old");
    let nowhere = folder.path().join("no/such/folder/file");
    let error = cache.copy_to(&digest, &nowhere).unwrap_err();
    assert!(error.to_string().contains(nowhere.to_str().unwrap()), "{error}");
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_read() {
    let (folder, cache) = cache();
    let digest = put(&cache, b"content");
    let path = place(&cache, &digest);
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    let check = |cache: &Cache, path: &Path| {
        assert!(!cache.has(&digest));
        assert!(cache.read(&digest).unwrap().is_none());
        assert!(!cache.copy_to(&digest, &folder.path().join("copy")).unwrap());
        assert_eq!(cache.stats().unwrap().files, 0);
        assert!(cache.verify(false, &|_, _| ()).unwrap().1.is_empty());
        assert!(fs::symlink_metadata(path).is_ok(), "it is left alone");
    };
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    check(&cache, &path);
    put(&cache, b"content");
    assert!(fs::symlink_metadata(&path).unwrap().is_file(), "putting it takes the place");
    assert_eq!(fs::read(&elsewhere).unwrap(), b"content");

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    check(&cache, &path);
    let error = cache.put(&mut &b"content"[..], None, 100).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}
