//! The paths of an archive: each on its own, and all of them together.

use crate::{
    TreeError,
    tree::{Checked, check_path},
};
use callsheet_types::FilePath;
use std::collections::{HashMap, HashSet, hash_map};

/// The paths that were met so far.
pub(super) struct Names<'a> {
    archive: &'a str,
    max_members: usize,
    count: usize,
    without_top_folder: bool,
    top: Option<String>,
    /// Files as systems that ignore case see them; how they are written, where that differs.
    files: HashMap<Box<str>, Option<Box<str>>>,
    folders: HashSet<Box<str>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(archive: &'a str, without_top_folder: bool, max_members: usize) -> Self {
        Self {
            archive,
            max_members,
            count: 0,
            without_top_folder,
            top: None,
            files: HashMap::new(),
            folders: HashSet::new(),
        }
    }

    /// Refuses more members than there may be.
    pub(super) fn count_to(&self, count: u64) -> Result<(), TreeError> {
        if count <= self.max_members as u64 {
            return Ok(());
        }
        Err(TreeError::TooMany { name: self.archive.to_owned(), max_entries: self.max_members })
    }

    /// Checks a folder, which is not shown.
    pub(super) fn folder(&mut self, text: &str) -> Result<(), TreeError> {
        let Some(path) = self.checked(text.trim_end_matches('/'), text)? else { return Ok(()) };
        if self.without_top_folder && !path.as_str().contains('/') {
            return self.under_top(path.as_str(), path.as_str());
        }
        let path = self.below_top(path)?;
        if let Some(other) = self.files.get(path.folded().as_str()) {
            let other = other.as_deref().unwrap_or(path.as_str()).to_owned();
            return Err(self.alike(path.as_str(), other));
        }
        self.enter(path.as_str())?;
        self.folders.insert(path.folded().into());
        Ok(())
    }

    /// Checks anything else, and returns its path.
    pub(super) fn file(&mut self, text: &str) -> Result<FilePath, TreeError> {
        let Some(path) = self.checked(text, text)? else {
            return Err(self.bad(text, "it names nothing"));
        };
        let path = self.below_top(path)?;
        let folded: Box<str> = path.folded().into();
        self.enter(path.as_str())?;
        if self.folders.contains(&folded) {
            return Err(self.alike(path.as_str(), format!("{folded}/")));
        }
        let written = (*folded != *path.as_str()).then(|| path.as_str().into());
        match self.files.entry(folded) {
            hash_map::Entry::Vacant(place) => {
                place.insert(written);
                Ok(path)
            }
            hash_map::Entry::Occupied(place) if *place.get() == written => {
                Err(TreeError::Twice { name: self.archive.to_owned(), path: path.into() })
            }
            hash_map::Entry::Occupied(place) => {
                let other = place.get().as_deref().unwrap_or(place.key()).to_owned();
                Err(self.alike(path.as_str(), other))
            }
        }
    }

    /// Counts a member, and checks its path on its own; `None` is the root itself.
    fn checked(&mut self, text: &str, whole: &str) -> Result<Option<FilePath>, TreeError> {
        self.count += 1;
        self.count_to(self.count as u64)?;
        match check_path(whole) {
            Checked::Hostile => {
                let path = whole.chars().take(200).collect();
                return Err(TreeError::Hostile { name: self.archive.to_owned(), path });
            }
            Checked::Root => return Ok(None),
            Checked::Path(_) => {}
        }
        let mut text = text;
        while let Some(rest) = text.strip_prefix("./") {
            text = rest.trim_start_matches('/');
        }
        FilePath::new(text).map(Some).map_err(|error| self.bad(whole, error.reason))
    }

    fn below_top(&mut self, path: FilePath) -> Result<FilePath, TreeError> {
        if !self.without_top_folder {
            return Ok(path);
        }
        let Some((top, rest)) = path.as_str().split_once('/') else {
            return Err(self.no_top(path.as_str()));
        };
        self.under_top(top, path.as_str())?;
        FilePath::new(rest).map_err(|error| self.bad(path.as_str(), error.reason))
    }

    fn under_top(&mut self, top: &str, path: &str) -> Result<(), TreeError> {
        match &self.top {
            Some(known) if known == top => Ok(()),
            Some(_) => Err(self.no_top(path)),
            None => {
                self.top = Some(top.to_owned());
                Ok(())
            }
        }
    }

    /// Notes the folders that a path is in.
    fn enter(&mut self, path: &str) -> Result<(), TreeError> {
        let mut rest = path;
        while let Some((parent, _)) = rest.rsplit_once('/') {
            let folded: Box<str> = parent.to_lowercase().into();
            if let Some(other) = self.files.get(&folded) {
                let other = other.as_deref().unwrap_or(&folded).to_owned();
                return Err(self.alike(path, other));
            }
            if !self.folders.insert(folded) {
                break;
            }
            rest = parent;
        }
        Ok(())
    }

    fn bad(&self, path: &str, reason: &'static str) -> TreeError {
        let path = path.chars().take(200).collect();
        TreeError::BadPath { name: self.archive.to_owned(), path, reason }
    }

    fn alike(&self, path: &str, other: String) -> TreeError {
        TreeError::Alike { name: self.archive.to_owned(), path: path.to_owned(), other }
    }

    fn no_top(&self, path: &str) -> TreeError {
        TreeError::NoTopFolder {
            name: self.archive.to_owned(),
            path: path.to_owned(),
            top: self.top.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(without_top_folder: bool, paths: &[&str]) -> Result<Vec<String>, String> {
        let mut names = Names::new("x", without_top_folder, 5);
        let mut files = Vec::new();
        for path in paths {
            if path.ends_with('/') {
                names.folder(path).map_err(|error| error.to_string())?;
            } else {
                files.push(names.file(path).map_err(|error| error.to_string())?.into());
            }
        }
        Ok(files)
    }

    #[test]
    fn paths_can_be_side_by_side() {
        let good = check(false, &["./", "./a/", "./a/b", "a/c", "A.b"]).unwrap();
        assert_eq!(good, ["a/b", "a/c", "A.b"]);
        for (paths, said) in [
            (&["a", "./a"][..], "\"a\" twice"),
            (&["B/a", "b/A"], "\"b/A\" and \"B/a\""),
            (&["ä", "Ä"], "\"Ä\" and \"ä\""),
            (&["a", "a/b"], "\"a/b\" and \"a\""),
            (&["a/b", "A"], "\"A\" and \"a/\""),
            (&["a/b/", "a/b"], "\"a/b\" and \"a/b/\""),
            (&["a", "A/"], "\"A\" and"),
            (&["a/../b"], "leaves its root"),
            (&["a", "/b/"], "leaves its root"),
            (&["."], "names nothing"),
            (&["a\\b"], "backslash"),
            (&["a/nul.txt"], "device"),
            (&["con/"], "device"),
            (&["a/./b"], "a part `.`"),
            (&["1", "2", "3", "4", "5", "6"], "more than 5 files"),
        ] {
            let error = check(false, paths).unwrap_err();
            assert!(error.contains(said), "{paths:?}: {error}");
        }
    }

    #[test]
    fn one_folder_at_the_top_is_taken_off() {
        assert_eq!(check(true, &["r/", "r/a", "./r/b/c"]).unwrap(), ["a", "b/c"]);
        for (paths, said) in [
            (&["r/a", "s/a"][..], "it holds \"s/a\" beside \"r\""),
            (&["r/", "s/"], "it holds \"s\" beside \"r\""),
            (&["a"], "it holds \"a\""),
            (&["r/a", "a"], "it holds \"a\" beside \"r\""),
        ] {
            let error = check(true, paths).unwrap_err();
            assert!(error.contains(said), "{paths:?}: {error}");
        }
    }
}
