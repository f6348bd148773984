//! The list of members that stands at the end of a `zip`: looked at before anybody believes it.

use super::invalid;
use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
};

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_BYTES: u64 = 20;
const END64: &[u8] = b"PK\x06\x06";
const END64_BYTES: usize = 56;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
/// A comment has at most 64 KiB; a little more is looked at than any reader does.
const TAIL_BYTES: u64 = (64 << 10) + 128;

/// Returns how many members the archive claims to have, by every record that could be meant.
pub(super) fn claimed(archive: &mut File) -> io::Result<Vec<u64>> {
    let length = archive.seek(SeekFrom::End(0))?;
    let start = length.saturating_sub(TAIL_BYTES);
    archive.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    archive.by_ref().take(TAIL_BYTES).read_to_end(&mut tail)?;
    let mut counts = Vec::new();
    for (at, record) in tail.windows(END_BYTES).enumerate() {
        if record.starts_with(END) {
            counts.push(u64::from(u16::from_le_bytes([record[10], record[11]])));
            counts.extend(claimed64(archive, start + at as u64)?);
        }
    }
    archive.rewind()?;
    if counts.is_empty() { Err(invalid("it has no list of its members")) } else { Ok(counts) }
}

/// Looks for the larger sort of record, which the place before the smaller one leads to.
fn claimed64(archive: &mut File, end: u64) -> io::Result<Option<u64>> {
    let Some(locator) = end.checked_sub(LOCATOR_BYTES) else { return Ok(None) };
    let mut bytes = [0; LOCATOR_BYTES as usize];
    archive.seek(SeekFrom::Start(locator))?;
    archive.read_exact(&mut bytes)?;
    if !bytes.starts_with(LOCATOR) {
        return Ok(None);
    }
    let place = number(&bytes[8..16]);
    if place.checked_add(END64_BYTES as u64).is_none_or(|end| end > locator) {
        return Err(invalid("its list of members is not where it says"));
    }
    let mut record = [0; END64_BYTES];
    archive.seek(SeekFrom::Start(place))?;
    archive.read_exact(&mut record)?;
    if !record.starts_with(END64) {
        return Err(invalid("its list of members is not where it says"));
    }
    Ok(Some(number(&record[32..40])))
}

/// Returns the first name that stands there twice.
pub(super) fn first_twice(archive: &mut File, start: u64) -> Option<String> {
    archive.seek(SeekFrom::Start(start)).ok()?;
    let mut reader = BufReader::new(archive);
    let mut names = HashSet::new();
    loop {
        let mut entry = [0; ENTRY_BYTES];
        reader.read_exact(&mut entry).ok()?;
        if !entry.starts_with(ENTRY) {
            return None;
        }
        let length = |at| i64::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
        let mut name = vec![0; usize::try_from(length(28)).ok()?];
        reader.read_exact(&mut name).ok()?;
        reader.seek_relative(length(30) + length(32)).ok()?;
        if names.contains(&name) {
            return Some(String::from_utf8_lossy(&name).into_owned());
        }
        names.insert(name);
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}
