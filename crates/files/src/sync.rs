//! Syncing: what sources publish at their refs becomes entries and blobs.

use crate::{
    FilesError, Library, OnProgress, Progress, Registry, bootstrap,
    discover::{Content, Discovered, is_fixed, repository},
    library::without_query,
    location,
    published::{FileCounts, FileRef, FileRegistry, Found},
    registry::{Base, Difference, Publishes},
    source::{FileSource, Origin, SourceSpec},
};
use callsheet_sources::FetchError;
use callsheet_store::Intent;
use callsheet_types::{
    Body, Digest, Entry, GitRef, Kind, Repository, Snapshot,
    plan::{Extent, PlanPolicy},
    with_causes,
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is to be synced.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyncAsked {
    /// Only sources that publish this.
    pub publishes: Option<Publishes>,
    /// The sources, by key or name; all where there is none.
    pub sources: Vec<String>,
    /// The refs; those that are configured where there is none.
    pub refs: Vec<GitRef>,
    /// Another repository in place of the source's own.
    pub repo: Option<Repository>,
    /// Only refs that were never synced.
    pub only_missing: bool,
    /// Fetches what is there already.
    pub force: bool,
    /// Takes a registry that has lost most of its models.
    pub allow_shrink: bool,
    /// Says what would happen and does nothing.
    pub dry_run: bool,
}

/// What became of a sync.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SyncReport {
    /// Refs that were synced.
    pub synced: Vec<Synced>,
    /// Refs that were as they should be already.
    pub skipped: Vec<Skipped>,
    /// Refs that could not be synced.
    pub failed: Vec<Failed>,
}

/// A ref that was synced, or would be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Synced {
    /// Source and ref.
    pub address: String,
    /// What it publishes.
    pub publishes: Publishes,
    /// `version_controlled`, `release` or `plain`.
    pub mode: String,
    /// Where the registry file is.
    pub url: String,
    /// Its commit, where it has one.
    pub commit: Option<String>,
    /// What it holds.
    #[serde(flatten)]
    pub counts: FileCounts,
    /// What differs from what was synced before; of a first sync, everything is new, and only
    /// counted.
    pub difference: Option<Difference>,
    /// What is odd about it.
    pub warnings: Vec<String>,
}

/// A ref that was left alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Skipped {
    /// Source and ref.
    pub address: String,
    /// What it publishes.
    pub publishes: Publishes,
    /// Why.
    pub reason: String,
}

/// A ref that could not be synced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failed {
    /// Source and ref.
    pub address: String,
    /// What it publishes.
    pub publishes: Publishes,
    /// Why not.
    pub error: String,
    /// What might help.
    pub hint: Option<String>,
    /// Whether an earlier state stays in use.
    pub keeps_earlier: bool,
}

/// What became of one ref.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Synced(Box<Synced>, Box<FileRef>),
    Skipped(Box<FileRef>, &'static str),
}

/// How many refs are asked for at once.
const AT_ONCE: usize = 4;

impl Library {
    /// Syncs. That one ref fails keeps no other from being synced.
    pub async fn sync(
        &self,
        asked: &SyncAsked,
        actor: &str,
        on_progress: OnProgress<'_>,
    ) -> Result<SyncReport, FilesError> {
        let jobs = self.jobs(asked)?;
        let outcomes: Vec<_> = stream::iter(jobs)
            .map(|(source, reference)| async move {
                let outcome = self.sync_one(&source, &reference, asked, actor, on_progress).await;
                (source, reference, outcome)
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let mut report = SyncReport::default();
        for (source, reference, outcome) in outcomes {
            let address = format!("{}@{reference}", source.name);
            let publishes = source.spec.publishes;
            match outcome {
                Ok(Outcome::Synced(synced, _)) => report.synced.push(*synced),
                Ok(Outcome::Skipped(_, reason)) => {
                    report.skipped.push(Skipped { address, publishes, reason: reason.to_owned() });
                }
                Err(error) => {
                    let library = self.clone();
                    let earlier = tokio::task::spawn_blocking(move || {
                        library.synced(publishes, &source.key, &reference)
                    });
                    let keeps_earlier = matches!(earlier.await, Ok(Ok(Some(_))));
                    let hint = error.hint();
                    let error = with_causes(&error);
                    report.failed.push(Failed { address, publishes, error, hint, keeps_earlier });
                }
            }
        }
        Ok(report)
    }

    /// Returns which refs of which sources are meant.
    fn jobs(&self, asked: &SyncAsked) -> Result<Vec<(FileSource, GitRef)>, FilesError> {
        let publishes = asked.publishes.unwrap_or_default();
        let mut sources = Vec::new();
        for name in &asked.sources {
            match (self.source(publishes, name), &asked.repo) {
                (Ok(source), _) => sources.push(source.clone()),
                (Err(FilesError::NoSource { .. }), Some(repo)) => {
                    sources.push(ad_hoc(publishes, name, repo)?);
                }
                (Err(error), _) => return Err(error),
            }
        }
        match &asked.repo {
            Some(repo) if sources.is_empty() => {
                let configured = self.sources_of(Some(publishes)).find(|source| {
                    source
                        .spec
                        .repo
                        .as_ref()
                        .is_some_and(|own| own.as_str().eq_ignore_ascii_case(repo.as_str()))
                });
                sources.push(match configured {
                    Some(source) => source.clone(),
                    None => ad_hoc(publishes, repo.as_str(), repo)?,
                });
            }
            Some(repo) => {
                for source in &mut sources {
                    source.spec.repo = Some(repo.clone());
                }
            }
            None if asked.sources.is_empty() => {
                sources = self.sources_of(asked.publishes).cloned().collect();
            }
            None => {}
        }
        let mut jobs = Vec::new();
        for source in sources {
            let refs =
                if asked.refs.is_empty() { source.spec.refs.clone() } else { asked.refs.clone() };
            if refs.is_empty() && !asked.sources.is_empty() {
                return Err(FilesError::NoRefs(source.name));
            }
            // One that is switched off is not asked by the way.
            if asked.sources.is_empty() && asked.repo.is_none() && source.spec.refs.is_empty() {
                continue;
            }
            jobs.extend(refs.into_iter().map(|reference| (source.clone(), reference)));
        }
        Ok(jobs)
    }

    /// Syncs one ref of one source.
    pub(crate) async fn sync_one(
        &self,
        source: &FileSource,
        reference: &GitRef,
        asked: &SyncAsked,
        actor: &str,
        on_progress: OnProgress<'_>,
    ) -> Result<Outcome, FilesError> {
        let (publishes, address) = (source.spec.publishes, format!("{}@{reference}", source.name));
        let before = {
            let (library, source, reference) = (self.clone(), source.clone(), reference.clone());
            let only_missing = asked.only_missing && !asked.force;
            let before = tokio::task::spawn_blocking(move || {
                if only_missing {
                    library.known_at(&source, &reference)
                } else {
                    library.synced(publishes, &source.key, &reference)
                }
            });
            before.await.map_err(|_| FilesError::CutOff)??
        };
        let spec = source.kept_spec();
        // What was published elsewhere says nothing of what is published here.
        let known = before.as_ref().filter(|known| !asked.force && known.spec.repo == spec.repo);
        if let Some(before) = known {
            if asked.only_missing || before.spec == spec && is_fixed(&before.found, reference) {
                return Ok(Outcome::Skipped(Box::new(before.clone()), "already cached"));
            }
            if self.http.is_offline() && !source.is_local() {
                return Ok(Outcome::Skipped(
                    Box::new(before.clone()),
                    "already cached, and this is offline mode",
                ));
            }
        }
        if self.http.is_offline() && !source.is_local() {
            return Err(FilesError::OfflineNotSynced { address });
        }
        on_progress(Progress::Discovering { address: address.clone() });
        let mut discovered = self.discover(source, reference, known).await?;
        let read = match self.read(&address, publishes, &discovered, known).await {
            Err(_) if matches!(discovered.content, Content::Same) => {
                // What it is the same as is gone from here, or damaged: all of it comes again.
                discovered = self.discover(source, reference, None).await?;
                self.read(&address, publishes, &discovered, None).await
            }
            read => read,
        };
        let (registry, digest, bytes) = read?;
        let (mut found, mut warnings) = chosen(source, &address, &discovered, &registry)?;
        if let Found::Release { commit, archive: None, .. } = &mut found
            && publishes == Publishes::Models
        {
            // The files are in the repository all the same, as they are at the tag.
            let resolved = self.github(source)?.resolve(&repository(source)?, reference).await;
            let resolved =
                resolved.map_err(|cause| FilesError::Fetch { address: address.clone(), cause })?;
            *commit = resolved.map(|resolved| resolved.commit);
        }
        let mut next = FileRef {
            source: source.key.clone(),
            name: source.name.clone(),
            reference: reference.clone(),
            found,
            registry: format!("{}#{}", without_query(&discovered.key), &digest.hex()[..16]),
            digest,
            etag: discovered.etag.clone(),
            url: without_query(&discovered.url),
            root: known
                .filter(|known| known.digest == digest && known.spec == spec)
                .and_then(|known| known.root.clone()),
            counts: counts(&registry),
            is_override: asked.repo.is_some(),
            spec,
        };
        if let Some(before) = known.filter(|before| same(before, &next)) {
            // It is put again where it was lost.
            if let Some(bytes) = bytes.filter(|_| !asked.dry_run) {
                let blobs = self.blobs.clone();
                let put = tokio::task::spawn_blocking(move || blobs.put(&bytes).map(drop));
                put.await.map_err(|_| FilesError::CutOff)??;
            }
            return Ok(Outcome::Skipped(Box::new(before.clone()), "already cached"));
        }
        if let Some(before) = before.as_ref().filter(|before| is_otherwise(before, &next)) {
            let text = "the same commit had another registry file before: one of the two was wrong";
            tracing::warn!(address, earlier = %before.digest, now = %next.digest, "{text}");
            warnings.push(text.to_owned());
        }
        // The text of a large registry is held once, and no longer than it is needed.
        drop(discovered);
        if next.root.is_none() {
            next.root = self.find_root(source, &next, &registry).await?;
        }
        let difference = match &before {
            Some(before) => self.difference(before, &registry).await,
            None => None,
        };
        if let Some(before) = &before {
            let (had, now) = (before.counts.models, next.counts.models);
            if had >= 10 && now * 2 < had && !asked.allow_shrink {
                return Err(FilesError::Shrunk { address, before: had, now });
            }
        }
        let synced = Synced {
            address,
            publishes,
            mode: next.found.mode().to_owned(),
            url: next.url.clone(),
            commit: next.found.commit().map(str::to_owned),
            counts: next.counts,
            difference,
            warnings,
        };
        if !asked.dry_run {
            let (library, source, kept, actor) =
                (self.clone(), source.clone(), next.clone(), actor.to_owned());
            let forget = asked.force;
            let kept = tokio::task::spawn_blocking(move || {
                if forget {
                    library.forget_observed(&kept);
                }
                library.keep(&source, &kept, bytes, &registry, &actor)
            });
            kept.await.map_err(|_| FilesError::CutOff)??;
        }
        Ok(Outcome::Synced(Box::new(synced), Box::new(next)))
    }

    /// Reads what was discovered; the bytes are returned where they are new.
    async fn read(
        &self,
        address: &str,
        publishes: Publishes,
        discovered: &Discovered,
        before: Option<&FileRef>,
    ) -> Result<(Arc<Registry>, Digest, Option<bytes::Bytes>), FilesError> {
        match (&discovered.content, before) {
            (Content::Fresh(bytes), _) => {
                let content = bytes.clone();
                let parsed = tokio::task::spawn_blocking(move || {
                    let digest = Digest::of(&content);
                    Registry::parse(publishes, &content)
                        .map(|registry| (Arc::new(registry), digest))
                });
                let parsed = parsed.await.map_err(|_| FilesError::CutOff)?;
                let (registry, digest) = parsed.map_err(|cause| FilesError::Registry {
                    address: address.to_owned(),
                    url: discovered.url.clone(),
                    cause,
                })?;
                Ok((registry, digest, Some(bytes.clone())))
            }
            (Content::Same, Some(before)) => {
                let (library, before) = (self.clone(), before.clone());
                let loaded = tokio::task::spawn_blocking(move || {
                    // What was compiled of it may outlive it here, and not on another machine.
                    if library.blobs.get(&before.digest)?.is_none() {
                        return Err(FilesError::CutOff);
                    }
                    library.registry(&before).map(|registry| (registry, before.digest, None))
                });
                loaded.await.map_err(|_| FilesError::CutOff)?
            }
            (Content::Same, None) => Err(FilesError::CutOff),
        }
    }

    async fn difference(&self, before: &FileRef, newer: &Arc<Registry>) -> Option<Difference> {
        let (library, before, newer) = (self.clone(), before.clone(), Arc::clone(newer));
        let difference = tokio::task::spawn_blocking(move || {
            library.registry(&before).map(|older| older.difference(&newer))
        });
        difference.await.ok()?.ok()
    }

    /// Blob first, then the entries that name it: whoever sees them finds it.
    fn keep(
        &self,
        source: &FileSource,
        next: &FileRef,
        bytes: Option<bytes::Bytes>,
        registry: &Arc<Registry>,
        actor: &str,
    ) -> Result<(), FilesError> {
        let size_bytes = match bytes {
            Some(bytes) => {
                self.blobs.put(&bytes)?;
                let size_bytes = bytes.len() as u64;
                drop(bytes);
                self.remember(next.publishes(), &next.digest, registry);
                size_bytes
            }
            None => self.blobs.get(&next.digest)?.map_or(0, |bytes| bytes.len() as u64),
        };
        let Some(name) = source.source_name() else {
            return Err(FilesError::Question(format!("{:?} cannot be a source's key", source.key)));
        };
        let published =
            FileRegistry { publishes: next.publishes(), digest: next.digest, size_bytes };
        let body = |value: Result<Body, serde_json::Error>| {
            value.map_err(callsheet_store::StoreError::from)
        };
        let entries = vec![
            Entry::frozen(Kind::file_registry(), &next.registry, body(Body::of(&published))?),
            Entry::tracking(Kind::file_ref(), &next.key(), body(Body::of(next))?),
        ];
        let snapshot = Snapshot {
            source: name,
            revision: next.found.commit().map(str::to_owned),
            observed_at: None,
            extent: Extent::Part { removed: Vec::new(), withdrawn: Vec::new() },
            entries,
            problems: Vec::new(),
        };
        self.store.publish(
            &snapshot,
            PlanPolicy::default(),
            &Intent::now(actor),
            &*self.project,
        )?;
        Ok(())
    }

    /// Finds out which folder the keys of a registry start from, where its addresses leave it open,
    /// by asking for one file.
    async fn find_root(
        &self,
        source: &FileSource,
        next: &FileRef,
        registry: &Registry,
    ) -> Result<Option<String>, FilesError> {
        let (Found::VersionControlled { commit, .. }, None) = (&next.found, source.path()) else {
            return Ok(None);
        };
        let repository = repository(source)?;
        let known = known_refs(source, &next.reference);
        let file_of = |at: u32| registry.files.iter().find(|file| file.base == Base::BeforeKey(at));
        for (at, base) in registry.bases.iter().enumerate() {
            let candidates = location::roots(base, &repository, &known);
            let Some(file) = file_of(at as u32).filter(|_| candidates.len() > 1) else { continue };
            let hub = self.github(source)?;
            for root in candidates {
                let path = location::below(&root, file.key.as_str());
                let request = hub.file(&repository, commit, &path);
                match hub.get(&request).await {
                    Ok(None) => {}
                    Ok(Some(_)) => return Ok(Some(root)),
                    Err(FetchError::Offline { .. }) => return Ok(None),
                    Err(cause) => return Err(FilesError::Fetch { address: next.address(), cause }),
                }
            }
        }
        Ok(None)
    }
}

/// Returns the refs whose names may stand in addresses of a registry.
pub(crate) fn known_refs<'a>(source: &'a FileSource, reference: &'a GitRef) -> Vec<&'a GitRef> {
    std::iter::once(reference).chain(&source.spec.refs).collect()
}

/// Makes a source that nobody configured. Its key has a dot for each slash, which no owner has in
/// its name, so that no two repositories are taken for one.
fn ad_hoc(publishes: Publishes, key: &str, repo: &Repository) -> Result<FileSource, FilesError> {
    let spec = SourceSpec { publishes, repo: Some(repo.clone()), ..SourceSpec::default() };
    let name = key.replace('/', ".");
    let mut sources = bootstrap::Sources::new();
    bootstrap::put(
        &mut sources,
        &name,
        SourceSpec { name: Some(key.to_owned()), ..spec },
        Origin::Added,
    )?;
    sources.into_values().next().ok_or(FilesError::CutOff)
}

/// What a sync says of a ref again, apart from what is only remembered.
fn same(before: &FileRef, next: &FileRef) -> bool {
    let mut next = next.clone();
    next.root.clone_from(&before.root);
    if next.etag.is_none() {
        next.etag.clone_from(&before.etag);
    }
    *before == next
}

/// Returns whether what should never change did.
fn is_otherwise(before: &FileRef, next: &FileRef) -> bool {
    let place = |found: &FileRef| found.registry.rsplit_once('#').map(|(key, _)| key.to_owned());
    next.found.commit().is_some() && place(before) == place(next) && before.digest != next.digest
}

fn counts(registry: &Registry) -> FileCounts {
    FileCounts {
        models: registry.models.len(),
        examples: registry.examples.len(),
        files: registry.files.len(),
        unverified: registry.files.iter().filter(|file| file.digest.is_none()).count(),
    }
}

/// Chooses the archive of a release: the one that the source names, else the one that the registry
/// does, else the only one.
fn chosen(
    source: &FileSource,
    address: &str,
    discovered: &Discovered,
    registry: &Registry,
) -> Result<(Found, Vec<String>), FilesError> {
    let mut warnings = Vec::new();
    let unverified = registry.files.iter().filter(|file| file.digest.is_none()).count();
    if unverified > 0 {
        warnings.push(format!("{unverified} files have no hash, and count as unverified"));
    }
    let Found::Release { revision, .. } = &discovered.found else {
        return Ok((discovered.found.clone(), warnings));
    };
    let named = |name: &str| discovered.archives.iter().find(|(known, _)| known == name);
    let of_url = registry.files.iter().find_map(|file| match file.base {
        Base::Archive(_) => {
            let url = registry.url(file)?;
            Some(url.rsplit('/').next().unwrap_or(&url).to_owned())
        }
        _ => None,
    });
    let archive = if source.spec.publishes == Publishes::Programs {
        // Every program's archive is an asset of its own.
        for program in &registry.programs {
            for dist in program.dists.iter().filter(|dist| named(dist.asset.as_str()).is_none()) {
                warnings.push(format!("the release lacks {} of {}", dist.asset, program.name));
            }
        }
        None
    } else if let Some(name) = &source.spec.asset {
        let known = named(name);
        Some(known.ok_or_else(|| FilesError::NoArchive {
            address: address.to_owned(),
            archive: Some(name.clone()),
        })?)
    } else if let Some(known) = of_url.as_deref().and_then(named) {
        Some(known)
    } else if source.spec.asset.is_none() && names_single_files(registry) {
        None
    } else {
        let zips: Vec<_> = discovered
            .archives
            .iter()
            .filter(|(name, _)| name.to_ascii_lowercase().ends_with(".zip"))
            .collect();
        match zips[..] {
            [only] => Some(only),
            [] => {
                return Err(FilesError::NoArchive { address: address.to_owned(), archive: of_url });
            }
            _ => {
                let archives = zips.iter().map(|(name, _)| name.clone()).collect();
                return Err(FilesError::SeveralArchives { address: address.to_owned(), archives });
            }
        }
    };
    let found = Found::Release {
        revision: revision.clone(),
        commit: None,
        archive: archive.map(|(name, _)| name.clone()),
        archive_digest: archive.and_then(|(_, digest)| *digest),
    };
    Ok((found, warnings))
}

/// Returns whether a registry says where each of its files is, rather than what holds them all.
fn names_single_files(registry: &Registry) -> bool {
    let is_single = |file: &crate::registry::File| matches!(file.base, Base::BeforeKey(_));
    registry.files.iter().any(is_single)
}
