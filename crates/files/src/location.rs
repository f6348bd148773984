//! Where in its repository a file is, when the registry was made elsewhere.
//!
//! Host, repository and commit come from the source, so that forks and mirrors work; an address in
//! a registry only tells the folder that its keys start from.

use callsheet_types::{GitRef, Repository};

/// Returns the folders that the keys below an address may start from, the likeliest first: what
/// follows `{owner}/{repository}/{ref}`. There are several where the ref is none of those known,
/// since it may hold slashes.
pub(crate) fn roots(base: &str, repository: &Repository, known: &[&GitRef]) -> Vec<String> {
    let path = base.split_once("://").map_or(base, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let Some((_host, path)) = path.split_once('/') else { return vec![String::new()] };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    // A mirror may have folders of its own before owner and repository.
    let named = parts.iter().skip(1).position(|part| part.eq_ignore_ascii_case(repository.name()));
    let after = named.map_or(2, |at| at + 2).min(parts.len());
    let mut rest = &parts[after..];
    if matches!(rest.first(), Some(&"raw" | &"blob" | &"tree")) {
        rest = &rest[1..];
    }
    if let ["refs", "heads" | "tags", below @ ..] = rest {
        rest = below;
    }
    let joined = rest.join("/");
    let mut found: Vec<&str> = known
        .iter()
        .filter_map(|reference| {
            let below = joined.strip_prefix(reference.as_str())?;
            (below.is_empty() || below.starts_with('/')).then(|| below.trim_start_matches('/'))
        })
        .collect();
    // Of refs where one begins with the other, the longer one leaves less.
    found.sort_by_key(|below| below.len());
    if let Some(below) = found.first() {
        return vec![(*below).to_owned()];
    }
    (1..=rest.len())
        .map(|count| rest[count..].join("/"))
        .chain(rest.is_empty().then(String::new))
        .collect()
}

/// Puts a folder before a key.
pub(crate) fn below(root: &str, key: &str) -> String {
    if root.is_empty() { key.to_owned() } else { format!("{root}/{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_what_follows_the_ref() {
        let repository = Repository::new("me/modflow6-testmodels").unwrap();
        let develop = GitRef::new("develop").unwrap();
        let feature = GitRef::new("feature/x").unwrap();
        let raw = "https://raw.githubusercontent.com/MODFLOW-ORG/modflow6-testmodels";
        for (base, known, expected) in [
            (format!("{raw}/develop/mf6"), vec![&develop], vec!["mf6"]),
            (format!("{raw}/develop"), vec![&develop], vec![""]),
            (format!("{raw}/feature/x/mf6"), vec![&develop, &feature], vec!["mf6"]),
            (format!("{raw}/feature/x/mf6"), vec![&develop], vec!["x/mf6", "mf6", ""]),
            (format!("{raw}/refs/heads/develop/mf6"), vec![&develop], vec!["mf6"]),
            (
                "https://github.com/MODFLOW-ORG/modflow6-testmodels/raw/master/mf6".to_owned(),
                vec![],
                vec!["mf6", ""],
            ),
            (
                "https://mirror/gh/a/modflow6-testmodels/develop/mf6".to_owned(),
                vec![&develop],
                vec!["mf6"],
            ),
            ("https://mirror".to_owned(), vec![], vec![""]),
        ] {
            assert_eq!(roots(&base, &repository, &known), expected, "{base}");
        }
    }
}
