//! Where in a workspace the files of sets go.

use crate::failure::Failure;
use anyhow::anyhow;
use callsheet_files::FileSet;
use callsheet_types::{Digest, FilePath};
use std::collections::HashMap;

/// Returns what goes where.
pub(super) fn placed_files(sets: &[FileSet]) -> Result<Vec<(FilePath, Digest)>, Failure> {
    let known = places(sets)?.into_iter().map(|(path, digest)| match digest {
        Some(digest) => Ok((path, digest)),
        None => Err(Failure::new(anyhow!("what is to be copied to {path} is not known"))),
    });
    known.collect()
}

/// Returns what goes where, as far as that is known before it is fetched.
pub(super) fn places(sets: &[FileSet]) -> Result<Vec<(FilePath, Option<Digest>)>, Failure> {
    let addresses: Vec<&str> = sets.iter().map(|set| &*set.address).collect();
    let mut places = Vec::new();
    for (set, folder) in sets.iter().zip(folders(&addresses)) {
        for file in &set.files {
            places.push((FilePath::new(&format!("{folder}{}", file.path))?, file.digest));
        }
    }
    Ok(places)
}

/// Returns the folder that each set gets: none where there is only one, and otherwise one of the
/// model's name. Where models of several sources or refs meet in a folder, each gets one of its whole
/// address.
fn folders(addresses: &[&str]) -> Vec<String> {
    if let [_] = addresses {
        return vec![String::new()];
    }
    let parts: Vec<(&str, String)> = addresses.iter().map(|address| split(address)).collect();
    let folded: Vec<String> = parts.iter().map(|(_, folder)| folder.to_lowercase()).collect();
    // Whose a folder is, and whose folders are at it or below it.
    let (mut own, mut within) = (HashMap::new(), HashMap::new());
    for ((origin, _), folder) in parts.iter().zip(&folded) {
        note(&mut own, folder, origin);
        for above in with_those_above(folder) {
            note(&mut within, above, origin);
        }
    }
    let named = parts.iter().zip(&folded).map(|((origin, folder), folded)| {
        let is_others = |whose: &HashMap<&str, Option<&str>>, folder: &str| {
            whose.get(folder).is_some_and(|whose| *whose != Some(*origin))
        };
        let meets = is_others(&within, folded)
            || with_those_above(folded).any(|above| is_others(&own, above));
        if meets { format!("{origin}{folder}") } else { folder.clone() }
    });
    named.collect()
}

/// Takes an address apart into source and ref, with the slash after them, and the model's folder.
fn split(address: &str) -> (&str, String) {
    let at = address.find('@').map_or(0, |at| at + 1);
    let model = address[at..].find('/').map_or(at, |slash| at + slash + 1);
    (&address[..model], format!("{}/", &address[model..]))
}

/// Notes whose a folder is; of several, nobody's alone.
fn note<'a>(whose: &mut HashMap<&'a str, Option<&'a str>>, folder: &'a str, origin: &'a str) {
    let noted = whose.entry(folder).or_insert(Some(origin));
    if *noted != Some(origin) {
        *noted = None;
    }
}

fn with_those_above(folder: &str) -> impl Iterator<Item = &str> {
    folder.match_indices('/').map(|(slash, _)| &folder[..=slash])
}

#[cfg(test)]
mod tests {
    use super::folders;

    #[test]
    fn models_of_several_refs_that_would_meet_lie_under_their_addresses() {
        assert_eq!(folders(&["s@r/a/b"]), [""]);
        assert_eq!(folders(&["s@r/a", "s@r/a/b", "t@r/c"]), ["a/", "a/b/", "c/"]);
        assert_eq!(
            folders(&["m/s@r/a", "m/s@f%2Fx/a", "m/s@r/b"]),
            ["m/s@r/a/", "m/s@f%2Fx/a/", "b/"]
        );
        // One below the other, and where case does not count.
        assert_eq!(folders(&["s@r/a", "s@q/A/b", "s@q/ab"]), ["s@r/a/", "s@q/A/b/", "ab/"]);
    }
}
