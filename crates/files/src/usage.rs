//! How often what was copied, kept in one file on this machine and sent nowhere.

use crate::{FilesError, Library, address::Address};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, BufRead, BufReader, Write},
    path::Path,
};

/// How often one model was copied.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Used {
    /// Source, ref and model.
    pub address: String,
    /// How often.
    pub copies: u64,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
}

/// What was copied.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageAsked {
    /// The address of each model.
    pub addresses: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    at: Timestamp,
    address: String,
    /// Of lines that were folded into one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    copies: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<Timestamp>,
}

fn one() -> u64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_one(count: &u64) -> bool {
    *count == 1
}

impl Library {
    /// Counts models as copied, once they are; returns how many were counted: all, or none where
    /// nothing is counted, or in a dry run. Blocks.
    pub fn count(&self, copied: &UsageAsked, dry_run: bool) -> Result<usize, FilesError> {
        for address in &copied.addresses {
            Address::parse(address)?;
        }
        let Some(path) = &self.settings.usage else { return Ok(0) };
        if !dry_run {
            append(path, &copied.addresses, Timestamp::now()).map_err(|error| {
                FilesError::Question(format!("{} cannot be written: {error}", path.display()))
            })?;
        }
        Ok(copied.addresses.len())
    }

    /// Returns how often what was copied, the most copied first. Blocks.
    pub fn used(&self) -> io::Result<Vec<Used>> {
        match &self.settings.usage {
            Some(path) => read(path),
            None => Ok(Vec::new()),
        }
    }
}

/// One short write at the end of a file is never mixed with another's.
fn append(path: &Path, addresses: &[String], at: Timestamp) -> io::Result<()> {
    let mut lines = Vec::new();
    for address in addresses {
        let line = Line { at, address: address.clone(), copies: 1, first: None };
        serde_json::to_writer(&mut lines, &line)?;
        lines.push(b'\n');
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(&lines)
}

fn read(path: &Path) -> io::Result<Vec<Used>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut used: BTreeMap<String, Used> = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        // A line that a crash cut short is one copy less.
        let Ok(Line { at, address, copies, first }) = serde_json::from_str(&line?) else {
            continue;
        };
        let first = first.unwrap_or(at);
        let entry =
            used.entry(address.clone()).or_insert(Used { address, copies: 0, first, last: at });
        entry.copies += copies;
        entry.first = entry.first.min(first);
        entry.last = entry.last.max(at);
    }
    let mut used: Vec<_> = used.into_values().collect();
    used.sort_by(|a, b| b.copies.cmp(&a.copies).then_with(|| a.address.cmp(&b.address)));
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_counted_whatever_became_of_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/usage.jsonl");
        assert_eq!(read(&path).unwrap(), []);
        let (early, late) =
            ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-02-01T00:00:00Z".parse().unwrap());
        append(&path, &["s@r/b".to_owned(), "s@r/a".to_owned()], early).unwrap();
        append(&path, &["s@r/a".to_owned()], late).unwrap();
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"at\":\"2026\n")
            .unwrap();
        let used = read(&path).unwrap();
        assert_eq!(used.len(), 2);
        assert_eq!(
            used[0],
            Used { address: "s@r/a".to_owned(), copies: 2, first: early, last: late }
        );
    }
}
