//! The difference between two registry files, as a publisher offers it beside the newer one: what
//! is fetched instead of a long file of which little changed.
//!
//! It speaks of lines and of digests and knows nothing else, so that what it makes is the newer
//! file byte for byte, or nothing.

use callsheet_types::Digest;
use serde::{Deserialize, Serialize};
use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};
use std::time::{Duration, Instant};

/// What a registry file's name has at its end for the difference to its earlier state.
pub const ENDING: &str = ".diff";

/// The line of a registry file that says that differences to it are offered.
const OFFER: &str = "difference = true";

/// How an earlier file becomes a newer one.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edits {
    /// The format's version.
    pub version: u32,
    /// The earlier file.
    pub from: Digest,
    /// The newer one.
    pub to: Digest,
    /// What is done, from the beginning to the end.
    #[serde(default)]
    pub edits: Vec<Edit>,
}

/// Some lines in place of others.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The first of them in the earlier file, from 0.
    pub at: usize,
    /// How many go.
    pub remove: usize,
    /// What comes, with its line ends.
    pub insert: String,
}

/// Finding the shortest difference of two long files that have little in common may take forever.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns whether a registry file says that differences to it are offered.
pub fn are_offered(registry: &[u8]) -> bool {
    let head = registry.split(|&byte| byte == b'\n').take_while(|line| !line.starts_with(b"["));
    head.into_iter().any(|line| line.trim_ascii() == OFFER.as_bytes())
}

/// Returns a registry file that says so.
#[must_use]
pub fn offering(registry: &str) -> String {
    match registry.split_once('\n') {
        Some((first, rest)) => format!("{first}\n{OFFER}\n{rest}"),
        None => format!("{registry}\n{OFFER}\n"),
    }
}

impl Edits {
    /// Returns how one file becomes another.
    pub fn between(earlier: &str, newer: &str) -> Self {
        let (old, new): (Vec<_>, Vec<_>) =
            (earlier.split_inclusive('\n').collect(), newer.split_inclusive('\n').collect());
        let until = Some(Instant::now() + PATIENCE);
        let steps = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, until);
        // What lies between the parts that stay is what changes.
        let stays = steps.into_iter().filter_map(|step| match step {
            DiffOp::Equal { old_index, new_index, len } => Some((old_index, new_index, len)),
            _ => None,
        });
        let (mut edits, mut old_at, mut new_at) = (Vec::new(), 0, 0);
        for (old_stays, new_stays, count) in stays.chain([(old.len(), new.len(), 0)]) {
            if (old_at, new_at) != (old_stays, new_stays) {
                let insert = new[new_at..new_stays].concat();
                edits.push(Edit { at: old_at, remove: old_stays - old_at, insert });
            }
            (old_at, new_at) = (old_stays + count, new_stays + count);
        }
        Self {
            version: 1,
            from: Digest::of(earlier.as_bytes()),
            to: Digest::of(newer.as_bytes()),
            edits,
        }
    }

    /// Reads a published difference; `None` where it is none, or of another version.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let edits: Self = toml::from_str(std::str::from_utf8(bytes).ok()?).ok()?;
        (edits.version == 1).then_some(edits)
    }

    /// Writes it; the same difference gives the same text.
    pub fn write(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Returns the newer file; `None` where the earlier one is another than it was made for, or
    /// something else comes of it than it says.
    pub fn apply(&self, earlier: &[u8], max_bytes: usize) -> Option<Vec<u8>> {
        if Digest::of(earlier) != self.from {
            return None;
        }
        let lines: Vec<&[u8]> = earlier.split_inclusive(|&byte| byte == b'\n').collect();
        let mut newer = Vec::with_capacity(earlier.len());
        let mut at = 0;
        for edit in &self.edits {
            let end = edit.at.checked_add(edit.remove)?;
            newer.extend(lines.get(at..edit.at)?.concat());
            newer.extend(edit.insert.as_bytes());
            if newer.len() > max_bytes || end > lines.len() {
                return None;
            }
            at = end;
        }
        newer.extend(lines.get(at..)?.concat());
        (Digest::of(&newer) == self.to).then_some(newer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOST: usize = 1 << 20;

    #[test]
    fn the_newer_file_comes_out_or_nothing() {
        let (old, new) = ("a\nb\nc\nd\n", "a\nB\nc\nd\ne");
        let edits = Edits::between(old, new);
        assert_eq!(edits.edits.len(), 2);
        let read = Edits::parse(edits.write().unwrap().as_bytes()).unwrap();
        assert_eq!(read, edits);
        assert_eq!(read.apply(old.as_bytes(), MOST).unwrap(), new.as_bytes());
        assert_eq!(read.apply(b"a\nb\nc\n", MOST), None, "another file");
        assert_eq!(read.apply(old.as_bytes(), 3), None, "too long");
        for (at, remove) in [(usize::MAX, 1), (3, usize::MAX), (9, 0), (0, 0)] {
            let mut bad = edits.clone();
            bad.edits[1] = Edit { at, remove, insert: String::new() };
            assert_eq!(bad.apply(old.as_bytes(), MOST), None, "{at} {remove}");
        }
        for bad in ["", "version = 2\nfrom = \"x\"", "<html>", "version = 1"] {
            assert_eq!(Edits::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn an_offer_stands_at_the_head() {
        let plain = "schema_version = \"1.0\"\n\n[files]\n";
        assert!(!are_offered(plain.as_bytes()));
        assert!(are_offered(offering(plain).as_bytes()));
        assert!(!are_offered(b"[files]\ndifference = true\n"));
    }

    proptest! {
        #[test]
        fn any_two_files_have_a_difference(
            old in "([abc]?\n?){0,20}", new in "([abc]?\n?){0,20}",
        ) {
            let edits = Edits::between(&old, &new);
            prop_assert_eq!(edits.apply(old.as_bytes(), MOST).unwrap(), new.as_bytes());
        }
    }
}
