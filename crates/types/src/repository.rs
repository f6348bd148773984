use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// A repository, `{owner}/{name}`, such as `MODFLOW-ORG/modflow6-testmodels`. Cloning shares the
/// text.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository(Arc<str>);

/// A text that names no repository.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no repository: expected `owner/name`, each of letters, digits, `.`, `_` or `-`")]
pub struct RepositoryError(pub String);

impl Repository {
    /// Checks a repository's name.
    pub fn new(text: &str) -> Result<Self, RepositoryError> {
        let is_name = |name: &str| {
            (1..=100).contains(&name.len())
                && !matches!(name, "." | "..")
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        match text.split_once('/') {
            Some((owner, name)) if is_name(owner) && is_name(name) => Ok(Self(text.into())),
            _ => Err(RepositoryError(text.to_owned())),
        }
    }

    /// Returns owner and name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name without its owner.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl TryFrom<String> for Repository {
    type Error = RepositoryError;
    fn try_from(text: String) -> Result<Self, RepositoryError> {
        Self::new(&text)
    }
}

impl std::str::FromStr for Repository {
    type Err = RepositoryError;
    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        Self::new(text)
    }
}

impl From<Repository> for String {
    fn from(repository: Repository) -> Self {
        repository.0.as_ref().to_owned()
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A git ref as people write it: a branch, a tag, a commit's hash or its beginning; it may hold
/// slashes. Cloning shares the text.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GitRef(Arc<str>);

/// A text that git takes for no ref.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no git ref: expected a branch, a tag or a commit, such as develop or feature/x")]
pub struct GitRefError(pub String);

impl GitRef {
    /// Checks a ref by the rules of `git check-ref-format`.
    pub fn new(text: &str) -> Result<Self, GitRefError> {
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.to_ascii_lowercase().ends_with(".lock")
        };
        let is_ref = text.len() <= 255
            && !text.starts_with('-')
            && !text.ends_with('.')
            && !text.contains("..")
            && !text.contains("@{")
            && text != "@"
            && text.split('/').all(is_part)
            && !text.contains(|c: char| {
                c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\')
            });
        if is_ref { Ok(Self(text.into())) } else { Err(GitRefError(text.to_owned())) }
    }

    /// Returns the ref as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it may be a commit's hash, or the beginning of one.
    pub fn may_be_commit(&self) -> bool {
        (4..=64).contains(&self.0.len()) && self.0.bytes().all(|b| b.is_ascii_hexdigit())
    }
}

impl TryFrom<String> for GitRef {
    type Error = GitRefError;
    fn try_from(text: String) -> Result<Self, GitRefError> {
        Self::new(&text)
    }
}

impl std::str::FromStr for GitRef {
    type Err = GitRefError;
    fn from_str(text: &str) -> Result<Self, GitRefError> {
        Self::new(text)
    }
}

impl From<GitRef> for String {
    fn from(reference: GitRef) -> Self {
        reference.0.as_ref().to_owned()
    }
}

impl fmt::Display for GitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_have_an_owner_and_a_name() {
        assert_eq!(Repository::new("MODFLOW-ORG/modflow6.x").unwrap().name(), "modflow6.x");
        for bad in ["", "a", "a/", "/b", "a/b/c", "a b/c", "../x", "a/..", "a/b?c"] {
            assert_eq!(Repository::new(bad), Err(RepositoryError(bad.to_owned())));
        }
    }

    #[test]
    fn refs_are_what_git_takes() {
        for good in ["develop", "feature/x", "v1.2.3", "6.7.0", "f3df630", "a@b", "ü"] {
            assert_eq!(GitRef::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "", "/a", "a/", "a//b", "-a", "a..b", "../x", "a b", "a.lock", "a/.b", "@", "a\\b", ".",
        ] {
            assert_eq!(GitRef::new(bad), Err(GitRefError(bad.to_owned())));
        }
        assert!(GitRef::new("f3df630").unwrap().may_be_commit());
        assert!(!GitRef::new("develop").unwrap().may_be_commit());
    }
}
