//! What has to hold for any bytes, for the fuzz targets and for the test that replays what they
//! found.
//!
//! Not part of the interface: the fuzz targets live outside the crate and need a way in.

use super::{Catalog, Exported, Format, group, read, write};
use crate::{
    Facts, Parameter,
    providers::{self, ProviderKind},
    registry_file::RegistryFile,
};
use callsheet_types::ModelKey;
use std::collections::BTreeMap;

/// Reads a catalog in one file; what was read is written and read again without loss.
pub fn catalog(format: Format, data: &[u8]) {
    check(format, &BTreeMap::from([("a.json".to_owned(), data.to_vec())]));
}

/// Reads folders of models.dev: each file follows a line `--- PATH`. Without such a line it is one
/// file, `api.json`.
pub fn models_dev(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut path = "api.json";
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("--- ") {
            Some(next) => path = next.trim_end(),
            None => files.entry(path.to_owned()).or_default().extend(line.as_bytes()),
        }
    }
    check(Format::ModelsDev, &files);
}

/// Reads a registry file, merges into it twice, and finds that the second time changed nothing.
pub fn registry_file(data: &[u8]) {
    catalog(Format::Registry, data);
    let Ok(mut file) = RegistryFile::in_memory(data) else { return };
    let untouched = file.render();
    let again = RegistryFile::in_memory(&untouched).expect("what was rendered is a registry");
    assert_eq!(again.render(), untouched);
    assert_eq!(again.ids(), file.ids());
    let facts = Facts {
        capabilities: ["chat".to_owned(), "Odd".to_owned()].into(),
        context_window: Some(8),
        parameters: [("seed".to_owned(), Parameter::Opaque)].into(),
        ..Facts::default()
    };
    let known = file.ids();
    for (provider, id) in known.iter().chain([&("p".to_owned(), "new".to_owned())]) {
        file.merge(id, provider, &facts);
        let once = file.render();
        assert!(!file.merge(id, provider, &facts).changed);
        assert_eq!(file.render(), once);
    }
    assert!(file.ids().len() >= known.len());
}

/// Reads a provider's answer; the first byte, a digit, says which provider's.
pub fn provider_list(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    let kind = ProviderKind::ALL.get(usize::from(kind.wrapping_sub(b'0')));
    let kind = kind.copied().unwrap_or(ProviderKind::Generic);
    let Ok(listing) = providers::parse(kind, body) else { return };
    let models = listing.models.into_iter();
    let key = |id: &str| ModelKey::new("openrouter", id).expect("ids that are listed make keys");
    let models: Vec<_> = models.map(|(id, facts)| (key(&id), facts)).collect();
    if !models.is_empty() {
        survives(&Catalog { models, ..Catalog::default() });
    }
}

fn check(format: Format, files: &BTreeMap<String, Vec<u8>>) {
    let Ok(catalog) = read(format, files) else { return };
    let grouped: usize = group(&catalog.problems).iter().map(|group| group.count).sum();
    assert_eq!(grouped, catalog.problems.len());
    if !catalog.models.is_empty() {
        survives(&catalog);
    }
}

/// Our own format says all of a catalog, and what another says is the same ever after.
fn survives(catalog: &Catalog) {
    for format in Format::ALL {
        let Some(once) = again(format, catalog) else { continue };
        if format == Format::Callsheet {
            assert_eq!(once.models, catalog.models);
            assert_eq!(once.canonical, catalog.canonical);
            assert_eq!(once.presets, catalog.presets);
        }
        let twice = again(format, &once).expect("what was read can be written and read");
        assert_eq!(twice.models, once.models, "{format}");
        assert_eq!(twice.presets, once.presets, "{format}");
    }
}

fn again(format: Format, catalog: &Catalog) -> Option<Catalog> {
    let Catalog { models, canonical, presets, as_of, .. } = catalog.clone();
    let written = write(format, &Exported { models, canonical, presets, as_of });
    let files = BTreeMap::from([("a.json".to_owned(), written.bytes)]);
    match read(format, &files) {
        Ok(read) => Some(read),
        // There may be nothing in it that the format can say.
        Err(super::FormatError::Empty { .. }) if format != Format::Callsheet => None,
        Err(error) => panic!("{format} does not read what it wrote: {error}"),
    }
}
