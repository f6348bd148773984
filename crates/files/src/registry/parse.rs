//! Reading a registry file into a [`Registry`], whichever program wrote it.

use super::{
    Base, Distribution, Example, File, Model, Program, Publishes, Registry, RegistryError,
    outline::{Outline, Place},
    same_name::Clash,
    statements::{Fault, Key, Statement, Statements},
    value::Value,
};
use callsheet_types::{Digest, FilePath};
use std::{borrow::Cow, collections::HashMap, fmt::Write as _};

/// Reads a registry file.
pub(super) fn parse(publishes: Publishes, bytes: &[u8]) -> Result<Registry, RegistryError> {
    let text = text(bytes)?;
    let mut outline = Outline::of(text);
    let mut reader = Reader { publishes, ..Reader::default() };
    let mut table = Place::ROOT;
    let mut header: Vec<Key> = Vec::new();
    let fail = |fault: Fault| RegistryError::Toml {
        line: line_of(text, fault.at),
        message: fault.message,
    };
    for statement in Statements::of(text) {
        match statement.map_err(fail)? {
            Statement::Table(path) => {
                table = outline.table(&path).map_err(|at| fail(taken(text, at)))?;
                header = path;
                reader.open(&place(&header, &[]), false);
            }
            Statement::Element(path) => {
                table = outline.element(&path).map_err(|at| fail(taken(text, at)))?;
                header = path;
                reader.open(&place(&header, &[]), true);
            }
            Statement::Pair(path, value) => {
                outline.pair(table, &path).map_err(|at| fail(taken(text, at)))?;
                reader.put(&place(&header, &path), value);
            }
        }
    }
    drop(outline);
    reader.finish()
}

/// Returns the text, if it may be TOML at all.
fn text(bytes: &[u8]) -> Result<&str, RegistryError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.trim_ascii_start().starts_with(b"<") {
        return Err(RegistryError::WebPage);
    }
    if u32::try_from(bytes.len()).is_err() {
        let message = "it is larger than 4 GiB".to_owned();
        return Err(RegistryError::Toml { line: 1, message });
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.split(|&byte| byte == b'\n').count();
        RegistryError::Toml { line, message: "its text is not UTF-8".to_owned() }
    })
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].split(|&byte| byte == b'\n').count()
}

fn taken(text: &str, span: toml_parser::Span) -> Fault {
    let key = text.get(span.start()..span.end()).unwrap_or_default();
    Fault { at: span.start(), message: format!("the key {key} stands there twice") }
}

fn place<'k>(header: &'k [Key<'_>], path: &'k [Key<'_>]) -> Vec<&'k str> {
    header.iter().chain(path).map(|key| &*key.text).collect()
}

/// What has been read so far. The outline has seen to it that no key comes twice.
#[derive(Default)]
struct Reader<'i> {
    publishes: Publishes,
    version: Option<String>,
    /// The first thing that is wrong. What follows is read for its version only: a newer format may
    /// well say things otherwise.
    wrong: Option<RegistryError>,
    files: Vec<File>,
    bases: Vec<Box<str>>,
    known_bases: HashMap<Box<str>, u32>,
    models: Vec<Listed<'i>>,
    examples: Vec<Listed<'i>>,
    programs: Vec<Program>,
    /// The archives of each program, as they are read.
    dists: Vec<Vec<Dist>>,
    known_programs: HashMap<Box<str>, usize>,
}

/// A named list of names.
struct Listed<'i> {
    name: Box<str>,
    names: Vec<Cow<'i, str>>,
}

#[derive(Default)]
struct Dist {
    name: Option<Box<str>>,
    asset: Option<FilePath>,
    exe: Option<String>,
    digest: Option<Digest>,
}

impl<'i> Reader<'i> {
    /// Takes a table's header.
    fn open(&mut self, place: &[&str], is_element: bool) {
        if self.wrong.is_some() {
            return;
        }
        let result = match (self.publishes, place) {
            (Publishes::Programs, ["programs", name, "dists"]) if is_element => {
                self.program(name).map(|at| self.dists[at].push(Dist::default()))
            }
            (Publishes::Programs, ["programs"] | ["programs", _]) if is_element => {
                Err(wrong(place, "is a list of tables; expected a table"))
            }
            (Publishes::Programs, ["programs", _, "dists"]) => {
                Err(wrong(place, "is a table; expected a list of tables"))
            }
            (Publishes::Programs, ["programs", name]) => self.program(name).map(|_| ()),
            (Publishes::Programs, _) => Ok(()),
            (_, ["files" | "models" | "examples"] | ["files", _]) if is_element => {
                Err(wrong(place, "is a list of tables; expected a table"))
            }
            (_, ["files", key]) => self.file(key).map(|_| ()),
            (_, ["files", key, "url" | "hash" | "digest" | "path"]) => {
                self.file(key).and(Err(wrong(place, "is a table; expected a text")))
            }
            (Publishes::Models, ["models" | "examples", _, ..]) => {
                Err(wrong(place, "is a table; expected a list of names"))
            }
            _ => Ok(()),
        };
        self.wrong = result.err();
    }

    /// Takes a key with its value.
    fn put(&mut self, place: &[&str], value: Value<'i>) {
        if let ["schema_version"] = place {
            match value {
                Value::Text(text) | Value::Other(text, _) => self.version = Some(text.into()),
                Value::Array(_) | Value::Table(_) => {
                    self.wrong.get_or_insert(wrong(place, "is no text"));
                }
            }
            return;
        }
        if self.wrong.is_none() {
            let result = match self.publishes {
                Publishes::Models | Publishes::Dfns => self.put_file_or_list(place, value),
                Publishes::Programs => self.put_program(place, value),
            };
            if let Err(error) = result {
                self.wrong.get_or_insert(error);
            }
        }
    }

    fn put_file_or_list(&mut self, place: &[&str], value: Value<'i>) -> Result<(), RegistryError> {
        match (place, value) {
            (["files" | "models" | "examples"], Value::Table(table)) => {
                for (key, value) in table.entries {
                    self.put(&[place[0], &key], value);
                }
            }
            (["files", key], Value::Table(table)) => {
                self.file(key)?;
                for (field, value) in table.entries {
                    self.put(&["files", key, &field], value);
                }
            }
            (["files", key] | ["files", key, "hash" | "digest"], Value::Text(hash)) => {
                let digest = digest(place, &hash)?;
                let file = self.file(key)?;
                if file.digest.replace(digest).is_some_and(|known| known != digest) {
                    return Err(two_digests(key));
                }
            }
            (["files", key, "url"], Value::Text(url)) => {
                let base = self.base(place, key, &url)?;
                self.file(key)?.base = base;
            }
            (["files", key, "path"], Value::Text(_)) => {
                self.file(key)?;
            }
            (
                ["files"] | ["files", _] | ["files", _, "url" | "hash" | "digest" | "path"],
                value,
            ) => {
                let expected = if place.len() == 3 { "a text" } else { "a table" };
                let message = format!("is {}; expected {expected}", value.description());
                return Err(wrong(place, &message));
            }
            // A later version of the format may say more of a file.
            (["files", key, ..], _) => {
                self.file(key)?;
            }
            ([kind @ ("models" | "examples"), name], Value::Array(values))
                if self.publishes == Publishes::Models =>
            {
                let listed = listed(place, name, values)?;
                if *kind == "models" {
                    self.models.push(listed);
                } else {
                    self.examples.push(listed);
                }
            }
            (["models" | "examples", ..], value) if self.publishes == Publishes::Models => {
                let expected = if place.len() == 1 { "a table" } else { "a list of names" };
                let message = format!("is {}; expected {expected}", value.description());
                return Err(wrong(place, &message));
            }
            _ => {}
        }
        Ok(())
    }

    fn put_program(&mut self, place: &[&str], value: Value<'i>) -> Result<(), RegistryError> {
        match (place, value) {
            (["programs"], Value::Table(table)) => {
                for (name, value) in table.entries {
                    self.put(&["programs", &name], value);
                }
            }
            (["programs", name], Value::Table(table)) => {
                self.program(name)?;
                for (field, value) in table.entries {
                    self.put(&["programs", name, &field], value);
                }
            }
            (["programs", name, "dists"], Value::Array(values)) => {
                for value in values {
                    let Value::Table(table) = value else {
                        let message = format!("holds {}; expected tables", value.description());
                        return Err(wrong(place, &message));
                    };
                    let at = self.program(name)?;
                    self.dists[at].push(Dist::default());
                    for (field, value) in table.entries {
                        self.put(&["programs", name, "dists", &field], value);
                    }
                }
            }
            (["programs", name, "dists", field @ ("name" | "asset" | "exe" | "hash")], value) => {
                let Value::Text(text) = value else { return Err(no_text(place, &value)) };
                let at = self.program(name)?;
                let Some(dist) = self.dists[at].last_mut() else {
                    return Err(wrong(place, "is in a table; expected a list of tables"));
                };
                match *field {
                    "name" => dist.name = Some(named(place, &text)?),
                    "asset" => dist.asset = Some(FilePath::new(&text)?),
                    "exe" => dist.exe = Some(text.into_owned()),
                    _ => dist.digest = Some(digest(place, &text)?),
                }
            }
            (["programs", name, field @ ("description" | "license" | "exe")], value) => {
                let Value::Text(text) = value else { return Err(no_text(place, &value)) };
                let at = self.program(name)?;
                let program = &mut self.programs[at];
                let kept = match *field {
                    "description" => &mut program.description,
                    "license" => &mut program.license,
                    _ => &mut program.exe,
                };
                *kept = Some(text.into_owned());
            }
            (["programs"] | ["programs", _] | ["programs", _, "dists"], value) => {
                let expected = if place.len() == 3 { "a list of tables" } else { "a table" };
                let message = format!("is {}; expected {expected}", value.description());
                return Err(wrong(place, &message));
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the file of this key, which may be a new one. What a document says of one file in
    /// several places is brought together at the end.
    fn file(&mut self, key: &str) -> Result<&mut File, RegistryError> {
        if self.files.last().is_none_or(|file| file.key.as_str() != key) {
            let key = FilePath::new(key)?;
            self.files.push(File { key, digest: None, base: Base::None });
        }
        // It has just been pushed if it was not there.
        self.files.last_mut().ok_or_else(|| wrong(&["files"], "is empty"))
    }

    fn program(&mut self, name: &str) -> Result<usize, RegistryError> {
        if let Some(&at) = self.known_programs.get(name) {
            return Ok(at);
        }
        let name = named(&["programs", name], name)?;
        let at = self.programs.len();
        self.known_programs.insert(name.clone(), at);
        self.dists.push(Vec::new());
        self.programs.push(Program {
            name,
            description: None,
            license: None,
            exe: None,
            dists: Vec::new(),
        });
        Ok(at)
    }

    /// Splits an address into what many files share and the file's key.
    fn base(&mut self, place: &[&str], key: &str, url: &str) -> Result<Base, RegistryError> {
        if url.is_empty() || url.contains(|c: char| c.is_control()) {
            return Err(wrong(place, &format!("is {url:?}; expected an address")));
        }
        let before = url.strip_suffix(key).and_then(|url| url.strip_suffix('/'));
        Ok(match before.or_else(|| before_encoded(url, key)) {
            Some(base) => Base::BeforeKey(self.intern(base)),
            None => Base::Archive(self.intern(url)),
        })
    }

    fn intern(&mut self, base: &str) -> u32 {
        if let Some(&at) = self.known_bases.get(base) {
            return at;
        }
        let at = self.bases.len() as u32;
        self.bases.push(base.into());
        self.known_bases.insert(base.into(), at);
        at
    }

    fn finish(mut self) -> Result<Registry, RegistryError> {
        if let Some(version) = self.version.take()
            && version.split('.').next() != Some("1")
        {
            return Err(RegistryError::Version(version));
        }
        if let Some(error) = self.wrong.take() {
            return Err(error);
        }
        self.known_bases = HashMap::new();
        self.take_archives()?;
        let mut files = std::mem::take(&mut self.files);
        files.sort_by(|a, b| a.key.cmp(&b.key));
        let mut differing = None;
        files.dedup_by(|again, file| {
            let is_same = again.key == file.key;
            if is_same {
                if file.digest.zip(again.digest).is_some_and(|(one, other)| one != other) {
                    differing = Some(two_digests(file.key.as_str()));
                }
                file.digest = file.digest.or(again.digest);
                file.base = if file.base == Base::None { again.base } else { file.base };
            }
            is_same
        });
        if let Some(error) = differing {
            return Err(error);
        }
        super::same_name::check(&files).map_err(clash)?;
        let mut registry = Registry {
            publishes: self.publishes,
            models: Vec::new(),
            examples: Vec::new(),
            bases: std::mem::take(&mut self.bases),
            programs: Vec::new(),
            files,
        };
        match self.publishes {
            Publishes::Models => {
                registry.models = models(&registry, std::mem::take(&mut self.models))?;
                registry.examples = examples(&registry, self.examples)?;
            }
            Publishes::Programs => {
                self.programs.sort_by(|a, b| a.name.cmp(&b.name));
                registry.models = archives(&registry, &self.programs)?;
                registry.programs = self.programs;
            }
            Publishes::Dfns => registry.models = components(&registry),
        }
        registry.files.shrink_to_fit();
        registry.models.shrink_to_fit();
        Ok(registry)
    }

    /// Gives each program its archives, and makes files of them.
    fn take_archives(&mut self) -> Result<(), RegistryError> {
        let mut digests: HashMap<FilePath, Digest> = HashMap::new();
        for (program, dists) in self.programs.iter_mut().zip(std::mem::take(&mut self.dists)) {
            let place = ["programs", &*program.name, "dists"];
            for dist in dists {
                let name = dist.name.ok_or_else(|| wrong(&place, "holds one without a `name`"))?;
                let asset = dist.asset.ok_or_else(|| {
                    wrong(&place, &format!("holds {name:?}, which has no `asset`"))
                })?;
                if program.dists.iter().any(|known| known.name == name) {
                    return Err(wrong(&place, &format!("holds {name:?} twice")));
                }
                if let Some(digest) = dist.digest
                    && digests.insert(asset.clone(), digest).is_some_and(|known| known != digest)
                {
                    let message = format!("gives {asset:?} another `hash` than elsewhere");
                    return Err(wrong(&place, &message));
                }
                let (key, digest) = (asset.clone(), dist.digest);
                self.files.push(File { key, digest, base: Base::None });
                program.dists.push(Distribution { name, asset, exe: dist.exe });
            }
        }
        Ok(())
    }
}

fn models(registry: &Registry, listed: Vec<Listed<'_>>) -> Result<Vec<Model>, RegistryError> {
    let mut models = Vec::with_capacity(listed.len());
    let mut next = 0;
    for Listed { name, names } in listed {
        let mut files = Vec::with_capacity(names.len());
        for key in names {
            // Most lists are in the order of the files.
            let at = match registry.files.get(next) {
                Some(file) if file.key.as_str() == key => next,
                _ => registry.files.binary_search_by(|file| file.key.as_str().cmp(&key)).map_err(
                    |_| {
                        FilePath::new(&key).map_or_else(RegistryError::Unsafe, |_| {
                            let message = format!("names {key:?}, which is not in `files`");
                            wrong(&["models", &name], &message)
                        })
                    },
                )?,
            };
            next = at + 1;
            files.push(at as u32);
        }
        drop_repeated(&mut files);
        // Of several models that are copied, each gets a folder of its name.
        FilePath::new(&name)?;
        models.push(Model { name, files });
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(models)
}

/// Keeps the first of equal numbers.
fn drop_repeated(files: &mut Vec<u32>) {
    if files.is_sorted_by(|a, b| a < b) {
        return;
    }
    let mut sorted = files.clone();
    sorted.sort_unstable();
    if sorted.is_sorted_by(|a, b| a < b) {
        return;
    }
    let mut seen = std::collections::HashSet::with_capacity(files.len());
    files.retain(|&file| seen.insert(file));
}

fn examples(registry: &Registry, listed: Vec<Listed<'_>>) -> Result<Vec<Example>, RegistryError> {
    let mut examples = Vec::with_capacity(listed.len());
    for Listed { name, names } in listed {
        if let Some(unknown) = names.iter().find(|model| registry.model(model).is_none()) {
            let message = format!("names {unknown:?}, which is not in `models`");
            return Err(wrong(&["examples", &name], &message));
        }
        FilePath::new(&name)?;
        let models = names.into_iter().map(Into::into).collect();
        examples.push(Example { name, models });
    }
    examples.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(examples)
}

fn archives(registry: &Registry, programs: &[Program]) -> Result<Vec<Model>, RegistryError> {
    let mut models = Vec::new();
    for program in programs {
        for dist in &program.dists {
            let at = registry.files.binary_search_by(|file| file.key.cmp(&dist.asset)).map_err(
                |_| wrong(&["programs", &program.name], "names an archive that is no file"),
            )?;
            let name = format!("{}/{}", program.name, dist.name);
            FilePath::new(&name)?;
            models.push(Model { name: name.into(), files: vec![at as u32] });
        }
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(models)
}

/// Makes a model of each component: of the files that differ in their ending alone.
fn components(registry: &Registry) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    for (at, file) in registry.files.iter().enumerate() {
        let key = file.key.as_str();
        if let Some(name) = key.strip_suffix(".dfn").or(key.strip_suffix(".toml")) {
            models.push(Model { name: name.into(), files: vec![at as u32] });
        }
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    models.dedup_by(|again, model| {
        let is_same = again.name == model.name;
        if is_same {
            model.files.append(&mut again.files);
        }
        is_same
    });
    models
}

fn listed<'i>(
    place: &[&str],
    name: &str,
    values: Vec<Value<'i>>,
) -> Result<Listed<'i>, RegistryError> {
    let name = named(place, name)?;
    let mut names = Vec::with_capacity(values.len());
    for value in values {
        let Value::Text(text) = value else {
            return Err(wrong(place, &format!("holds {}; expected names", value.description())));
        };
        names.push(text);
    }
    Ok(Listed { name, names })
}

/// Checks the name of a model, an example or a program, which will be shown to people.
fn named(place: &[&str], name: &str) -> Result<Box<str>, RegistryError> {
    if name.is_empty() || name.contains(|c: char| c.is_control()) {
        return Err(wrong(place, "is no name: it is empty, or holds a control character"));
    }
    Ok(name.into())
}

fn digest(place: &[&str], text: &str) -> Result<Digest, RegistryError> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    Digest::parse_hex(hex).map_err(|_| {
        let shown: String = text.chars().take(100).collect();
        wrong(place, &format!("is {shown:?}; expected the 64 hexadecimal digits of a SHA-256"))
    })
}

fn two_digests(key: &str) -> RegistryError {
    wrong(&["files", key], "has a `hash` and another `digest`")
}

fn clash(clash: Clash) -> RegistryError {
    match clash {
        Clash::SameName(one, other) => RegistryError::SameName(one, other),
        Clash::FileAndFolder(file, inside) => {
            wrong(&["files", &file], &format!("is a file, and the folder of {inside:?}"))
        }
    }
}

fn no_text(place: &[&str], value: &Value<'_>) -> RegistryError {
    wrong(place, &format!("is {}; expected a text", value.description()))
}

fn wrong(place: &[&str], message: &str) -> RegistryError {
    let mut written = String::new();
    for (nth, key) in place.iter().enumerate() {
        if nth > 0 {
            written.push('.');
        }
        let is_bare = !key.is_empty()
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if is_bare {
            written.push_str(key);
        } else {
            let shown: String = key.chars().take(200).collect();
            // Writing to a text cannot fail.
            let _ = write!(written, "{shown:?}");
        }
    }
    RegistryError::Shape { place: written, message: message.to_owned() }
}

/// Returns what stands before a key that is percent-encoded in an address.
fn before_encoded<'u>(url: &'u str, key: &str) -> Option<&'u str> {
    if !url.contains('%') {
        return None;
    }
    let parts = key.split('/').count();
    let (at, _) = url.rmatch_indices('/').nth(parts - 1)?;
    let (base, tail) = url.split_at(at);
    (decoded(&tail[1..])? == key).then_some(base)
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok()
}
