//! Workspaces of which a part cannot be written.

#![cfg(unix)]

use super::{file, model};
use crate::cache::{
    cache,
    folders::{folder_of_child, run_again},
    tree,
};
use callsheet_files::{Cache, CopyError, Existing, copy_out};
use std::{
    env, fs, io,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
};

/// A user who may do nothing that is not said.
const NOBODY: u32 = 65534;

/// Folders that cannot be written, until this is dropped.
pub(crate) struct Forbidden(Vec<PathBuf>);

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Takes the right to write from a folder and all below it.
pub(crate) fn forbid_writing(folder: &Path) -> Forbidden {
    let below = tree(folder).into_iter().filter(|path| path.ends_with('/'));
    let folders: Vec<_> = below.map(|path| folder.join(path)).chain([folder.to_owned()]).collect();
    for folder in &folders {
        set_mode(folder, 0o555);
    }
    Forbidden(folders)
}

impl Drop for Forbidden {
    fn drop(&mut self) {
        for folder in &self.0 {
            let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0)
}

/// Runs a test once more as a user to whom rights mean something, who owns the named folders, which
/// are made where they are missing.
pub(crate) fn as_nobody(name: &str, folder: &Path, owned: &[&str]) {
    set_mode(folder, 0o755);
    for path in owned {
        fs::create_dir_all(folder.join(path)).unwrap();
    }
    if !is_root() {
        assert!(run_again(&env::current_exe().unwrap(), name, folder).status().unwrap().success());
        return;
    }
    for path in owned {
        let path = folder.join(path);
        for below in tree(&path) {
            chown(path.join(below), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    // The folder where tests are built may be closed to others.
    let elsewhere = tempfile::tempdir().unwrap();
    set_mode(elsewhere.path(), 0o755);
    let exe = elsewhere.path().join("it");
    fs::copy(env::current_exe().unwrap(), &exe).unwrap();
    let mut command = run_again(&exe, name, folder);
    command.uid(NOBODY).gid(NOBODY).current_dir(folder);
    assert!(command.status().unwrap().success());
}

#[test]
fn a_copy_that_fails_in_the_middle_is_undone() {
    if let Some(folder) = folder_of_child() {
        let cache = Cache::open(&folder.join("cache"));
        let work = folder.join("work");
        let files = [
            file(&cache, "a.txt", b"new"),
            file(&cache, "b/c/new.txt", b"new"),
            file(&cache, "closed/there.txt", b"there"),
            file(&cache, "closed/new.txt", b"new"),
        ];
        let error = copy_out(&cache, &files, &work, Existing::Replace).unwrap_err();
        let CopyError::Io { path, cause } = error else { panic!("{error:?}") };
        assert_eq!(path, work.join("closed/new.txt"));
        assert_eq!(cause.kind(), io::ErrorKind::PermissionDenied);
        return;
    }
    let (folder, cache) = cache();
    let work = folder.path().join("work");
    fs::create_dir_all(work.join("closed")).unwrap();
    fs::write(work.join("a.txt"), "mine").unwrap();
    fs::write(work.join("closed/there.txt"), "there").unwrap();
    file(&cache, "x", b"x");
    let before = tree(&work);
    let forbidden = forbid_writing(&work.join("closed"));
    let name = "copy::permissions::a_copy_that_fails_in_the_middle_is_undone";
    as_nobody(name, folder.path(), &["work", "cache"]);
    drop(forbidden);
    assert_eq!(tree(&work), before);
    assert_eq!(fs::read(work.join("a.txt")).unwrap(), b"mine");
}

#[test]
fn only_the_workspace_itself_need_be_writable() {
    if let Some(folder) = folder_of_child() {
        let cache = Cache::open(&folder.join("cache"));
        let files = model(&cache);
        copy_out(&cache, &files, &folder.join("closed/work"), Existing::Refuse).unwrap();
        let other = folder.join("closed/a/b");
        let error = copy_out(&cache, &files, &other, Existing::Refuse).unwrap_err();
        let CopyError::Io { path, cause } = error else { panic!("{error:?}") };
        assert_eq!(path, folder.join("closed"));
        assert_eq!(cause.kind(), io::ErrorKind::PermissionDenied);
        return;
    }
    let (folder, cache) = cache();
    let closed = folder.path().join("closed");
    fs::create_dir_all(closed.join("work")).unwrap();
    file(&cache, "x", b"x");
    let forbidden = forbid_writing(&closed);
    set_mode(&closed.join("work"), 0o755);
    let name = "copy::permissions::only_the_workspace_itself_need_be_writable";
    as_nobody(name, folder.path(), &["closed/work", "cache"]);
    drop(forbidden);
    super::check_model(&closed.join("work"));
    assert!(!closed.join("a").exists());
}
