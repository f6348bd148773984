//! What is kept: the store, and what this crate reads from it and writes to it.
//!
//! Everything here blocks on the database; handlers call it from threads that may.

use crate::{Config, StartError, app::read_secret};
use callsheet_models::Cards;
use callsheet_store::{Applied, Intent, PublishError, Store, StoreError, StoreUrl, Stored};
use callsheet_types::{
    BackendName, BackendSpec, Body, Entry, EntryId, Kind, Preset, Snapshot, SourceName,
    plan::{Current, Extent, PlanPolicy, Status},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// The store, and how its lists are made.
#[derive(Clone)]
pub struct Catalog {
    store: Store,
}

/// What the daemon keeps of it at hand.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Saved {
    /// Backends that were added.
    pub(crate) backends: BTreeMap<BackendName, BackendSpec>,
    /// Backends, configured ones too, that were told to drain.
    pub(crate) draining: BTreeSet<BackendName>,
    /// Presets by `TIER/SLOT`, and who published each.
    pub(crate) presets: BTreeMap<String, (Preset, SourceName)>,
}

impl Catalog {
    /// Opens the store that a configuration names, and brings its schema up to date.
    pub fn open(config: &Config, data_dir: &Path) -> Result<Self, StartError> {
        let url = location(config, data_dir)?;
        if config.store.url.is_none() {
            // A place that somebody named should be there; the data directory is ours.
            std::fs::create_dir_all(data_dir)
                .map_err(|cause| StartError::DataDir { path: data_dir.to_owned(), cause })?;
        }
        Ok(Self { store: Store::open(&url)? })
    }

    /// Returns the store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Reads what the daemon keeps at hand. What a newer version wrote and this one cannot read is
    /// left out, with a warning.
    pub(crate) fn saved(&self) -> Result<Saved, StoreError> {
        let mut saved = Saved::default();
        for stored in self.active(&Kind::backend())? {
            if let Some(spec) = read::<BackendSpec>(&stored) {
                saved.backends.insert(spec.name.clone(), spec);
            }
        }
        for stored in self.active(&Kind::drain())? {
            match BackendName::new(&stored.id.key) {
                Ok(name) => drop(saved.draining.insert(name)),
                Err(error) => tracing::warn!(%error, "a draining backend is left out"),
            }
        }
        // Where several publish one preset, their layer decides, and then the name.
        let mut presets = self.active(&Kind::preset())?;
        presets.sort_by(|a, b| (a.source.layer(), &a.source).cmp(&(b.source.layer(), &b.source)));
        for stored in presets {
            if let Some(preset) = read::<Preset>(&stored) {
                saved.presets.insert(stored.id.key.to_string(), (preset, stored.source));
            }
        }
        Ok(saved)
    }

    fn active(&self, kind: &Kind) -> Result<Vec<Stored>, StoreError> {
        let mut entries = self.store.entries(kind)?;
        entries.retain(|stored| stored.status == Status::Active);
        Ok(entries)
    }

    /// Publishes a snapshot.
    pub fn publish(
        &self,
        snapshot: &Snapshot,
        policy: PlanPolicy,
        intent: &Intent,
    ) -> Result<Applied, PublishError> {
        self.store.publish(snapshot, policy, intent, &Cards)
    }

    /// Makes a change through the API that depends on what is there: `decide` sees it, and is asked
    /// again where it moved in between. [`PublishError::Stale`] where that never ends.
    pub(crate) fn edit<E: From<PublishError>>(
        &self,
        intent: &Intent,
        source: &SourceName,
        ids: &[EntryId],
        decide: impl Fn(&Current) -> Result<Edit, E>,
    ) -> Result<Applied, E> {
        self.store.plan_and_apply(intent, &Cards, || {
            let probe = snapshot(source, Edit { entries: Vec::new(), removed: ids.to_vec() });
            let current = self.store.current(&probe).map_err(PublishError::from)?;
            let snapshot = snapshot(source, decide(&current)?);
            let plan = callsheet_types::plan::plan(&current, &snapshot, PlanPolicy::default());
            plan.map_err(|refused| PublishError::from(refused).into())
        })
    }

    /// Takes over what was kept elsewhere before; what is there already stays.
    pub(crate) fn take_over(&self, saved: &Saved) -> Result<(), PublishError> {
        let mut entries = Vec::new();
        for spec in saved.backends.values() {
            entries.push(backend_entry(spec)?);
        }
        entries.extend(saved.draining.iter().map(drain_entry));
        let ids: Vec<_> = entries.iter().map(|entry| entry.id.clone()).collect();
        let decide = |current: &Current| {
            let mut entries = entries.clone();
            entries.retain(|entry| !current.heads.contains_key(&entry.id));
            Ok::<_, PublishError>(Edit { entries, removed: Vec::new() })
        };
        self.edit(&Intent::now("daemon"), &SourceName::api(), &ids, decide).map(drop)
    }
}

/// Entries to publish, and ids to remove.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edit {
    pub(crate) entries: Vec<Entry>,
    pub(crate) removed: Vec<EntryId>,
}

fn snapshot(source: &SourceName, edit: Edit) -> Snapshot {
    Snapshot {
        source: source.clone(),
        revision: None,
        observed_at: None,
        extent: Extent::Part { removed: edit.removed, withdrawn: Vec::new() },
        entries: edit.entries,
        problems: Vec::new(),
    }
}

/// Returns where the store is, its password included.
pub fn location(config: &Config, data_dir: &Path) -> Result<StoreUrl, StartError> {
    let url = config.store.location(data_dir)?;
    let owner = || "store.password".to_owned();
    match config.store.password() {
        None => Ok(url),
        Some(source) => match read_secret(source) {
            Ok(secret) => Ok(url.with_password(&secret)),
            Err(cause) => Err(StartError::Secret { owner: owner(), cause }),
        },
    }
}

pub(crate) fn backend_entry(spec: &BackendSpec) -> Result<Entry, StoreError> {
    let body = Body::of(spec).map_err(StoreError::from)?;
    Ok(Entry::tracking(Kind::backend(), spec.name.as_str(), body))
}

pub(crate) fn drain_entry(name: &BackendName) -> Entry {
    let nothing = Body::new(&serde_json::json!({}));
    Entry::tracking(Kind::drain(), name.as_str(), nothing)
}

fn read<T: serde::de::DeserializeOwned>(stored: &Stored) -> Option<T> {
    match stored.body.read() {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(entry = %stored.id, %error, "an entry cannot be read and is left out");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn an_edit_that_is_always_overtaken_ends() {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(folder.path().join("catalog.db"));
        let catalog = Catalog { store: Store::open(&url).unwrap() };
        let drained = |n: u32| {
            let body = Body::new(&serde_json::json!({ "n": n }));
            let entries = vec![Entry::tracking(Kind::drain(), "a", body)];
            Edit { entries, removed: Vec::new() }
        };
        let (source, intent) = (SourceName::api(), Intent::now("test"));
        let asked = Cell::new(0);
        let overtaken = catalog.edit(&intent, &source, &[drained(0).entries[0].id.clone()], |_| {
            asked.set(asked.get() + 1);
            assert!(asked.get() < 1000, "it never ends");
            let theirs = snapshot(&source, drained(asked.get()));
            catalog.publish(&theirs, PlanPolicy::default(), &intent)?;
            Ok::<_, PublishError>(drained(0))
        });
        assert!(matches!(overtaken, Err(PublishError::Stale)), "{overtaken:?}");
        assert!(asked.get() > 1);
    }
}
