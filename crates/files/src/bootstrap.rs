//! The bootstrap: which sources there are, as shipped and as the user's files say otherwise.

use crate::{
    registry::Publishes,
    source::{FileSource, Origin, SourceError, SourceSpec},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// A bootstrap file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// It cannot be read.
    #[error("{path} cannot be read", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// It is not what a bootstrap file is.
    #[error("{path}: {message}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        message: String,
    },
    /// One of its sources cannot be used.
    #[error("{path}", path = .path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// Which, and why not.
        #[source]
        cause: SourceError,
    },
}

/// Sources by what they publish and their key.
pub type Sources = BTreeMap<(Publishes, String), FileSource>;

/// The user's files that say other sources, the later before the earlier.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Overlays {
    /// Folders that may hold a `models.toml`, `programs.toml` or `dfns.toml`.
    pub folders: Vec<PathBuf>,
}

/// Returns the sources that come with the program.
pub fn shipped() -> Sources {
    let mut sources = Sources::new();
    for (publishes, text) in [
        (Publishes::Models, include_str!("bootstrap/models.toml")),
        (Publishes::Programs, include_str!("bootstrap/programs.toml")),
        (Publishes::Dfns, include_str!("bootstrap/dfns.toml")),
    ] {
        let path = Path::new(publishes.file_name());
        if let Ok(specs) = read(path, publishes, text) {
            overlay(&mut sources, specs, Origin::Shipped, path).ok();
        }
    }
    sources
}

/// Returns the shipped sources as the overlays have them: one of the same key is replaced as a
/// whole, but keeps its name where the overlay gives none, so that no model is renamed unasked.
pub fn load(overlays: &Overlays) -> Result<Sources, BootstrapError> {
    let mut sources = shipped();
    for folder in &overlays.folders {
        for publishes in Publishes::ALL {
            let path = folder.join(publishes.file_name());
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => continue,
                Err(cause) => return Err(BootstrapError::Unreadable { path, cause }),
            };
            let specs = read(&path, publishes, &text)?;
            overlay(&mut sources, specs, Origin::Overlay, &path)?;
        }
    }
    Ok(sources)
}

/// Puts sources over others.
pub fn overlay(
    sources: &mut Sources,
    specs: BTreeMap<String, SourceSpec>,
    origin: Origin,
    path: &Path,
) -> Result<(), BootstrapError> {
    for (key, spec) in specs {
        put(sources, &key, spec, origin)
            .map_err(|cause| BootstrapError::Source { path: path.to_owned(), cause })?;
    }
    Ok(())
}

/// Puts one source over another of its key, if there is one.
pub fn put(
    sources: &mut Sources,
    key: &str,
    mut spec: SourceSpec,
    origin: Origin,
) -> Result<(), SourceError> {
    let place = (spec.publishes, key.to_owned());
    if spec.name.is_none() {
        spec.name = sources.get(&place).map(|known| known.name.clone());
    }
    // What is switched off need not say where it was.
    if spec.refs.is_empty() && spec.repo.is_none() && spec.kind.is_none() {
        spec.repo = sources.get(&place).and_then(|known| known.spec.repo.clone());
    }
    let source = FileSource::new(key, spec, origin)?;
    sources.insert(place, source);
    Ok(())
}

fn read(
    path: &Path,
    publishes: Publishes,
    text: &str,
) -> Result<BTreeMap<String, SourceSpec>, BootstrapError> {
    let malformed = |message: String| {
        let message = message.trim_end().to_owned();
        BootstrapError::Malformed { path: path.to_owned(), message }
    };
    let mut table: toml::Table =
        toml::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let mut specs = BTreeMap::new();
    let sources = match table.remove("sources") {
        Some(toml::Value::Table(sources)) => sources,
        None => toml::Table::new(),
        Some(_) => return Err(malformed("`sources` is no table".to_owned())),
    };
    for (key, value) in sources {
        let toml::Value::Table(fields) = value else {
            return Err(malformed(format!("`sources.{key}` is no table")));
        };
        let spec = SourceSpec::try_from_table(fields, publishes)
            .map_err(|message| malformed(format!("`sources.{key}`: {message}")))?;
        specs.insert(key, spec);
    }
    Ok(specs)
}

impl SourceSpec {
    fn try_from_table(mut fields: toml::Table, publishes: Publishes) -> Result<Self, String> {
        // The file says it for all that stands in it.
        fields.insert("publishes".to_owned(), publishes.as_str().into());
        fields.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callsheet_types::GitRef;

    #[test]
    fn what_is_shipped_can_be_used() {
        let sources = shipped();
        let names: Vec<_> = sources.values().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["mf6/example", "mf6/large", "mf6/test", "modflow6", "mf6"]);
        let test = &sources[&(Publishes::Models, "modflow6-testmodels".to_owned())];
        assert_eq!(test.registry_path(), ".registry");
        assert_eq!(test.spec.refs, ["develop", "master"].map(|text| GitRef::new(text).unwrap()));
        let dfns = &sources[&(Publishes::Dfns, "modflow6".to_owned())];
        assert_eq!(dfns.path(), Some("doc/mf6io/mf6ivar/dfn"));
    }

    #[test]
    fn an_overlay_replaces_adds_and_switches_off() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(folder.path().join("models.toml"), text).unwrap();
        let overlays = Overlays { folders: vec![folder.path().to_owned()] };
        write(
            "[sources.modflow6-testmodels]\nrepo = \"me/fork\"\nrefs = [\"registry\"]\n\
             [sources.modflow6-examples]\nrefs = []\n\
             [sources.mine]\nrepo = \"me/mine\"\nrefs = [\"main\"]\n",
        );
        let sources = load(&overlays).unwrap();
        let get = |key: &str| sources[&(Publishes::Models, key.to_owned())].clone();
        let replaced = get("modflow6-testmodels");
        assert_eq!(replaced.spec.repo.as_ref().unwrap().as_str(), "me/fork");
        assert_eq!((replaced.name.as_str(), replaced.origin), ("mf6/test", Origin::Overlay));
        assert!(get("modflow6-examples").spec.refs.is_empty());
        assert_eq!(get("mine").name, "mine");
        assert_eq!(get("modflow6-largetestmodels").origin, Origin::Shipped);
        for (bad, says) in [
            ("[sources.x]\nrepo = \"nonsense\"\nrefs = [\"a\"]\n", "no repository"),
            ("[sources.x]\nrefs = [\"a\"]\n", "`repo` is missing"),
            ("[sources.x]\nrepoo = \"a/b\"\n", "repoo"),
            ("[sources\n", "line 1"),
            ("sources = 1\n", "no table"),
            ("[sources.x]\nrepo = \"a/b\"\nname = \"a b\"\n", "`name` is"),
        ] {
            write(bad);
            let error = load(&overlays).unwrap_err();
            let text =
                format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
            assert!(text.contains("models.toml") && text.contains(says), "{bad}: {text}");
        }
    }
}
