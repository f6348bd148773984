//! `zip`, by its list of members.

use super::{
    Member, MemberKind,
    budget::{Budget, Content},
    directory,
    names::Names,
    tar::not_taken,
};
use crate::TreeError;
use ::zip::{CompressionMethod, ZipArchive, read::ZipFileEntry, result::ZipError};
use callsheet_types::FilePath;
use std::{
    fs::File,
    io::{self, BufReader},
};

/// Members are often small and apart from each other.
const BUFFER_BYTES: usize = 16 << 10;

/// The kinds of files in a Unix mode.
const KIND_MASK: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;

struct Listed {
    index: usize,
    path: FilePath,
    kind: MemberKind,
    size_bytes: u64,
}

pub(super) fn go_through(
    archive: &mut File,
    mut names: Names<'_>,
    budget: &Budget<'_>,
    visit: &mut dyn FnMut(Member<'_>) -> io::Result<()>,
) -> Result<(), TreeError> {
    // The library would make room for as many members as the archive claims to have.
    for count in directory::claimed(archive).map_err(|cause| budget.broken(cause))? {
        names.count_to(count)?;
    }
    let reader = BufReader::with_capacity(BUFFER_BYTES, &mut *archive);
    let mut list = ZipArchive::new(reader).map_err(|cause| budget.broken(of_zip(cause)))?;
    if list.has_duplicate_names() {
        let start = list.central_directory_start();
        drop(list);
        let path = directory::first_twice(archive, start).unwrap_or_default();
        return Err(TreeError::Twice { name: budget.name.to_owned(), path });
    }
    let members = listed(&list, &mut names, budget)?;
    for Listed { index, path, kind, size_bytes } in members {
        if kind != MemberKind::File {
            let member = Member { path: &path, kind, size_bytes: 0, content: &mut io::empty() };
            visit(member).map_err(|cause| not_taken(budget, path.as_str(), cause))?;
            continue;
        }
        let mut file = list.by_index(index).map_err(|cause| TreeError::BrokenMember {
            name: budget.name.to_owned(),
            path: path.as_str().to_owned(),
            cause: of_zip(cause),
        })?;
        let mut content = Content::new(&mut file, size_bytes, budget);
        let taken = visit(Member { path: &path, kind, size_bytes, content: &mut content });
        budget.check(path.as_str())?;
        taken.map_err(|cause| not_taken(budget, path.as_str(), cause))?;
        content.meet_end();
        budget.check(path.as_str())?;
    }
    Ok(())
}

/// Checks all members before the first is shown.
fn listed(
    list: &ZipArchive<BufReader<&mut File>>,
    names: &mut Names<'_>,
    budget: &Budget<'_>,
) -> Result<Vec<Listed>, TreeError> {
    let mut members = Vec::with_capacity(list.len());
    let mut left = budget.limits.max_bytes;
    for index in 0..list.len() {
        let entry = list.by_index_data(index).map_err(|cause| budget.broken(of_zip(cause)))?;
        let text = entry.name().map_err(|cause| budget.broken(of_zip(cause)))?.into_owned();
        let Some(kind) = kind(&entry) else {
            names.folder(&text)?;
            continue;
        };
        let path = names.file(&text)?;
        let size_bytes = if kind == MemberKind::File { entry.size() } else { 0 };
        if kind == MemberKind::File
            && let Some(reason) = unsupported(&entry)
        {
            let (name, path) = (budget.name.to_owned(), path.into());
            return Err(TreeError::Unsupported { name, path, reason });
        }
        let max_bytes = budget.limits.max_member_bytes;
        if size_bytes > max_bytes {
            let (name, path) = (budget.name.to_owned(), path.into());
            return Err(TreeError::LargeMember { name, path, max_bytes });
        }
        left = left.checked_sub(size_bytes).ok_or_else(|| TreeError::TooLarge {
            name: budget.name.to_owned(),
            max_bytes: budget.limits.max_bytes,
        })?;
        members.push(Listed { index, path, kind, size_bytes });
    }
    Ok(members)
}

/// Returns what a member is, unless it is a folder.
fn kind(entry: &ZipFileEntry<'_>) -> Option<MemberKind> {
    if entry.is_dir() {
        return None;
    }
    match entry.unix_mode().unwrap_or_default() & KIND_MASK {
        0 | REGULAR => Some(MemberKind::File),
        SYMLINK => Some(MemberKind::Link),
        FOLDER => None,
        _ => Some(MemberKind::Special),
    }
}

fn unsupported(entry: &ZipFileEntry<'_>) -> Option<String> {
    if entry.encrypted() {
        return Some("encrypted".to_owned());
    }
    match entry.compression() {
        CompressionMethod::Stored | CompressionMethod::Deflated => None,
        other => Some(format!("packed as {other}")),
    }
}

fn of_zip(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(cause) => cause,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
