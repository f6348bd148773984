//! What is removed from a cache, and what is left alone.

use super::{NO_LIMIT, cache, content, place, put, tree};
use callsheet_files::{Cache, CacheStats, Removed};
use callsheet_types::Digest;
use std::{
    collections::HashSet,
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

fn age(path: &Path, hours: u64) {
    let then = SystemTime::now() - Duration::from_hours(hours);
    File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn what_is_not_kept_goes_and_nothing_else() {
    let (_folder, cache) = cache();
    let digests: Vec<_> = (0..30).map(|seed| put(&cache, &content(100, seed))).collect();
    let keep: HashSet<Digest> = digests[..10].iter().copied().collect();
    let expected = Removed { files: 20, bytes: 2000, kept_files: 10, kept_bytes: 1000 };
    assert_eq!(cache.gc(&keep, true).unwrap(), expected);
    assert_eq!(cache.stats().unwrap().files, 30, "a dry run removes nothing");
    assert_eq!(cache.gc(&keep, false).unwrap(), expected);
    let again = Removed { files: 0, bytes: 0, ..expected };
    assert_eq!(cache.gc(&keep, false).unwrap(), again);
    assert!(digests.iter().all(|digest| cache.has(digest) == keep.contains(digest)));
    let folders: HashSet<_> = keep.iter().map(|digest| digest.hex()[..2].to_owned()).collect();
    let left = fs::read_dir(cache.root().join("files/sha256")).unwrap().count();
    assert_eq!(left, folders.len(), "empty folders go");
    put(&cache, &content(100, 29));
}

#[test]
fn exactly_these_files_are_removed() {
    let (_folder, cache) = cache();
    let digests: Vec<_> = (0..5).map(|seed| put(&cache, &content(100, seed))).collect();
    let these = HashSet::from([digests[0], digests[3], Digest::of(b"not there")]);
    let expected = Removed { files: 2, bytes: 200, kept_files: 3, kept_bytes: 300 };
    assert_eq!(cache.remove(&these, true).unwrap(), expected);
    assert_eq!(cache.stats().unwrap().files, 5);
    assert_eq!(cache.remove(&these, false).unwrap(), expected);
    assert!(digests.iter().all(|digest| cache.has(digest) != these.contains(digest)));
}

#[test]
fn a_cache_that_does_not_exist_is_empty() {
    let (_folder, cache) = cache();
    let nothing = HashSet::new();
    assert_eq!(cache.stats().unwrap(), CacheStats::default());
    assert_eq!(cache.gc(&nothing, false).unwrap(), Removed::default());
    assert_eq!(cache.remove(&nothing, false).unwrap(), Removed::default());
    assert_eq!(cache.verify(false, &|_, _| ()).unwrap(), (CacheStats::default(), vec![]));
    assert!(!cache.root().exists());
}

#[test]
fn what_was_left_behind_goes_when_it_is_old() {
    let (_folder, cache) = cache();
    put(&cache, b"content");
    let mut batch = cache.batch();
    batch.put(&mut &b"on its way"[..], None, NO_LIMIT).unwrap();
    let tmp = cache.root().join("tmp");
    fs::write(tmp.join("killed"), "1234").unwrap();
    age(&tmp.join("killed"), 25);

    let download = |name: &str, hours: u64, note_hours: u64| {
        let path = cache.partial(name).unwrap();
        let note = path.with_file_name(format!("{name}.json"));
        fs::write(&path, "12").unwrap();
        fs::write(&note, "{}").unwrap();
        age(&path, hours);
        age(&note, note_hours);
        path
    };
    let old = download("old", 25, 26);
    // The note is written once, the download goes on.
    let young = download("young", 1, 30);
    let locked = download("locked", 30, 30);
    let lock = File::open(&locked).unwrap();
    lock.try_lock().unwrap();

    cache.keep_derived("month", b"123");
    cache.keep_derived("used", b"123");
    cache.keep_derived("new", b"123");
    for name in ["month", "used"] {
        age(&cache.root().join("derived").join(name), 31 * 24);
    }
    assert_eq!(cache.derived("used").unwrap(), b"123");

    let keep = HashSet::from([Digest::of(b"content")]);
    let expected = Removed { files: 4, bytes: 4 + 2 + 2 + 3, kept_files: 1, kept_bytes: 7 };
    assert_eq!(cache.gc(&keep, true).unwrap(), expected);
    assert_eq!(cache.gc(&keep, false).unwrap(), expected);
    assert!(!old.exists());
    assert!(young.exists() && young.with_file_name("young.json").exists());
    assert!(locked.exists() && locked.with_file_name("locked.json").exists());
    assert_eq!(tree(&cache.root().join("derived")), ["new", "used"]);
    assert_eq!(tree(&tmp).len(), 1);
    batch.commit().unwrap();
    assert!(cache.has(&Digest::of(b"on its way")));
}

#[test]
fn what_others_put_into_the_folder_is_left_alone() {
    let (folder, cache) = cache();
    let digest = put(&cache, b"content");
    let root = cache.root();
    let hex = Digest::of(b"other").hex();
    let foreign = [
        "notes.txt",
        "files/notes.txt",
        "files/sha256/notes.txt",
        "files/sha256/zz/notes.txt",
        &format!("files/sha256/{}/notes", &hex[..2]),
        &format!("files/sha256/{}/{}", &hex[..2], hex[2..].to_uppercase()),
        &format!("files/sha256/{}/{}0", &hex[..2], &hex[2..]),
        &format!("files/md5/{}/{}", &hex[..2], &hex[2..]),
    ];
    for path in foreign {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), "mine").unwrap();
    }
    #[cfg(unix)]
    {
        // Folders that look like the cache's, behind links.
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join(&hex[2..]), "mine").unwrap();
        age(&outside.join(&hex[2..]), 1000);
        for link in ["files/sha256/00", "partial", "derived"] {
            std::os::unix::fs::symlink(&outside, root.join(link)).unwrap();
        }
    }
    let before = tree(folder.path());
    let stats = cache.stats().unwrap();
    assert_eq!((stats.files, stats.partial_files), (1, 0));
    assert_eq!(cache.verify(false, &|_, _| ()).unwrap().1, []);
    let removed = cache.gc(&HashSet::from([digest]), false).unwrap();
    assert_eq!(removed, Removed { files: 0, bytes: 0, kept_files: 1, kept_bytes: 7 });
    assert_eq!(tree(folder.path()), before);
    cache.gc(&HashSet::new(), false).unwrap();
    assert!(foreign.iter().all(|path| root.join(path).exists()));
    assert!(!place(&cache, &digest).exists());
}

#[test]
fn a_root_that_is_no_folder_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("file");
    fs::write(&root, "mine").unwrap();
    let cache = Cache::open(&root);
    let digest = Digest::of(b"x");
    let none = HashSet::new();
    let errors = [
        cache.put(&mut &b"x"[..], None, NO_LIMIT).unwrap_err(),
        cache.read(&digest).unwrap_err(),
        cache.copy_to(&digest, &folder.path().join("copy")).unwrap_err(),
        cache.partial("x").unwrap_err(),
        cache.stats().unwrap_err(),
        cache.gc(&none, false).unwrap_err(),
        cache.remove(&none, false).unwrap_err(),
        cache.verify(false, &|_, _| ()).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains(root.to_str().unwrap()), "{error}");
    }
    assert!(!cache.has(&digest));
    cache.keep_derived("x", b"x");
    assert_eq!(cache.derived("x"), None);
    assert_eq!(fs::read(&root).unwrap(), b"mine");
}
