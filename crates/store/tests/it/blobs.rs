//! Blobs in a folder.

use callsheet_store::{Blobs, BlobsUrl, StoreError};
use callsheet_types::Digest;
use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

/// The files below a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    found
}

fn in_folder(folder: &Path) -> Blobs {
    Blobs::open(&BlobsUrl::Directory(folder.to_owned())).unwrap()
}

#[test]
fn a_folder_has_one_file_for_each_blob_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("not/yet/there");
    let blobs = in_folder(&root);
    assert_eq!(blobs.list().unwrap(), []);
    assert!(!root.exists(), "reading makes nothing");
    let digest = blobs.put(b"abc").unwrap();
    let path =
        root.join("sha256/ba/7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(files(&root), [path.display().to_string()]);
    let written = || path.metadata().unwrap().modified().unwrap();
    let first = written();
    assert_eq!(in_folder(&root).put(b"abc").unwrap(), digest);
    assert_eq!(written(), first, "the same again writes nothing");
}

#[test]
fn a_damaged_file_is_found_and_mended_by_putting_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = in_folder(folder.path());
    let digest = blobs.put(b"abc").unwrap();
    let path = files(folder.path()).remove(0);
    for damaged in ["abd", "ab", "", "abcd"] {
        fs::write(&path, damaged).unwrap();
        let error = blobs.get(&digest).unwrap_err();
        assert!(matches!(error, StoreError::DamagedBlob { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.contains(&digest.to_string()) && said.contains(&path), "{said}");
        assert!(blobs.has(&digest).unwrap(), "only reading finds out");
        blobs.put(b"abc").unwrap();
        assert_eq!(blobs.get(&digest).unwrap().unwrap(), b"abc");
    }
}

#[test]
fn what_a_killed_process_left_behind_is_cleared_away_after_a_day() {
    let folder = tempfile::tempdir().unwrap();
    in_folder(folder.path()).put(b"abc").unwrap();
    let left = |name: &str, hours: u64| {
        let path = folder.path().join("sha256/ba").join(name);
        let file = fs::File::create(&path).unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_hours(hours);
        file.set_modified(then).unwrap();
        path
    };
    let (old, new) = (left(".unfinished-old", 25), left(".unfinished-new", 23));
    in_folder(folder.path()).put(b"another").unwrap();
    assert_eq!((old.exists(), new.exists()), (false, true));
}

#[test]
fn a_folder_that_cannot_be_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let blobs = in_folder(&file.join("blobs"));
    let error = blobs.put(b"abc").unwrap_err();
    assert!(matches!(error, StoreError::File { .. }), "{error:?}");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    // Something that is there but is no file is not "nothing there".
    let blobs = in_folder(folder.path());
    let digest = Digest::of(b"abc");
    let hex = digest.hex();
    fs::create_dir_all(folder.path().join("sha256").join(&hex[..2]).join(&hex[2..])).unwrap();
    blobs.get(&digest).unwrap_err();
    blobs.put(b"abc").unwrap_err();
    assert_eq!(files(folder.path()), [file.display().to_string()], "nothing unfinished stays");
}

/// Where a process that the test kills puts blobs.
const FOLDER: &str = "CALLSHEET_STORE_TEST_BLOBS";

#[test]
fn a_process_that_is_killed_leaves_whole_blobs_only() {
    if let Some(folder) = env::var_os(FOLDER) {
        let blobs = in_folder(Path::new(&folder));
        for i in 0_u32.. {
            blobs.put(&i.to_le_bytes().repeat(20_000)).unwrap();
            println!("put");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for killed_after in 1..=10 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "blobs::a_process_that_is_killed_leaves_whole_blobs_only"])
            .arg("--nocapture")
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let puts = said.map_while(Result::ok).filter(|line| line.ends_with("put"));
        assert_eq!(puts.take(killed_after).count(), killed_after);
        child.kill().unwrap();
        child.wait().unwrap();
        let blobs = in_folder(folder.path());
        let kept = blobs.list().unwrap();
        assert!(kept.len() >= killed_after, "what was said to be put is there");
        for digest in kept {
            blobs.get(&digest).unwrap().unwrap();
        }
    }
}
