//! A registry file that is changed in place: what refreshing learns goes into it, and everything
//! else in it stays, known or not.
//!
//! The file is ratatoskr's: `{version, models, presets}`, or the bare list of models that it was
//! before. It is worked on as JSON, so that keys, capabilities and presets that this version does
//! not know survive. Reading, merging and writing are apart, because asking providers takes time:
//! [`RegistryFile::write`] refuses when somebody else has changed the file meanwhile.

use crate::{
    Facts,
    formats::{Format, FormatError, json, layout, registry},
};
use callsheet_types::Digest;
use serde_json::Value;
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// A registry file as it was read, and what has been merged since.
#[derive(Clone, Debug)]
pub struct RegistryFile {
    /// The file itself: where a symbolic link leads.
    path: PathBuf,
    /// What it held.
    read: Digest,
    document: Value,
    /// Where the models of each id stand in the list.
    by_id: HashMap<String, Vec<usize>>,
}

/// What became of a merge.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Merged {
    /// Whether the file now says something else.
    pub changed: bool,
    /// What could not be put in, such as a price that is dynamic.
    pub left: Vec<String>,
}

/// Why a registry file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum RegistryFileError {
    /// It cannot be read.
    #[error("{path} cannot be read", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It is no registry.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Somebody has changed or replaced it since it was read; nothing was written.
    #[error("{path} has been changed meanwhile; nothing was written", path = .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written; it is as it was.
    #[error("{path} cannot be written; it is as it was", path = .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

impl RegistryFile {
    /// Reads a file, through a symbolic link if it is one.
    pub fn read(path: &Path) -> Result<Self, RegistryFileError> {
        let unreadable = |cause| RegistryFileError::Unreadable { path: path.to_owned(), cause };
        let target = fs::canonicalize(path).map_err(unreadable)?;
        let bytes = fs::read(&target).map_err(unreadable)?;
        let document = parse(&path.display().to_string(), &bytes)?;
        Ok(Self::of(target, &bytes, document))
    }

    /// Reads a text that is in no file, and so cannot be written.
    pub(crate) fn in_memory(bytes: &[u8]) -> Result<Self, FormatError> {
        let document = parse("registry", bytes)?;
        Ok(Self::of(PathBuf::new(), bytes, document))
    }

    fn of(path: PathBuf, bytes: &[u8], document: Value) -> Self {
        let by_id = HashMap::new();
        let mut file = Self { path, read: Digest::of(bytes), document, by_id };
        let mut by_id: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, entry) in file.models().iter().enumerate() {
            if let Some((_, id)) = named(entry) {
                by_id.entry(id.to_owned()).or_default().push(index);
            }
        }
        file.by_id = by_id;
        file
    }

    /// Returns each model's provider and id, in the order of ids. Entries without them are kept and
    /// not among these.
    pub fn ids(&self) -> Vec<(String, String)> {
        let mut ids: Vec<_> = self.models().iter().filter_map(named).collect();
        ids.sort_unstable_by_key(|(provider, id)| (*id, *provider));
        ids.into_iter().map(|(provider, id)| (provider.to_owned(), id.to_owned())).collect()
    }

    /// Returns how many entries there are that name no model.
    pub fn nameless(&self) -> usize {
        self.models().iter().filter(|entry| named(entry).is_none()).count()
    }

    /// Puts what is known of a model over what the file says of it.
    ///
    /// Parameters are replaced one by one, the price as a whole, other fields where the facts say
    /// them; capabilities are added. What the facts do not say stays. A model that is not there is
    /// added. One that is there once with its id, under another provider, gets the new provider.
    pub fn merge(&mut self, id: &str, provider: &str, facts: &Facts) -> Merged {
        let Some(models) = models_mut(&mut self.document) else { return Merged::default() };
        let same_id = self.by_id.get(id).map_or(&[][..], Vec::as_slice);
        let exactly = same_id.iter().find(|index| named(&models[**index]) == Some((provider, id)));
        let found = match (exactly, same_id) {
            (Some(index), _) | (None, [index]) => Some(*index),
            _ => None,
        };
        let Some(index) = found else {
            let mut entry = registry::blank(provider, id);
            let left = registry::merge(&mut entry, facts);
            self.by_id.entry(id.to_owned()).or_default().push(models.len());
            models.push(Value::Object(entry));
            return Merged { changed: true, left };
        };
        let before = models[index].clone();
        let Value::Object(entry) = &mut models[index] else { return Merged::default() };
        let left = registry::merge(entry, facts);
        if let Some(Value::Object(info)) = entry.get_mut("info") {
            info.insert("provider".to_owned(), provider.into());
        }
        Merged { changed: models[index] != before, left }
    }

    /// Returns the file's text: models in the order of ids, keys in a fixed order, two spaces, a
    /// newline at the end.
    pub fn render(&self) -> Vec<u8> {
        let mut document = self.document.clone();
        if let Some(models) = models_mut(&mut document) {
            // Entries without a name keep their order, behind the others.
            let by_id = |entry: &Value| {
                named(entry).map(|(provider, id)| (id.to_owned(), provider.to_owned()))
            };
            models.sort_by_cached_key(|entry| (by_id(entry).is_none(), by_id(entry)));
        }
        layout::registry(&document)
    }

    /// Writes the file unless it says all of this already; returns whether it was written.
    ///
    /// The new text is written beside it, brought to the disk and put in its place, so that a crash
    /// leaves the old file or the new. Two writers at once take turns, and the later one is told
    /// that the file has [changed](RegistryFileError::Changed) since it read it. Blocks.
    pub fn write(&mut self) -> Result<bool, RegistryFileError> {
        let path = self.path.clone();
        let unwritable = |cause| RegistryFileError::Unwritable { path: path.clone(), cause };
        let (mut locked, metadata) = lock(&path).map_err(unwritable)?;
        let mut held = Vec::new();
        locked.read_to_end(&mut held).map_err(unwritable)?;
        if Digest::of(&held) != self.read {
            return Err(RegistryFileError::Changed { path });
        }
        let text = self.render();
        if text == held {
            return Ok(false);
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut temporary = tempfile::Builder::new()
            .prefix(".registry-")
            .suffix(".tmp")
            .tempfile_in(folder)
            .map_err(unwritable)?;
        temporary.write_all(&text).map_err(unwritable)?;
        temporary.as_file().set_permissions(metadata.permissions()).map_err(unwritable)?;
        temporary.as_file().sync_all().map_err(unwritable)?;
        temporary.persist(&path).map_err(|error| unwritable(error.error))?;
        // The name is part of the folder, which has to get to the disk too.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritable)?;
        self.read = Digest::of(&text);
        Ok(true)
    }

    fn models(&self) -> &[Value] {
        let list = match &self.document {
            Value::Object(table) => table.get("models"),
            list => Some(list),
        };
        list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

fn models_mut(document: &mut Value) -> Option<&mut Vec<Value>> {
    match document {
        Value::Object(table) => table.get_mut("models")?.as_array_mut(),
        list => list.as_array_mut(),
    }
}

/// Reads a registry's text; `file` is what messages call it.
fn parse(file: &str, bytes: &[u8]) -> Result<Value, FormatError> {
    let document = json::parse(Format::Registry, file, bytes)?;
    registry::models_of(file, &document.value)?;
    Ok(document.value)
}

/// Returns an entry's provider and id.
fn named(entry: &Value) -> Option<(&str, &str)> {
    let info = entry.get("info")?;
    let id = info.get("id")?.as_str().filter(|id| !id.is_empty())?;
    Some((info.get("provider").and_then(Value::as_str).unwrap_or_default(), id))
}

/// Opens a file and locks it against other writers, who wait. Whoever waited may hold a file that
/// has been replaced: then it is opened again.
fn lock(path: &Path) -> io::Result<(File, fs::Metadata)> {
    loop {
        let file = File::options().read(true).write(true).open(path)?;
        file.lock()?;
        let held = file.metadata()?;
        if is_same_file(&held, &fs::metadata(path)?) {
            return Ok((file, held));
        }
    }
}

#[cfg(unix)]
fn is_same_file(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same_file(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    // A file that is open and locked cannot be replaced here.
    true
}
