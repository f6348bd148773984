//! Archives, as GitHub packs a commit.

use std::collections::BTreeSet;
use std::io::{self, Cursor, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::tree::{EntryKind, FakeTree};

/// Which archive of a commit.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ArchiveKind {
    /// `zipball`.
    Zip,
    /// `tarball`, compressed with gzip.
    TarGz,
}

impl FakeTree {
    /// Packs the files below a folder `top`, or as they are when that is empty. The same tree is
    /// always the same bytes.
    ///
    /// # Panics
    /// When a path is one that the format cannot hold.
    pub fn archive(&self, kind: ArchiveKind, top: &str) -> Bytes {
        pack(self, kind, top, None)
    }
}

/// Packs a commit, whose id the archive names as GitHub's do.
pub(super) fn pack(tree: &FakeTree, kind: ArchiveKind, top: &str, commit: Option<&str>) -> Bytes {
    let packed = match kind {
        ArchiveKind::Zip => zip(tree, top, commit),
        ArchiveKind::TarGz => tar_gz(tree, top, commit),
    };
    packed.unwrap_or_else(|error| panic!("the tree cannot be packed: {error}")).into()
}

fn zip(tree: &FakeTree, top: &str, commit: Option<&str>) -> io::Result<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_level(Some(1));
    if let Some(commit) = commit {
        writer.set_comment(commit)?;
    }
    for folder in folders(tree, top) {
        writer.add_directory(folder, options.unix_permissions(0o755))?;
    }
    for (path, entry) in &tree.entries {
        let path = below(top, path);
        match entry.kind {
            EntryKind::Symlink => {
                writer.add_symlink(path, String::from_utf8_lossy(&entry.content), options)?;
            }
            EntryKind::File | EntryKind::Executable => {
                writer.start_file(path, options.unix_permissions(mode(entry.kind)))?;
                writer.write_all(&entry.content)?;
            }
        }
    }
    Ok(writer.finish()?.into_inner())
}

fn tar_gz(tree: &FakeTree, top: &str, commit: Option<&str>) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    if let Some(commit) = commit {
        let comment = format!("52 comment={commit}\n");
        let mut header = header(tar::EntryType::XGlobalHeader, 0o666, comment.len());
        builder.append_data(&mut header, "pax_global_header", comment.as_bytes())?;
    }
    for folder in folders(tree, top) {
        let mut header = header(tar::EntryType::Directory, 0o775, 0);
        builder.append_data(&mut header, folder, io::empty())?;
    }
    for (path, entry) in &tree.entries {
        let path = below(top, path);
        if entry.kind == EntryKind::Symlink {
            let target = String::from_utf8_lossy(&entry.content);
            let mut header = header(tar::EntryType::Symlink, 0o777, 0);
            builder.append_link(&mut header, path, &*target)?;
        } else {
            let mut header = header(tar::EntryType::Regular, mode(entry.kind), entry.content.len());
            builder.append_data(&mut header, path, &entry.content[..])?;
        }
    }
    builder.into_inner()?.finish()
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(1_767_225_600);
    header
}

fn mode(kind: EntryKind) -> u32 {
    if kind == EntryKind::Executable { 0o775 } else { 0o664 }
}

fn below(top: &str, path: &str) -> String {
    if top.is_empty() { path.to_owned() } else { format!("{top}/{path}") }
}

/// Returns every folder that a file is in, the outer ones first, each with a slash at its end.
fn folders(tree: &FakeTree, top: &str) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    if !top.is_empty() {
        folders.insert(format!("{top}/"));
    }
    for path in tree.entries.keys() {
        let path = below(top, path);
        folders.extend(path.match_indices('/').map(|(end, _)| path[..=end].to_owned()));
    }
    folders
}
