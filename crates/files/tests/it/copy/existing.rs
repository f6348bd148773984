//! Workspaces that hold something already.

use super::{MODEL_BYTES, MODEL_TREE, file, model};
use crate::cache::{cache, tree};
use callsheet_files::{CopyError, Existing, Placed, copy_out};
use std::{collections::BTreeMap, fs, path::Path};

/// Returns all of a workspace, by path; folders are empty.
fn contents(workspace: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |path: String| {
        let bytes = fs::read(workspace.join(&path)).unwrap_or_default();
        (path, bytes)
    };
    tree(workspace).into_iter().map(read).collect()
}

#[test]
fn what_else_is_in_a_workspace_stays() {
    let (folder, cache) = cache();
    let work = folder.path().join("work");
    fs::create_dir_all(work.join("data/mine")).unwrap();
    fs::write(work.join("data/mine/x"), "mine").unwrap();
    fs::write(work.join("mfsim.nam"), b"BEGIN options\nEND options\n").unwrap();
    let placed = copy_out(&cache, &model(&cache), &work, Existing::Refuse).unwrap();
    assert_eq!(placed, Placed { written: 4, unchanged: 1, bytes: MODEL_BYTES });
    let mut expected: Vec<_> = MODEL_TREE.to_vec();
    expected.extend(["data/mine/", "data/mine/x"]);
    expected.sort_unstable();
    assert_eq!(tree(&work), expected);
}

#[test]
fn files_of_other_content_stop_a_copy_before_it_begins() {
    let (folder, cache) = cache();
    let work = folder.path().join("work");
    fs::create_dir_all(work.join("data")).unwrap();
    // One of another length, and one of the same.
    fs::write(work.join("mfsim.nam"), "mine").unwrap();
    fs::write(work.join("data/copy.txt"), "1 1 1 -6.0\n").unwrap();
    let before = contents(&work);
    let error = copy_out(&cache, &model(&cache), &work, Existing::Refuse).unwrap_err();
    let CopyError::WouldReplace { workspace, paths } = error else { panic!("{error:?}") };
    assert_eq!(workspace, work);
    assert_eq!(paths, ["mfsim.nam", "data/copy.txt"]);
    assert_eq!(contents(&work), before);

    let placed = copy_out(&cache, &model(&cache), &work, Existing::Replace).unwrap();
    assert_eq!(placed, Placed { written: 5, unchanged: 0, bytes: MODEL_BYTES });
    super::check_model(&work);
}

#[test]
fn a_copy_that_is_there_needs_no_cache() {
    let (folder, cache) = cache();
    let work = folder.path().join("work");
    let files = model(&cache);
    copy_out(&cache, &files, &work, Existing::Refuse).unwrap();
    cache.gc(&[].into(), false).unwrap();
    let placed = copy_out(&cache, &files, &work, Existing::Refuse).unwrap();
    assert_eq!(placed, Placed { written: 0, unchanged: 5, bytes: MODEL_BYTES });
}

#[test]
fn a_folder_where_a_file_belongs_is_not_replaced() {
    let (folder, cache) = cache();
    let work = folder.path().join("work");
    fs::create_dir_all(work.join("model.dis")).unwrap();
    fs::write(work.join("model.dis/mine"), "mine").unwrap();
    let before = contents(&work);
    let refused = copy_out(&cache, &model(&cache), &work, Existing::Refuse).unwrap_err();
    assert!(matches!(refused, CopyError::WouldReplace { paths, .. } if paths == ["model.dis"]));
    let error = copy_out(&cache, &model(&cache), &work, Existing::Replace).unwrap_err();
    let CopyError::Io { path, .. } = error else { panic!("{error:?}") };
    assert_eq!(path, work.join("model.dis"));
    assert_eq!(contents(&work), before);
}

#[test]
fn a_file_where_a_folder_belongs_is_refused() {
    let (folder, cache) = cache();
    let work = folder.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("data"), "mine").unwrap();
    for existing in [Existing::Refuse, Existing::Replace] {
        let error = copy_out(&cache, &model(&cache), &work, existing).unwrap_err();
        let CopyError::NoFolder { path } = error else { panic!("{error:?}") };
        assert_eq!(path, work.join("data"));
        assert_eq!(tree(&work), ["data"]);
    }
}

#[cfg(unix)]
#[test]
fn a_link_never_leads_a_copy_out_of_its_workspace() {
    use std::os::unix::fs::symlink;
    let (folder, cache) = cache();
    let (work, outside) = (folder.path().join("work"), folder.path().join("outside"));
    fs::create_dir(&work).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("copy.txt"), "outside").unwrap();
    symlink(&outside, work.join("data")).unwrap();
    for existing in [Existing::Refuse, Existing::Replace] {
        let error = copy_out(&cache, &model(&cache), &work, existing).unwrap_err();
        let CopyError::NoFolder { path } = error else { panic!("{error:?}") };
        assert_eq!(path, work.join("data"));
        assert_eq!((tree(&work), tree(&outside)), (vec!["data".into()], vec!["copy.txt".into()]));
    }
    fs::remove_file(work.join("data")).unwrap();

    // The link itself is replaced, not what it leads to; and not even for the same content.
    fs::write(outside.join("copy.txt"), "1 1 1 -5.0\n").unwrap();
    fs::create_dir(work.join("data")).unwrap();
    symlink(outside.join("copy.txt"), work.join("data/copy.txt")).unwrap();
    let refused = copy_out(&cache, &model(&cache), &work, Existing::Refuse).unwrap_err();
    assert!(matches!(refused, CopyError::WouldReplace { paths, .. } if paths == ["data/copy.txt"]));
    fs::write(outside.join("copy.txt"), "outside").unwrap();
    copy_out(&cache, &model(&cache), &work, Existing::Replace).unwrap();
    super::check_model(&work);
    assert!(fs::symlink_metadata(work.join("data/copy.txt")).unwrap().is_file());
    assert_eq!(fs::read(outside.join("copy.txt")).unwrap(), b"outside");
}

#[test]
fn many_files_are_copied_whole() {
    let (folder, cache) = cache();
    let mut batch = cache.batch();
    let mut files = Vec::new();
    for number in 0..2000_u32 {
        let bytes = number.to_string();
        let (digest, _) = batch.put(&mut bytes.as_bytes(), None, 100).unwrap();
        let path = format!("m{}/d{}/{number}.txt", number % 7, number % 13);
        files.push((callsheet_types::FilePath::new(&path).unwrap(), digest));
    }
    batch.commit().unwrap();
    let work = folder.path().join("work");
    let placed = copy_out(&cache, &files, &work, Existing::Refuse).unwrap();
    assert_eq!((placed.written, placed.unchanged, placed.bytes), (2000, 0, 6890));
    for (path, digest) in &files {
        assert_eq!(callsheet_types::Digest::of(&fs::read(work.join(path)).unwrap()), *digest);
    }
    fs::write(work.join("m0/d0/0.txt"), "changed").unwrap();
    fs::remove_dir_all(work.join("m1")).unwrap();
    let changed = file(&cache, "m0/d0/new", b"new");
    files.push(changed);
    let placed = copy_out(&cache, &files, &work, Existing::Replace).unwrap();
    assert_eq!((placed.written, placed.unchanged), (286 + 2, 2000 - 287));
    for (path, digest) in &files {
        assert_eq!(callsheet_types::Digest::of(&fs::read(work.join(path)).unwrap()), *digest);
    }
}
