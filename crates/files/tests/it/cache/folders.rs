//! The folder of a cache: what is made in it, for whom, and what happens where it cannot be.

use super::{NO_LIMIT, cache, content, place, put, tree};
use callsheet_files::{Cache, CacheError, Existing, copy_out};
use callsheet_types::{Digest, FilePath};
use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

const TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n";

/// Where a process that a test starts works.
const FOLDER: &str = "CALLSHEET_FILES_TEST_FOLDER";

/// Returns the folder, in a process that a test started.
pub(crate) fn folder_of_child() -> Option<PathBuf> {
    env::var_os(FOLDER).map(PathBuf::from)
}

/// Runs a test of a binary once more.
pub(crate) fn run_again(exe: &Path, name: &str, folder: &Path) -> Command {
    let mut command = Command::new(exe);
    command.args(["--exact", name, "--nocapture"]).env(FOLDER, folder);
    command
}

/// Runs a test of this binary once more, after a script has prepared something.
fn run_after(before: &[&str], script: &str, name: &str, folder: &Path) -> Command {
    let script = format!("{script}; exec \"$0\" \"$@\"");
    let words = [before, &["sh", "-c", &script]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(FOLDER, folder);
    command
}

#[test]
fn backup_programs_are_told_what_can_be_made_again() {
    let (folder, cache) = cache();
    put(&cache, b"content");
    assert!(fs::read(cache.root().join("CACHEDIR.TAG")).unwrap().starts_with(TAG));

    // But not that of a folder that holds more than the cache.
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("mine"), "mine").unwrap();
    put(&Cache::open(&shared), b"content");
    assert!(!shared.join("CACHEDIR.TAG").exists());
    assert!(fs::read(shared.join("files/CACHEDIR.TAG")).unwrap().starts_with(TAG));
}

#[test]
fn a_cache_that_is_removed_is_made_again() {
    let (_folder, cache) = cache();
    let mut batch = cache.batch();
    put(&cache, b"one");
    fs::remove_dir_all(cache.root()).unwrap();
    batch.put(&mut &b"two"[..], None, NO_LIMIT).unwrap();
    fs::remove_dir_all(cache.root().join("files")).ok();
    batch.commit().unwrap();
    let digest = put(&cache, b"three");
    fs::remove_dir_all(cache.root().join("tmp")).unwrap();
    fs::write(place(&cache, &digest), "damaged").unwrap();
    assert!(cache.read(&digest).unwrap().is_none());
    assert!(!cache.has(&digest));
    assert_eq!(cache.stats().unwrap().files, 1);
}

#[cfg(unix)]
#[test]
fn files_are_for_everybody_whom_the_umask_allows() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    if let Some(folder) = folder_of_child() {
        let cache = Cache::open(&folder.join("cache"));
        let small = put(&cache, b"content");
        let large = put(&cache, &content(1_100_000, 1));
        for (name, digest) in [("small", small), ("large", large)] {
            cache.copy_to(&digest, &folder.join(name)).unwrap();
        }
        let files = [(FilePath::new("a/b").unwrap(), small)];
        copy_out(&cache, &files, &folder.join("work/x"), Existing::Refuse).unwrap();
        return;
    }
    for (umask, file, sub) in [("022", 0o644, 0o755), ("002", 0o644, 0o775), ("077", 0o600, 0o700)]
    {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("umask {umask}");
        let name = "cache::folders::files_are_for_everybody_whom_the_umask_allows";
        let status = run_after(&[], &script, name, folder.path()).status().unwrap();
        assert!(status.success());
        for path in tree(folder.path()) {
            let expected = if path.ends_with('/') { sub } else { file };
            assert_eq!(mode(&folder.path().join(&path)), expected, "{path} under {umask}");
        }
        assert!(folder.path().join("work/x/a/b").exists());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_harms_nothing() {
    if let Some(folder) = folder_of_child() {
        let disk = folder.join("disk");
        let cache = Cache::open(&disk.join("cache"));
        let digest = put(&cache, b"content");
        let is_full = |error: &CacheError| match error {
            CacheError::Io { path, cause } => {
                path.starts_with(cache.root()) && cause.kind() == io::ErrorKind::StorageFull
            }
            _ => false,
        };
        for length in [900_000, 4_000_000] {
            let error = cache.put(&mut &*content(length, 1), None, NO_LIMIT).unwrap_err();
            assert!(is_full(&error), "{error:?}");
        }
        let mut batch = cache.batch();
        let put_all = (0..100).try_for_each(|seed| {
            batch.put(&mut &*content(20_000, seed), None, NO_LIMIT).map(|_| ())
        });
        assert!(is_full(&put_all.unwrap_err()));
        drop(batch);
        assert_eq!(tree(&cache.root().join("tmp")), [""; 0]);
        assert_eq!(cache.read(&digest).unwrap().unwrap(), b"content");

        let roomy = Cache::open(&folder.join("cache"));
        let files = [
            (FilePath::new("a/small").unwrap(), put(&roomy, b"content")),
            (FilePath::new("a/large").unwrap(), put(&roomy, &content(900_000, 1))),
        ];
        let work = disk.join("work");
        for is_there in [false, true] {
            if is_there {
                fs::create_dir(&work).unwrap();
                fs::write(work.join("mine"), "mine").unwrap();
            }
            let before = tree(&disk);
            let error = copy_out(&roomy, &files, &work, Existing::Replace).unwrap_err();
            assert!(error.to_string().contains(work.join("a/large").to_str().unwrap()), "{error}");
            assert_eq!(tree(&disk), before);
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = format!("mount -t tmpfs -o size=512k tmpfs '{}' || exit 77", disk.display());
    let name = "cache::folders::a_full_disk_is_an_error_and_harms_nothing";
    let status = run_after(&["unshare", "--mount"], &mount, name, folder.path())
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .status();
    match status {
        Ok(status) if status.success() => {}
        // What a test reports itself when it fails.
        Ok(status) if status.code() == Some(101) => panic!("the test on a full disk failed"),
        other => eprintln!("skipped: no small disk can be mounted here: {other:?}"),
    }
}

/// A folder that another process may only read; it is a cache with one good and one damaged file.
#[cfg(unix)]
#[test]
fn a_cache_that_can_only_be_read_is_read() {
    use crate::copy::permissions::{as_nobody, forbid_writing};
    if let Some(folder) = folder_of_child() {
        let cache = Cache::open(&folder.join("cache"));
        let (good, bad) = (Digest::of(b"good"), Digest::of(b"bad"));
        assert_eq!(cache.read(&good).unwrap().unwrap(), b"good");
        assert!(cache.copy_to(&good, &folder.join("out/copy")).unwrap());
        assert_eq!(cache.stats().unwrap().files, 2);
        assert_eq!(cache.verify(true, &|_, _| ()).unwrap().1.len(), 1);
        cache.put(&mut &b"good"[..], Some(good), NO_LIMIT).unwrap();
        let none = [].into();
        let errors = [
            cache.read(&bad).unwrap_err(),
            cache.put(&mut &b"new"[..], None, NO_LIMIT).unwrap_err(),
            cache.gc(&none, false).unwrap_err(),
            cache.verify(false, &|_, _| ()).unwrap_err(),
        ];
        for error in errors {
            let CacheError::Io { path, cause } = error else { panic!("{error:?}") };
            assert!(path.starts_with(cache.root()), "{}", path.display());
            assert_eq!(cause.kind(), io::ErrorKind::PermissionDenied);
        }
        return;
    }
    let (folder, cache) = cache();
    put(&cache, b"good");
    let bad = put(&cache, b"bad");
    fs::write(place(&cache, &bad), "worse").unwrap();
    let name = "cache::folders::a_cache_that_can_only_be_read_is_read";
    let writable = ["out"];
    let forbidden = forbid_writing(cache.root());
    as_nobody(name, folder.path(), &writable);
    drop(forbidden);
}
