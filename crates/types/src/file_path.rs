use serde::{Deserialize, Serialize};
use std::{borrow::Borrow, fmt};

/// The path of a published file, such as `test001a/flow15.dis`: relative, with `/` between its
/// parts, and safe to be made on any system.
///
/// It holds no `.` or `..`, no empty part, no backslash, colon or control character, no name that
/// Windows keeps for devices, no part that ends with a dot or a space, and no part `.git`, whose
/// `config` names programs to be run.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(Box<str>);

/// A text that cannot be the path of a published file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{path:?} cannot be the path of a published file: {reason}")]
pub struct FilePathError {
    /// The text.
    pub path: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Longer than any path that every system can make.
const MAX_BYTES: usize = 1024;
/// What most file systems allow for one name.
const MAX_PART_BYTES: usize = 255;

impl FilePath {
    /// Checks a path.
    pub fn new(text: &str) -> Result<Self, FilePathError> {
        match fault(text) {
            None => Ok(Self(text.into())),
            Some(reason) => Err(FilePathError { path: text.chars().take(200).collect(), reason }),
        }
    }

    /// Returns the path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path below a folder, if it is in it; of the empty folder, the whole path.
    pub fn below(&self, folder: &str) -> Option<&str> {
        if folder.is_empty() {
            return Some(&self.0);
        }
        self.0.strip_prefix(folder)?.strip_prefix('/')
    }

    /// Returns what the path is in; empty at the top.
    pub fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Returns the path as file systems that ignore case see it.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

fn fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }
    if text.len() > MAX_BYTES {
        return Some("it is longer than 1024 bytes");
    }
    if text.starts_with('/') {
        return Some("it is absolute");
    }
    let wrong = text.bytes().find_map(|byte| match byte {
        0..0x20 | 0x7f => Some("it holds a control character"),
        b'\\' => Some("it holds a backslash"),
        b':' => Some("it holds a colon, as drives and streams have it"),
        _ => None,
    });
    wrong.or_else(|| text.split('/').find_map(fault_of_part))
}

fn fault_of_part(part: &str) -> Option<&'static str> {
    match part {
        "" => Some("it has an empty part"),
        "." | ".." => Some("it has a part `.` or `..`"),
        part if part.len() > MAX_PART_BYTES => Some("it has a part longer than 255 bytes"),
        part if part.ends_with(['.', ' ']) => Some("it has a part that ends with a dot or a space"),
        part if is_device(part) => Some("it has a part that Windows keeps for a device"),
        part if is_git(part) => Some("it has a part `.git`, which git would take for its own"),
        _ => None,
    }
}

/// Returns whether a name is that of git's own folder on some system: one that ignores case, that
/// gives short names to long ones, or that skips characters without a width.
fn is_git(part: &str) -> bool {
    let is_name =
        |name: &str| name.eq_ignore_ascii_case(".git") || name.eq_ignore_ascii_case("git~1");
    if part.is_ascii() {
        return is_name(part);
    }
    let is_skipped = |c: char| {
        ['\u{200c}'..='\u{200f}', '\u{202a}'..='\u{202e}', '\u{206a}'..='\u{206f}']
            .iter()
            .any(|skipped| skipped.contains(&c))
            || c == '\u{feff}'
    };
    is_name(&part.replace(is_skipped, ""))
}

/// Returns whether Windows takes a name for a device, whatever its ending.
fn is_device(part: &str) -> bool {
    // Hardly any name begins like one.
    if !part.starts_with(['a', 'A', 'c', 'C', 'l', 'L', 'n', 'N', 'p', 'P']) {
        return false;
    }
    let stem = part.split('.').next().unwrap_or(part).trim_end();
    let is_any = |names: &[&str]| names.iter().any(|name| stem.eq_ignore_ascii_case(name));
    let numbered = |prefix: &str| {
        stem.len() == 4
            && stem.is_char_boundary(3)
            && stem[..3].eq_ignore_ascii_case(prefix)
            && stem.ends_with(|c: char| c.is_ascii_digit() && c != '0')
    };
    is_any(&["con", "prn", "aux", "nul", "conin$", "conout$"]) || numbered("com") || numbered("lpt")
}

impl TryFrom<String> for FilePath {
    type Error = FilePathError;
    fn try_from(text: String) -> Result<Self, FilePathError> {
        match fault(&text) {
            None => Ok(Self(text.into())),
            Some(_) => Self::new(&text),
        }
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> Self {
        path.0.into()
    }
}

impl AsRef<std::path::Path> for FilePath {
    fn as_ref(&self) -> &std::path::Path {
        std::path::Path::new(&*self.0)
    }
}

impl Borrow<str> for FilePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_stay_below_their_root_everywhere_are_paths() {
        for good in ["a", "a/b.dis", "ex-gwf/sub.d/x y", "..a/b..c", "ä/ü.nam", "console", "com0"]
            .into_iter()
            .chain([".gitignore", "git", "a.git", ".git1/x", "git~2", ".gi", "\u{200d}.gi"])
        {
            assert_eq!(FilePath::new(good).unwrap().as_str(), good);
        }
        let long = "x/".repeat(600) + "x";
        let wide = "x".repeat(256);
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a/..",
            ".",
            "./a",
            "a//b",
            "a/",
            "C:\\x",
            "C:x",
            "a\\b",
            "a\0",
            "a\nb",
            "a:stream",
            "nul",
            "a/CON",
            "Aux.txt",
            "com1",
            "LPT9.dis",
            "a./b",
            "a /b",
            "b.",
            &long,
            &wide,
        ] {
            assert!(FilePath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_is_written_where_git_looks_for_programs_to_run() {
        for bad in [
            ".git/config",
            "m/.git/hooks/pre-commit",
            "m/.GIT/config",
            ".Git",
            "a/git~1/config",
            "GIT~1",
            ".g\u{200c}it/config",
            "\u{feff}.git",
        ] {
            let error = FilePath::new(bad).unwrap_err();
            assert_eq!(
                (error.path.as_str(), error.reason),
                (bad, "it has a part `.git`, which git would take for its own")
            );
        }
        for bad in [".git./config", ".git /config", ".git::$INDEX_ALLOCATION/config"] {
            assert!(FilePath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_path_knows_what_it_is_in() {
        let path = FilePath::new("mf6/a/b.dis").unwrap();
        assert_eq!(path.below("mf6"), Some("a/b.dis"));
        assert_eq!(path.below(""), Some("mf6/a/b.dis"));
        assert_eq!(path.below("mf"), None);
        assert_eq!((path.folder(), FilePath::new("b").unwrap().folder()), ("mf6/a", ""));
    }
}
