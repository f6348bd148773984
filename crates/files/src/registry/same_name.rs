//! Files that cannot lie side by side where case does not count, or at all.

use super::File;
use std::cmp::Ordering;

/// Two keys that cannot both be made.
#[derive(Debug)]
pub(crate) enum Clash {
    /// They differ in case alone.
    SameName(String, String),
    /// The first is the folder of the second.
    FileAndFolder(String, String),
}

/// Fails with the first clash. The files are in the order of their keys.
pub(crate) fn check(files: &[File]) -> Result<(), Clash> {
    let key = |at: u32| files[at as usize].key.as_str();
    let mut order: Vec<u32> = (0..files.len() as u32).collect();
    order.sort_by(|&a, &b| compare(key(a), key(b)).then(a.cmp(&b)));
    for pair in order.windows(2) {
        let (one, other) = (key(pair[0]), key(pair[1]));
        if compare(one, other).is_eq() {
            return Err(Clash::SameName(one.to_owned(), other.to_owned()));
        }
        if is_above(one, other) {
            return Err(Clash::FileAndFolder(one.to_owned(), other.to_owned()));
        }
    }
    Ok(())
}

/// Compares paths as file systems see them that ignore case. A slash comes before all else, so that
/// what is in a folder follows it at once.
fn compare(one: &str, other: &str) -> Ordering {
    let equal = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    // Nearly always, the first characters that differ decide.
    let rest = (0..=equal).rev().find_map(|at| one.get(at..).zip(other.get(at..)));
    let (one, other) = rest.unwrap_or((one, other));
    folded(one).cmp(folded(other))
}

fn is_above(folder: &str, path: &str) -> bool {
    let mut path = folded(path);
    folded(folder).all(|c| path.next() == Some(c)) && path.next() == Some('\0')
}

fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase).map(|c| if c == '/' { '\0' } else { c })
}
