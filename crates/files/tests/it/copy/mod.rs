//! Copies into workspaces.

mod existing;
mod ground;
pub(crate) mod permissions;

use crate::cache::{put, tree};
use callsheet_files::{Cache, CopyError, Existing, copy_out};
use callsheet_types::{Digest, FilePath};
use std::{fs, path::Path};

pub(crate) fn file(cache: &Cache, path: &str, bytes: &[u8]) -> (FilePath, Digest) {
    (FilePath::new(path).unwrap(), put(cache, bytes))
}

/// The files of a small model.
pub(crate) fn model(cache: &Cache) -> Vec<(FilePath, Digest)> {
    vec![
        file(cache, "mfsim.nam", b"BEGIN options\nEND options\n"),
        file(cache, "model.dis", &vec![7; 300_000]),
        file(cache, "data/deep/wel.txt", b"1 1 1 -5.0\n"),
        file(cache, "data/copy.txt", b"1 1 1 -5.0\n"),
        file(cache, "empty.txt", b""),
    ]
}

pub(crate) const MODEL_TREE: [&str; 7] = [
    "data/",
    "data/copy.txt",
    "data/deep/",
    "data/deep/wel.txt",
    "empty.txt",
    "mfsim.nam",
    "model.dis",
];
pub(crate) const MODEL_BYTES: u64 = 26 + 300_000 + 11 + 11;

#[track_caller]
pub(crate) fn check_model(workspace: &Path) {
    assert_eq!(tree(workspace), MODEL_TREE);
    assert_eq!(fs::read(workspace.join("data/deep/wel.txt")).unwrap(), b"1 1 1 -5.0\n");
    assert!(fs::read(workspace.join("model.dis")).unwrap() == vec![7; 300_000]);
}

#[test]
fn files_that_are_missing_or_damaged_are_named_and_nothing_is_written() {
    for workspace_exists in [false, true] {
        let (folder, cache) = crate::cache::cache();
        let workspace = folder.path().join("work");
        if workspace_exists {
            fs::create_dir(&workspace).unwrap();
            fs::write(workspace.join("mine"), "mine").unwrap();
        }
        let before = tree(folder.path());
        let check = |files: &[(FilePath, Digest)], missing: &[&str]| {
            let error = copy_out(&cache, files, &workspace, Existing::Refuse).unwrap_err();
            let CopyError::Missing(names) = error else { panic!("{error:?}") };
            assert_eq!(names, missing);
            let outside_cache =
                |tree: Vec<String>| tree.into_iter().filter(|path| !path.starts_with("cache/"));
            assert!(outside_cache(tree(folder.path())).eq(outside_cache(before.clone())));
        };
        let mut files = model(&cache);
        fs::write(crate::cache::place(&cache, &files[1].1), vec![8; 300_000]).unwrap();
        check(&files, &["model.dis"]);
        check(&files, &["model.dis"]);
        // Who fetches what is named must not meet another damaged file then.
        files = model(&cache);
        fs::write(crate::cache::place(&cache, &files[0].1), "damaged").unwrap();
        files.push((FilePath::new("nowhere").unwrap(), Digest::of(b"nowhere")));
        check(&files, &["mfsim.nam", "nowhere"]);
        files.pop();
        model(&cache);
        copy_out(&cache, &files, &workspace, Existing::Refuse).unwrap();
    }
}

#[test]
fn files_that_would_be_one_are_refused() {
    let (folder, cache) = crate::cache::cache();
    let workspace = folder.path().join("work");
    let copy = |paths: &[(&str, &str)]| {
        let files: Vec<_> =
            paths.iter().map(|(path, bytes)| file(&cache, path, bytes.as_bytes())).collect();
        copy_out(&cache, &files, &workspace, Existing::Refuse)
    };
    for (one, other) in [("a/b", "A/b"), ("ä.dis", "Ä.dis"), ("x", "x")] {
        let error = copy(&[(one, "1"), ("other", ""), (other, "2")]).unwrap_err();
        let CopyError::SameName(first, second) = error else { panic!("{error:?}") };
        assert_eq!((first.as_str(), second.as_str()), (one, other));
    }
    for (name, below) in [("a", "a/b"), ("A", "a/b/c"), ("a/B", "a/b/c")] {
        let error = copy(&[(name, "1"), (below, "2")]).unwrap_err();
        let CopyError::NoFolder { path } = error else { panic!("{error:?}") };
        assert_eq!(path, workspace.join(name));
        assert!(copy(&[(below, "2"), (name, "1")]).is_err());
    }
    assert!(!workspace.exists());
    let placed = copy(&[("x", "1"), ("x", "1")]).unwrap();
    assert_eq!((placed.written, placed.unchanged, placed.bytes), (1, 0, 1));
}
