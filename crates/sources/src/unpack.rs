//! Archives on disk: their members, one after the other, under bounds.

use crate::TreeError;
use callsheet_types::FilePath;
use std::{
    fs::File,
    io::{self, Read},
};

/// How much an archive may hold.
#[derive(Clone, Copy, Debug)]
pub struct UnpackLimits {
    /// All members together, decompressed.
    pub max_bytes: u64,
    /// One member, decompressed.
    pub max_member_bytes: u64,
    /// Members of any sort.
    pub max_members: usize,
    /// How many times as large it may become, beyond its first 16 MiB.
    pub max_ratio: u64,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 30,
            max_member_bytes: 8 << 30,
            max_members: 1_000_000,
            max_ratio: 200,
        }
    }
}

/// What a member is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MemberKind {
    /// A file.
    File,
    /// A symbolic or hard link, which is never followed.
    Link,
    /// A device, a pipe, …
    Special,
}

/// A member of an archive; folders are none.
pub struct Member<'a> {
    /// Its path, without the archive's one top folder where that was asked for.
    pub path: &'a FilePath,
    /// What it is.
    pub kind: MemberKind,
    /// Its length, as the archive has it.
    pub size_bytes: u64,
    /// Its content; what is not read is skipped. Empty for what is no file.
    pub content: &'a mut dyn Read,
}

/// Goes through an archive (`zip`, `tar`, or `tar` with gzip, told by its content). Blocks.
///
/// A path that would leave the archive's root, or that no file can have, refuses all of it, before
/// the first member is shown where the archive has a list of them. So do members that stand there
/// twice, or differ only in case.
pub fn unpack(
    name: &str,
    archive: &mut File,
    without_top_folder: bool,
    limits: UnpackLimits,
    visit: &mut dyn FnMut(Member<'_>) -> io::Result<()>,
) -> Result<(), TreeError> {
    let _ = (archive, without_top_folder, limits, visit);
    Err(TreeError::Broken { name: name.to_owned(), cause: io::ErrorKind::Unsupported.into() })
}

/// Decompresses gzip or zstd, told by its content, up to a size; other content is as it is.
pub fn decompress(name: &str, bytes: &[u8], max_bytes: u64) -> Result<Vec<u8>, TreeError> {
    let _ = max_bytes;
    Err(TreeError::Broken {
        name: format!("{name} {}", bytes.len()),
        cause: io::ErrorKind::Unsupported.into(),
    })
}
