//! Files that cannot lie side by side where case does not count, or at all.

use super::{File, RegistryError};
use std::cmp::Ordering;

/// Refuses two keys that differ in case alone, and a key that is the folder of another. The files
/// are in the order of their keys.
pub(super) fn check(files: &[File]) -> Result<(), RegistryError> {
    let key = |at: u32| files[at as usize].key.as_str();
    let mut order: Vec<u32> = (0..files.len() as u32).collect();
    order.sort_by(|&a, &b| compare(key(a), key(b)).then(a.cmp(&b)));
    for pair in order.windows(2) {
        let (one, other) = (key(pair[0]), key(pair[1]));
        if compare(one, other).is_eq() {
            return Err(RegistryError::SameName(one.to_owned(), other.to_owned()));
        }
        if is_above(one, other) {
            let shown: String = other.chars().take(200).collect();
            let place = format!("files.{one:?}");
            let message = format!("is a file, and the folder of {shown:?}");
            return Err(RegistryError::Shape { place, message });
        }
    }
    Ok(())
}

/// Compares paths as file systems see them that ignore case. A slash comes before all else, so that
/// what is in a folder follows it at once.
fn compare(one: &str, other: &str) -> Ordering {
    if one.is_ascii() && other.is_ascii() {
        let fold = |byte: u8| if byte == b'/' { 0 } else { byte.to_ascii_lowercase() };
        return one.bytes().map(fold).cmp(other.bytes().map(fold));
    }
    folded(one).cmp(folded(other))
}

fn is_above(folder: &str, path: &str) -> bool {
    let mut path = folded(path);
    folded(folder).all(|c| path.next() == Some(c)) && path.next() == Some('\0')
}

fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase).map(|c| if c == '/' { '\0' } else { c })
}
