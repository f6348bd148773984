//! Where a workspace may be.

use super::{MODEL_BYTES, check_model, model};
use crate::cache::{cache, tree};
use callsheet_files::{CopyError, Existing, Placed, copy_out};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const WRITTEN: Placed = Placed { written: 5, unchanged: 0, bytes: MODEL_BYTES };
const UNCHANGED: Placed = Placed { written: 0, unchanged: 5, bytes: MODEL_BYTES };

#[test]
fn a_workspace_is_made_with_the_folders_above_it() {
    let (folder, cache) = cache();
    let files = model(&cache);
    fs::create_dir(folder.path().join("there")).unwrap();
    for path in ["new", "a/b/c", "there", "there/d/", "./e/./f", "g/../h", "there/../i"] {
        let workspace = folder.path().join(path);
        let placed = copy_out(&cache, &files, &workspace, Existing::Refuse).unwrap();
        assert_eq!(placed, WRITTEN, "{path}");
        let again = copy_out(&cache, &files, &workspace, Existing::Refuse).unwrap();
        assert_eq!(again, UNCHANGED, "{path}");
        if path == "there" {
            fs::remove_dir_all(&workspace).unwrap();
            fs::create_dir(&workspace).unwrap();
            continue;
        }
        let plain = path.replace("g/../", "");
        check_model(&folder.path().join(plain));
    }
    let hidden: Vec<_> = tree(folder.path());
    assert!(hidden.iter().all(|path| !path.contains(".callsheet-")), "{hidden:?}");
    assert!(!folder.path().join("g").exists());
}

#[test]
fn no_files_make_a_workspace_and_nothing_in_it() {
    let (folder, cache) = cache();
    let workspace = folder.path().join("a/work");
    for _ in 0..2 {
        let placed = copy_out(&cache, &[], &workspace, Existing::Refuse).unwrap();
        assert_eq!(placed, Placed::default());
        assert_eq!(tree(folder.path()), ["a/", "a/work/"]);
    }
}

#[test]
fn a_workspace_that_cannot_be_a_folder_is_refused() {
    let (folder, cache) = cache();
    let files = model(&cache);
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    let check = |workspace: &Path, wrong: &Path| {
        let error = copy_out(&cache, &files, workspace, Existing::Replace).unwrap_err();
        let CopyError::NoFolder { path } = error else { panic!("{error:?}") };
        assert_eq!(path, wrong);
    };
    check(&file, &file);
    check(&file.join("below/it"), &file);
    #[cfg(unix)]
    {
        let dangling = folder.path().join("dangling");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &dangling).unwrap();
        check(&dangling, &dangling);
        check(&dangling.join("below"), &dangling);
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    assert!(copy_out(&cache, &files, Path::new(""), Existing::Replace).is_err());
}

#[cfg(unix)]
#[test]
fn a_workspace_may_be_reached_through_a_link() {
    let (folder, cache) = cache();
    let files = model(&cache);
    fs::create_dir(folder.path().join("real")).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("real", &link).unwrap();
    copy_out(&cache, &files, &link, Existing::Refuse).unwrap();
    copy_out(&cache, &files, &link.join("below"), Existing::Refuse).unwrap();
    check_model(&folder.path().join("real/below"));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

/// Where the process that a test starts finds the cache.
const ROOT: &str = "CALLSHEET_FILES_TEST_COPY_ROOT";

#[test]
fn a_workspace_may_be_the_current_folder_or_relative_to_it() {
    if let Ok(root) = env::var(ROOT) {
        let cache = callsheet_files::Cache::open(Path::new(&root));
        let files = model(&cache);
        let copy = |to| copy_out(&cache, &files, Path::new(to), Existing::Refuse).unwrap();
        assert_eq!([".", "sub/x", "../beside/y/"].map(copy), [WRITTEN; 3]);
        assert_eq!(["./", "sub/../.", "../beside/./y"].map(copy), [UNCHANGED; 3]);
        return;
    }
    let (folder, cache) = cache();
    let work: PathBuf = folder.path().join("work");
    fs::create_dir(&work).unwrap();
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", "copy::ground::a_workspace_may_be_the_current_folder_or_relative_to_it"])
        .env(ROOT, cache.root())
        .current_dir(&work)
        .status()
        .unwrap();
    assert!(status.success());
    check_model(&work.join("sub/x"));
    check_model(&folder.path().join("beside/y"));
    fs::remove_dir_all(work.join("sub")).unwrap();
    check_model(&work);
}

#[test]
fn what_killed_copies_left_is_removed_after_a_day() {
    let (folder, cache) = cache();
    let work = folder.path().join("work");
    let old = std::time::SystemTime::now() - std::time::Duration::from_hours(25);
    let make = |name: &str, is_old: bool| {
        let path = work.join(name);
        fs::create_dir_all(path.join("new")).unwrap();
        if is_old {
            fs::File::open(&path).unwrap().set_modified(old).unwrap();
        }
    };
    fs::create_dir_all(work.join(".callsheet-0123456789abcdef/old")).unwrap();
    make(".callsheet-0123456789abcdef", true);
    make(".callsheet-1123456789abcdef", false);
    // What was replaced may be in there alone.
    let replaced = work.join(".callsheet-2123456789abcdef");
    fs::create_dir_all(replaced.join("old")).unwrap();
    fs::write(replaced.join("old/0"), "mine").unwrap();
    fs::File::open(&replaced).unwrap().set_modified(old).unwrap();
    make(".callsheet-notes", true);
    make("callsheet-kept-0123456789abcdef", true);
    copy_out(&cache, &model(&cache), &work, Existing::Refuse).unwrap();
    let left = tree(&work);
    let hidden: Vec<_> = left.iter().filter(|path| path.contains("callsheet")).collect();
    assert_eq!(
        hidden,
        [
            ".callsheet-1123456789abcdef/",
            ".callsheet-1123456789abcdef/new/",
            ".callsheet-2123456789abcdef/",
            ".callsheet-2123456789abcdef/old/",
            ".callsheet-2123456789abcdef/old/0",
            ".callsheet-notes/",
            ".callsheet-notes/new/",
            "callsheet-kept-0123456789abcdef/",
            "callsheet-kept-0123456789abcdef/new/"
        ]
    );
}
