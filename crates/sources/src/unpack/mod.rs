//! Archives on disk: their members, one after the other, under bounds.

mod budget;
mod decompress;
mod directory;
mod names;
mod tar;
mod zip;

pub use decompress::decompress;

use crate::{TreeError, tree::is_tar};
use budget::Budget;
use callsheet_types::FilePath;
use names::Names;
use std::{
    fs::File,
    io::{self, Read, Seek as _},
};

/// A block of `tar`: as much as it takes to tell what an archive is.
const BLOCK: u64 = 512;

/// How much an archive may hold.
#[derive(Clone, Copy, Debug)]
pub struct UnpackLimits {
    /// All members together, decompressed.
    pub max_bytes: u64,
    /// One member, decompressed.
    pub max_member_bytes: u64,
    /// Members of any sort.
    pub max_members: usize,
    /// How many times as large as the archive its content may be, beyond the first 16 MiB.
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
    /// Its length, as the archive has it; 0 for what is no file.
    pub size_bytes: u64,
    /// Its content; what is not read is skipped. Empty for what is no file. Reading fails where it
    /// is damaged, or goes beyond a limit, and then the archive is refused, whatever the visitor
    /// makes of it.
    pub content: &'a mut dyn Read,
}

/// Goes through an archive (`zip`, `tar`, or `tar` with gzip, told by its content). Blocks.
///
/// Of `zip`, what is stored or deflated is read, and its list of members counts. Content is counted
/// while it is read; no size that the archive says of itself is relied on. An error may come after
/// members were shown: only after `Ok` is all of it there.
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
    let broken = |cause| TreeError::Broken { name: name.to_owned(), cause };
    let size_bytes = archive.metadata().map_err(broken)?.len();
    archive.rewind().map_err(broken)?;
    let mut head = Vec::new();
    archive.by_ref().take(BLOCK).read_to_end(&mut head).map_err(broken)?;
    archive.rewind().map_err(broken)?;
    let budget = Budget::new(name, limits, size_bytes);
    let names = Names::new(name, without_top_folder, limits.max_members);
    match head.get(..4) {
        Some(b"PK\x03\x04" | b"PK\x05\x06") => zip::go_through(archive, names, &budget, visit),
        Some([0x1f, 0x8b, ..]) => tar::packed(archive, names, &budget, visit),
        _ if is_tar(&head) => tar::plain(archive, names, &budget, visit),
        _ => Err(broken(invalid("it is neither zip nor tar nor tar with gzip"))),
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
