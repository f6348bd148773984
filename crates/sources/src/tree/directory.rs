//! Folders: read into a tree, or packed.

use super::{Tree, TreeError, TreeLimits};
use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};
use tar::{EntryType, Header};

/// Something in a folder; folders themselves are only gone through.
struct Found {
    path: String,
    at: PathBuf,
    kind: FoundKind,
}

enum FoundKind {
    File,
    Link,
    Special,
    Unnameable,
}

pub(super) fn read(folder: &Path, limits: TreeLimits) -> Result<Tree, TreeError> {
    let mut tree = Tree::default();
    let mut left = limits.max_bytes;
    for found in walk(folder, limits)? {
        match found.kind {
            FoundKind::File => {
                let content = content(&found.at, folder, left, limits)?;
                left -= content.len() as u64;
                tree.add(found.path, content.into());
            }
            FoundKind::Link => tree.note(found.path, "is a symbolic link, which is not followed"),
            FoundKind::Special => tree.note(found.path, "is neither a file nor a folder"),
            FoundKind::Unnameable => tree.note(found.path, "its name is not UTF-8"),
        }
    }
    Ok(tree)
}

pub(super) fn pack(folder: &Path, limits: TreeLimits) -> Result<Vec<u8>, TreeError> {
    let mut left = limits.max_bytes;
    let mut archive = tar::Builder::new(Vec::new());
    for found in walk(folder, limits)? {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(0);
        let unreadable = |cause| TreeError::Unreadable { path: found.at.clone(), cause };
        match found.kind {
            FoundKind::File => {
                let content = content(&found.at, folder, left, limits)?;
                left -= content.len() as u64;
                header.set_entry_type(EntryType::Regular);
                header.set_size(content.len() as u64);
                archive
                    .append_data(&mut header, &found.path, content.as_slice())
                    .map_err(unreadable)?;
            }
            FoundKind::Link => {
                header.set_entry_type(EntryType::Symlink);
                let target = fs::read_link(&found.at).map_err(unreadable)?;
                archive.append_link(&mut header, &found.path, target).map_err(unreadable)?;
            }
            FoundKind::Special | FoundKind::Unnameable => {
                header.set_entry_type(EntryType::Fifo);
                archive
                    .append_data(&mut header, &found.path, std::io::empty())
                    .map_err(unreadable)?;
            }
        }
    }
    archive.into_inner().map_err(|cause| TreeError::Unreadable { path: folder.to_owned(), cause })
}

/// Lists a folder and the folders in it, in the order of their paths.
fn walk(folder: &Path, limits: TreeLimits) -> Result<Vec<Found>, TreeError> {
    let mut all = Vec::new();
    let mut folders = vec![(String::new(), folder.to_owned())];
    let mut count = 0;
    while let Some((prefix, folder_path)) = folders.pop() {
        let unreadable = |cause| TreeError::Unreadable { path: folder_path.clone(), cause };
        for entry in fs::read_dir(&folder_path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            // What a repository keeps for itself is no content, and may be large. In a submodule it
            // is a file.
            if name.eq_ignore_ascii_case(".git") {
                continue;
            }
            count += 1;
            if count > limits.max_entries {
                let name = folder.display().to_string();
                return Err(TreeError::TooMany { name, max_entries: limits.max_entries });
            }
            let at = entry.path();
            // Never through a link: `file_type` speaks of the entry itself.
            let kind = entry.file_type().map_err(unreadable)?;
            let path = format!("{prefix}{}", name.to_string_lossy());
            if name.to_str().is_none_or(|name| name.contains('\\')) {
                all.push(Found { path, at, kind: FoundKind::Unnameable });
            } else if kind.is_dir() {
                folders.push((format!("{path}/"), at));
            } else if kind.is_symlink() {
                all.push(Found { path, at, kind: FoundKind::Link });
            } else if kind.is_file() {
                all.push(Found { path, at, kind: FoundKind::File });
            } else {
                all.push(Found { path, at, kind: FoundKind::Special });
            }
        }
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(all)
}

fn content(
    path: &Path,
    folder: &Path,
    left: u64,
    limits: TreeLimits,
) -> Result<Vec<u8>, TreeError> {
    let unreadable = |cause| TreeError::Unreadable { path: path.to_owned(), cause };
    let mut content = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(left.saturating_add(1)).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > left {
        let name = folder.display().to_string();
        return Err(TreeError::TooLarge { name, max_bytes: limits.max_bytes });
    }
    Ok(content)
}
