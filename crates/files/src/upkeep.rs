//! What is synced, what may go, and what is damaged.

use crate::{
    CacheStats, Damaged, FilesError, Library, OnProgress, Progress, Removed,
    fetch::digest_of,
    published::{FileCounts, FileRef},
    registry::Publishes,
    source::Origin,
};
use callsheet_store::Intent;
use callsheet_types::{
    Digest, EntryId, GitRef, Kind, Snapshot, SourceName,
    plan::{Extent, PlanPolicy, Status},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
};

/// A source, and what of it is here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceView {
    /// Its key.
    pub key: String,
    /// Its name.
    pub name: String,
    /// What it publishes.
    pub publishes: Publishes,
    /// Who says that it is one; of one that is no longer configured, nobody.
    pub origin: Option<Origin>,
    /// Where it is: a repository, an address or a folder.
    pub place: String,
    /// The refs that are synced where none is named.
    pub configured_refs: Vec<GitRef>,
    /// The refs that are synced.
    pub cached_refs: Vec<RefView>,
    /// The configured refs that are not.
    pub missing_refs: Vec<GitRef>,
}

/// A synced ref.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RefView {
    /// The ref.
    pub reference: GitRef,
    /// `version_controlled`, `release` or `plain`.
    pub mode: String,
    /// Its commit, where it has one.
    pub commit: Option<String>,
    /// Where its registry file is.
    pub url: String,
    /// The registry file's digest.
    pub digest: Digest,
    /// What it holds.
    #[serde(flatten)]
    pub counts: FileCounts,
}

/// What is synced at a ref, with its names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listed {
    /// Source and ref.
    pub address: String,
    /// What its source publishes.
    pub publishes: Publishes,
    /// The source's key.
    pub source: String,
    /// The source's name.
    pub name: String,
    /// The ref itself.
    #[serde(flatten)]
    pub found: RefView,
    /// Why its names cannot be said, where they cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The models' names, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_names: Option<Vec<String>>,
    /// The examples' names with the models of each, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example_models: Option<BTreeMap<String, Vec<String>>>,
}

/// Where things are kept, and how much there is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FilesInfo {
    /// The sources.
    pub sources: Vec<SourceView>,
    /// The cache's folder.
    pub cache_dir: PathBuf,
    /// How much is in it.
    pub cache: CacheStats,
}

/// What clearing did, or would do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cleared {
    /// Source and ref of each registry.
    pub registries: Vec<String>,
    /// Files that no other registry names.
    pub removed: Removed,
}

/// What a verification found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verified {
    /// How much was looked at.
    pub looked: CacheStats,
    /// What is damaged; it was removed, and is fetched again when it is wanted.
    pub damaged: Vec<DamagedFile>,
}

/// A damaged file, and who names it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DamagedFile {
    /// The file.
    #[serde(flatten)]
    pub file: Damaged,
    /// Where it belongs, as far as that is known.
    pub named_by: Vec<String>,
}

impl RefView {
    fn of(found: &FileRef) -> Self {
        Self {
            reference: found.reference.clone(),
            mode: found.found.mode().to_owned(),
            commit: found.found.commit().map(str::to_owned),
            url: found.url.clone(),
            digest: found.digest,
            counts: found.counts,
        }
    }
}

impl Library {
    /// Returns every source with what of it is synced; those that are no longer configured at the
    /// end. Blocks.
    pub fn source_views(
        &self,
        publishes: Option<Publishes>,
    ) -> Result<Vec<SourceView>, FilesError> {
        let refs = self.refs(publishes)?;
        let is_of = |found: &&FileRef, publishes: Publishes, key: &str| {
            found.publishes() == publishes && found.source == key
        };
        let mut views: Vec<SourceView> = Vec::new();
        for source in self.sources_of(publishes) {
            let spec = &source.spec;
            let cached: Vec<_> =
                refs.iter().filter(|found| is_of(found, spec.publishes, &source.key)).collect();
            let is_cached =
                |reference: &&GitRef| cached.iter().any(|found| found.reference == **reference);
            views.push(SourceView {
                key: source.key.clone(),
                name: source.name.clone(),
                publishes: spec.publishes,
                origin: Some(source.origin),
                place: place(source),
                missing_refs: spec
                    .refs
                    .iter()
                    .filter(|reference| !is_cached(reference))
                    .cloned()
                    .collect(),
                configured_refs: spec.refs.clone(),
                cached_refs: cached.into_iter().map(RefView::of).collect(),
            });
        }
        for found in &refs {
            if self.sources.contains_key(&(found.publishes(), found.source.clone())) {
                continue;
            }
            let known = views.iter_mut().find(|view| {
                view.origin.is_none()
                    && view.publishes == found.publishes()
                    && view.key == found.source
            });
            match known {
                Some(view) => view.cached_refs.push(RefView::of(found)),
                None => views.push(SourceView {
                    key: found.source.clone(),
                    name: found.name.clone(),
                    publishes: found.publishes(),
                    origin: None,
                    place: place(&found.source(None)),
                    configured_refs: Vec::new(),
                    cached_refs: vec![RefView::of(found)],
                    missing_refs: Vec::new(),
                }),
            }
        }
        Ok(views)
    }

    /// Returns what is synced, with all names where they are wanted. Blocks.
    pub fn list(
        &self,
        publishes: Option<Publishes>,
        source: Option<&str>,
        reference: Option<&GitRef>,
        with_names: bool,
    ) -> Result<Vec<Listed>, FilesError> {
        let mut listed = Vec::new();
        for found in self.chosen(publishes, source, reference)? {
            let read = with_names.then(|| self.registry(&found)).transpose();
            let (registry, problem) = match read {
                Ok(registry) => (registry, None),
                Err(error) => (None, Some(callsheet_types::with_causes(&error))),
            };
            listed.push(Listed {
                problem,
                address: found.address(),
                publishes: found.publishes(),
                source: found.source.clone(),
                name: found.name.clone(),
                found: RefView::of(&found),
                model_names: registry.as_ref().map(|registry| {
                    registry.models.iter().map(|model| model.name.to_string()).collect()
                }),
                example_models: registry.as_ref().map(|registry| {
                    let examples = registry.examples.iter();
                    examples
                        .map(|example| {
                            let models = example.models.iter().map(ToString::to_string).collect();
                            (example.name.to_string(), models)
                        })
                        .collect()
                }),
            });
        }
        Ok(listed)
    }

    /// Returns the synced refs of a source (by key or name) and a ref, as far as these are said.
    fn chosen(
        &self,
        publishes: Option<Publishes>,
        source: Option<&str>,
        reference: Option<&GitRef>,
    ) -> Result<Vec<FileRef>, FilesError> {
        let mut refs = self.refs(publishes)?;
        refs.retain(|found| {
            source.is_none_or(|source| found.source == source || found.name == source)
                && reference.is_none_or(|reference| found.reference == *reference)
        });
        Ok(refs)
    }

    /// Returns where things are, and how much there is. Blocks.
    pub fn info(&self, publishes: Option<Publishes>) -> Result<FilesInfo, FilesError> {
        Ok(FilesInfo {
            sources: self.source_views(publishes)?,
            cache_dir: self.cache.root().to_owned(),
            cache: self.cache.stats()?,
        })
    }

    /// Forgets what is synced of a source and a ref, and the files that nothing else names. Blocks.
    pub fn clear(
        &self,
        publishes: Option<Publishes>,
        source: Option<&str>,
        reference: Option<&GitRef>,
        intent: &Intent,
    ) -> Result<Cleared, FilesError> {
        let chosen = self.chosen(publishes, source, reference)?;
        let registries: Vec<_> = chosen.iter().map(FileRef::address).collect();
        // Of what cannot be read it is not known what it names; it goes all the same.
        let mut theirs: HashSet<Digest> =
            chosen.iter().filter_map(|found| self.digests(found).ok()).flatten().collect();
        for found in self.refs(None)?.iter().filter(|found| !chosen.contains(found)) {
            match self.digests(found) {
                Ok(digests) => digests.iter().for_each(|digest| {
                    theirs.remove(digest);
                }),
                Err(error) => {
                    // It may name any of them.
                    let address = found.address();
                    tracing::warn!(address, %error, "no file is removed: a registry cannot be read");
                    theirs.clear();
                }
            }
        }
        if !intent.dry_run {
            self.forget(&chosen, intent)?;
        }
        let removed = self.cache.remove(&theirs, intent.dry_run)?;
        Ok(Cleared { registries, removed })
    }

    fn forget(&self, chosen: &[FileRef], intent: &Intent) -> Result<(), FilesError> {
        let mut by_source: BTreeMap<SourceName, Vec<EntryId>> = BTreeMap::new();
        for found in chosen {
            let key = found.key();
            for stored in self.store.entry(&EntryId::new(Kind::file_ref(), &key))? {
                if stored.status == Status::Active {
                    by_source.entry(stored.source).or_default().push(stored.id);
                }
            }
        }
        for (source, removed) in by_source {
            let snapshot = Snapshot {
                source,
                revision: None,
                observed_at: None,
                extent: Extent::Part { removed, withdrawn: Vec::new() },
                entries: Vec::new(),
                problems: Vec::new(),
            };
            self.store.publish(&snapshot, PlanPolicy::default(), intent, &*self.project)?;
        }
        Ok(())
    }

    /// Removes from the cache what no synced registry names. Blocks.
    pub fn gc(&self, dry_run: bool) -> Result<Removed, FilesError> {
        let mut keep = HashSet::new();
        for found in self.refs(None)? {
            // Who cannot be asked what it names must not lose it.
            keep.extend(self.digests(&found)?);
        }
        Ok(self.cache.gc(&keep, dry_run)?)
    }

    /// Returns all digests that a ref's registry names, or that were seen where it names none.
    fn digests(&self, found: &FileRef) -> Result<Vec<Digest>, FilesError> {
        let (registry, observed) = (self.registry(found)?, self.observed(found));
        Ok(registry.files.iter().filter_map(|file| digest_of(file, &observed)).collect())
    }

    /// Looks into every cached file; what is damaged is removed. Blocks.
    pub fn verify(
        &self,
        dry_run: bool,
        on_progress: OnProgress<'_>,
    ) -> Result<Verified, FilesError> {
        let on_file = |done, total| on_progress(Progress::Files { done, total });
        let (looked, damaged) = self.cache.verify(dry_run, &on_file)?;
        let mut named: BTreeMap<Digest, Vec<String>> =
            damaged.iter().map(|file| (file.expected, Vec::new())).collect();
        if !named.is_empty() {
            for found in self.refs(None)? {
                // What was found damaged is said, whoever can say where it belongs.
                let Ok(registry) = self.registry(&found) else { continue };
                let observed = self.observed(&found);
                for file in &registry.files {
                    if let Some(names) =
                        digest_of(file, &observed).and_then(|digest| named.get_mut(&digest))
                    {
                        names.push(format!("{}/{}", found.address(), file.key));
                    }
                }
            }
        }
        let damaged = damaged.into_iter().map(|file| {
            let named_by = named.get(&file.expected).cloned().unwrap_or_default();
            DamagedFile { file, named_by }
        });
        Ok(Verified { looked, damaged: damaged.collect() })
    }
}

fn place(source: &crate::source::FileSource) -> String {
    let spec = &source.spec;
    let repo = spec.repo.as_ref().map(ToString::to_string);
    repo.or_else(|| spec.url.as_deref().map(crate::library::without_query))
        .or_else(|| spec.directory.as_ref().map(|path| path.display().to_string()))
        .unwrap_or_default()
}
