//! Registry files: what a source publishes at one ref, whoever wrote it down.

mod compiled;
mod difference;
mod outline;
mod parse;
#[doc(hidden)]
pub mod replay;
mod same_name;
mod statements;
#[cfg(test)]
mod statements_test;
mod value;
mod write;

pub(crate) use same_name::{Clash, check as check_names};

use callsheet_types::{Digest, FilePath};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a registry file lists.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Publishes {
    /// `models.toml`: models, each of several files, and examples, which are groups of models.
    #[default]
    Models,
    /// `programs.toml`: programs, each with an archive for every platform.
    Programs,
    /// `dfns.toml`: definition files, one for each component.
    Dfns,
}

impl Publishes {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Models, Self::Programs, Self::Dfns];

    /// Returns the name, as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Programs => "programs",
            Self::Dfns => "dfns",
        }
    }

    /// Returns what its registry file is called.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Models => "models.toml",
            Self::Programs => "programs.toml",
            Self::Dfns => "dfns.toml",
        }
    }
}

impl fmt::Display for Publishes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a source publishes at one ref. One of 100,000 files takes some 15 MB.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Registry {
    /// What it lists.
    pub publishes: Publishes,
    /// The files, in the order of their keys.
    pub files: Vec<File>,
    /// The models (programs for a platform, components), in the order of their names.
    pub models: Vec<Model>,
    /// The examples, in the order of their names.
    pub examples: Vec<Example>,
    /// What stands before a file's key in its address, each once; see [`File::base`].
    pub bases: Vec<Box<str>>,
    /// What is said of programs, in the order of their names.
    pub programs: Vec<Program>,
}

/// A file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct File {
    /// Its path from where the registry was made.
    pub key: FilePath,
    /// Its digest; a file without one cannot be verified until it has been fetched once.
    pub digest: Option<Digest>,
    /// Its address, where the registry says one.
    pub base: Base,
}

/// How a registry says where a file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Base {
    /// It does not.
    None,
    /// The address is this one of [`Registry::bases`], a slash, and the key.
    BeforeKey(u32),
    /// The address is this one of [`Registry::bases`] as it stands: an archive that holds the file.
    Archive(u32),
}

/// A model: a named list of files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Model {
    /// Its name, such as `mf6/test/test001a_Tharmonic`.
    pub name: Box<str>,
    /// Where its files stand in [`Registry::files`], in the order in which they are published.
    pub files: Vec<u32>,
}

/// A named list of models.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Example {
    /// Its name.
    pub name: Box<str>,
    /// The models' names, in the order in which they are to be run.
    pub models: Vec<Box<str>>,
}

/// A program. Each of its distributions is a model too, `NAME/DISTRIBUTION`, of one file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// Its name, such as `mf6`.
    pub name: Box<str>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its license.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Its executable's path in the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// Its archives, in the order in which they are published.
    pub dists: Vec<Distribution>,
}

/// A program's archive for one platform.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// The platform: `linux`, `mac`, `macarm`, `win64`, …
    pub name: Box<str>,
    /// The release's file.
    pub asset: FilePath,
    /// The executable's path in it, where it is another than the program's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
}

/// A registry file of which nothing is used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RegistryError {
    /// It is no TOML.
    #[error("line {line} is no TOML: {message}")]
    Toml {
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// It is a web page, as a proxy or a login answers.
    #[error("it is a web page")]
    WebPage,
    /// It is TOML, and not what a registry file says.
    #[error("`{place}` {message}")]
    Shape {
        /// The key, such as `files."a/b".hash`.
        place: String,
        /// What is wrong, and what was expected.
        message: String,
    },
    /// It is of a version that nobody here knows.
    #[error("its schema_version is {0:?}; this program reads 1")]
    Version(String),
    /// A path that would be written elsewhere: somebody means harm, and none of it is used.
    #[error("it holds an unsafe path, and nothing of it is used: {0}")]
    Unsafe(#[from] callsheet_types::FilePathError),
    /// Two keys that are one file where case does not count.
    #[error("{0:?} and {1:?} are one file where case does not count")]
    SameName(String, String),
}

/// Where two registries differ, by key and by name, each in order.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Files that only the newer one has.
    pub files_added: Vec<String>,
    /// Files of other content.
    pub files_changed: Vec<String>,
    /// Files that only the older one has.
    pub files_gone: Vec<String>,
    /// Models that only the newer one has.
    pub models_added: Vec<String>,
    /// Models with other files, or files of other content.
    pub models_changed: Vec<String>,
    /// Models that only the older one has.
    pub models_gone: Vec<String>,
}

/// How addresses are written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Addresses {
    /// As `{base}/{key}`.
    BeforeKey(String),
    /// All files are in this archive. Their digests are then written as `digest`, which the Python
    /// package does not read, as it takes a file that has a `hash` for one to fetch by itself.
    Archive(String),
    /// Not at all; digests are then written with `sha256:`.
    None,
}

impl Registry {
    /// Reads a registry file, which is decompressed already.
    pub fn parse(publishes: Publishes, bytes: &[u8]) -> Result<Self, RegistryError> {
        parse::parse(publishes, bytes)
    }

    /// Writes a `models.toml` or `dfns.toml` that both this program and the Python package read:
    /// the same registry gives the same bytes.
    pub fn write(&self, addresses: &Addresses) -> String {
        write::write(self, addresses)
    }

    /// Returns a form that is read much faster than TOML.
    pub fn compile(&self) -> Vec<u8> {
        compiled::compile(self)
    }

    /// Reads what [`Registry::compile`] wrote; `None` where it is damaged, or of another version of
    /// this program.
    pub fn load(compiled: &[u8]) -> Option<Self> {
        compiled::load(compiled)
    }

    /// Returns a file by its key.
    pub fn file(&self, key: &str) -> Option<&File> {
        let at = self.files.binary_search_by(|file| file.key.as_str().cmp(key)).ok()?;
        self.files.get(at)
    }

    /// Returns a model by its name.
    pub fn model(&self, name: &str) -> Option<&Model> {
        let at = self.models.binary_search_by(|model| (*model.name).cmp(name)).ok()?;
        self.models.get(at)
    }

    /// Returns an example by its name.
    pub fn example(&self, name: &str) -> Option<&Example> {
        let at = self.examples.binary_search_by(|example| (*example.name).cmp(name)).ok()?;
        self.examples.get(at)
    }

    /// Returns the files of a model.
    pub fn files_of<'a>(&'a self, model: &'a Model) -> impl Iterator<Item = &'a File> {
        model.files.iter().filter_map(|&at| self.files.get(at as usize))
    }

    /// Returns a file's address, where the registry says one.
    pub fn url(&self, file: &File) -> Option<String> {
        match file.base {
            Base::None => None,
            Base::BeforeKey(at) => {
                self.bases.get(at as usize).map(|base| format!("{base}/{}", file.key))
            }
            Base::Archive(at) => self.bases.get(at as usize).map(ToString::to_string),
        }
    }

    /// Returns what a newer registry says otherwise.
    pub fn difference(&self, newer: &Self) -> Difference {
        difference::difference(self, newer)
    }
}

/// Returns the folder that all of these files are in.
fn folder_of<'f>(files: &[&'f File]) -> &'f str {
    let mut folder = files.first().map_or("", |file| file.key.folder());
    for file in files {
        while !folder.is_empty() && file.key.below(folder).is_none() {
            folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
        }
    }
    folder
}
