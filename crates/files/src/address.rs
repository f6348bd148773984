//! Addresses: `{source}@{ref}/{path}`, and what they mean.
//!
//! A ref may hold slashes, and so may a path; which is which is found by the refs that are known,
//! and `%2F` in the ref or in the path says it outright.

use crate::source::FileSource;
use callsheet_types::GitRef;

/// An address, taken apart as far as that needs no knowledge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// `{source}@{rest}`: the rest is a ref and a path.
    At {
        /// The source's key or name.
        source: String,
        /// Ref and path.
        rest: String,
    },
    /// Without a ref: a source and a path, or a model's whole name.
    Plain(String),
}

/// A text that is no address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{text:?} is no address: {reason}; expected SOURCE@REF/PATH, such as mf6/test@develop/test001a_Tharmonic"
)]
pub struct AddressError {
    /// The text.
    pub text: String,
    /// What is wrong.
    pub reason: &'static str,
}

/// A way to read ref and path out of what follows the `@`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Split {
    /// The ref.
    pub reference: GitRef,
    /// The path; empty where the address names the source at a ref.
    pub path: String,
}

impl Address {
    /// Takes an address apart.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = |reason| Err(AddressError { text: text.to_owned(), reason });
        let text = text.trim_end_matches('/');
        if text.is_empty() {
            return wrong("it is empty");
        }
        if text.split(['/', '@']).any(|part| part == "..")
            || text.contains('\\')
            || text.starts_with('/')
        {
            return wrong("it leaves its source");
        }
        match text.split_once('@') {
            None => Ok(Self::Plain(text.to_owned())),
            Some(("", _)) => wrong("it names no source"),
            Some((_, "")) => wrong("it names no ref after the `@`"),
            Some((source, rest)) => {
                Ok(Self::At { source: source.to_owned(), rest: rest.to_owned() })
            }
        }
    }
}

/// Returns the ways to read ref and path, the shortest ref first.
pub fn splits(rest: &str) -> Vec<Split> {
    if rest.to_ascii_lowercase().contains("%2f") {
        // What divides ref and path is the only slash that may stand for that.
        let (first, path) = rest.split_once('/').unwrap_or((rest, ""));
        let reference = GitRef::new(&decoded(first));
        return reference
            .map(|reference| Split { reference, path: decoded(path) })
            .into_iter()
            .collect();
    }
    let ends = rest.match_indices('/').map(|(at, _)| at).chain([rest.len()]);
    ends.filter_map(|end| {
        let reference = GitRef::new(&rest[..end]).ok()?;
        Some(Split { reference, path: rest[end..].trim_start_matches('/').to_owned() })
    })
    .collect()
}

fn decoded(text: &str) -> String {
    text.replace("%2F", "/").replace("%2f", "/")
}

/// Returns the address in the form that can be read in one way only.
pub fn canonical(source: &FileSource, reference: &GitRef, path: &str) -> String {
    let reference = reference.as_str().replace('/', "%2F");
    if path.is_empty() {
        format!("{}@{reference}", source.name)
    } else {
        format!("{}@{reference}/{path}", source.name)
    }
}

/// Returns the address in a form that can be read in one way only whatever else is known: for
/// where the usual one cannot.
pub(crate) fn unmistakable(source: &FileSource, reference: &GitRef, path: &str) -> String {
    if reference.as_str().contains('/') {
        canonical(source, reference, path)
    } else {
        canonical(source, reference, &path.replace('/', "%2F"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_at_its_first_at() {
        let at =
            |source: &str, rest: &str| Address::At { source: source.into(), rest: rest.into() };
        assert_eq!(Address::parse("mf6/test@develop/a/b"), Ok(at("mf6/test", "develop/a/b")));
        assert_eq!(Address::parse("x@a@b/c/"), Ok(at("x", "a@b/c")));
        assert_eq!(Address::parse("mf6/test/a"), Ok(Address::Plain("mf6/test/a".into())));
        for bad in ["", "@develop/a", "mf6/test@", "a@b/../c", "../a", "/a", "a\\b", "a@../b"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_ref_with_slashes_has_several_readings_unless_it_is_written_out() {
        let readings = |rest: &str| -> Vec<(String, String)> {
            splits(rest).into_iter().map(|s| (s.reference.to_string(), s.path)).collect()
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            readings("feature/x/m"),
            [pair("feature", "x/m"), pair("feature/x", "m"), pair("feature/x/m", "")]
        );
        assert_eq!(readings("feature%2Fx/m"), [pair("feature/x", "m")]);
        assert_eq!(readings("feature/x%2Fm"), [pair("feature", "x/m")]);
        assert_eq!(readings("develop"), [pair("develop", "")]);
    }
}
