//! Archives and single files, told by their content.

use super::{Checked, Tree, TreeError, TreeLimits, check_path};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use std::io::{self, Cursor, Read};
use tar::{Archive, EntryType};

/// A block of `tar`; a header is one.
const BLOCK: usize = 512;
/// What an entry may cost beside its content: its header, padding, and a long name.
const ENTRY_BYTES: u64 = 8 * BLOCK as u64;

pub(super) fn read(name: &str, mut file: impl Read, limits: TreeLimits) -> Result<Tree, TreeError> {
    let broken = |cause| TreeError::Broken { name: name.to_owned(), cause };
    let magic = begin(&mut file, 2).map_err(broken)?;
    let is_gzip = magic == [0x1f, 0x8b];
    let file = Cursor::new(magic).chain(file);
    // The bound holds for what is decompressed, before anybody looks at what it says of itself.
    let most = limits
        .max_bytes
        .saturating_add(ENTRY_BYTES.saturating_mul((limits.max_entries as u64).saturating_add(2)));
    if is_gzip {
        let plain_name = name.strip_suffix(".gz").unwrap_or(name);
        unpacked(plain_name, MultiGzDecoder::new(file).take(most), limits)
    } else {
        unpacked(name, file.take(most), limits)
    }
}

fn unpacked(name: &str, mut file: impl Read, limits: TreeLimits) -> Result<Tree, TreeError> {
    let broken = |cause| TreeError::Broken { name: name.to_owned(), cause };
    let head = begin(&mut file, BLOCK).map_err(broken)?;
    let is_archive = is_tar(&head);
    let file = Cursor::new(head).chain(file);
    if is_archive {
        return entries(name, file, limits);
    }
    let content = bounded(name, file, limits.max_bytes, limits)?;
    let mut tree = Tree::default();
    let path = match check_path(name) {
        Checked::Path(path) => path,
        Checked::Root | Checked::Hostile => "file".to_owned(),
    };
    tree.add(path, content);
    Ok(tree)
}

fn entries(name: &str, file: impl Read, limits: TreeLimits) -> Result<Tree, TreeError> {
    let broken = |cause| TreeError::Broken { name: name.to_owned(), cause };
    let mut tree = Tree::default();
    let mut left = limits.max_bytes;
    let mut archive = Archive::new(file);
    for (count, entry) in archive.entries().map_err(broken)?.enumerate() {
        if count >= limits.max_entries {
            let max_entries = limits.max_entries;
            return Err(TreeError::TooMany { name: name.to_owned(), max_entries });
        }
        let entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            let content = bounded(name, entry, left, limits)?;
            tree.revision = tree.revision.or_else(|| commit(&content));
            continue;
        }
        let path = entry.path_bytes().into_owned();
        let Ok(path) = String::from_utf8(path) else {
            let place = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            tree.note(place, "its name is not UTF-8");
            continue;
        };
        let path = match check_path(&path) {
            Checked::Hostile => return Err(TreeError::Hostile { name: name.to_owned(), path }),
            Checked::Root => continue,
            Checked::Path(path) => path,
        };
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let content = bounded(name, entry, left, limits)?;
                left -= content.len() as u64;
                tree.add(path, content);
            }
            EntryType::Directory => {}
            EntryType::Symlink => tree.note(path, "is a symbolic link, which is not followed"),
            EntryType::Link => tree.note(path, "is a hard link, which is not followed"),
            _ => tree.note(path, "is neither a file nor a folder"),
        }
    }
    Ok(tree)
}

/// Reads to the end, or to the limit and no further.
fn bounded(name: &str, file: impl Read, most: u64, limits: TreeLimits) -> Result<Bytes, TreeError> {
    let mut content = Vec::new();
    file.take(most.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(|cause| TreeError::Broken { name: name.to_owned(), cause })?;
    if content.len() as u64 > most {
        return Err(TreeError::TooLarge { name: name.to_owned(), max_bytes: limits.max_bytes });
    }
    Ok(content.into())
}

/// Reads the first bytes, fewer where there are fewer.
fn begin(file: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(count);
    file.take(count as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns whether this is a header: its checksum is right, whichever variant of the format it is.
pub(crate) fn is_tar(head: &[u8]) -> bool {
    let Some(header) = head.first_chunk::<BLOCK>() else { return false };
    // An empty archive is nothing but zeros.
    if header.iter().all(|&byte| byte == 0) {
        return true;
    }
    let digits = std::str::from_utf8(&header[148..156]).unwrap_or_default();
    let digits = digits.trim_matches([' ', '\0']);
    let sum = header.iter().enumerate().fold(0, |sum, (at, &byte)| {
        sum + u32::from(if (148..156).contains(&at) { b' ' } else { byte })
    });
    u32::from_str_radix(digits, 8) == Ok(sum)
}

/// Returns the commit that `git archive` leaves in the comment of a global header.
fn commit(header: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(header).ok()?;
    let comment = text.lines().find_map(|line| line.split_once(" comment="))?.1;
    let is_commit =
        matches!(comment.len(), 40 | 64) && comment.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_commit.then(|| comment.to_owned())
}
