//! Fetching: what is wanted of a registry comes into the cache, verified.
//!
//! Many missing files come as one archive, few one by one. What came is remembered under the
//! registry's key where the registry itself says no digest.

use crate::{
    Cache, CacheError, FilesError, Library, OnProgress, Progress, Registry,
    discover::{folder_of, repository, url_of},
    library::Archive,
    location::{self, below},
    published::{FileRef, Found},
    registry::{Base, File, Publishes},
    source::{FileSource, SourceKind},
    sync::known_refs,
    unpacking::{UnpackError, Unpacking},
};
use callsheet_sources::{FetchError, GitHub, Request};
use callsheet_types::Digest;
use futures_util::{TryStreamExt, stream};
use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// How the files of a ref are had.
enum Access {
    /// One by one from a commit, or all of it as an archive.
    Commit { hub: GitHub, commit: String },
    /// From an archive among a release's assets.
    Asset { request: Box<Request>, name: String, digest: Option<Digest> },
    /// Each is an asset of the release.
    Assets { hub: GitHub },
    /// Below an address.
    Web,
    /// In a folder.
    Folder(PathBuf),
    /// In an archive.
    Zip,
}

/// Digests of files whose registry says none, by key.
pub(crate) type Observed = BTreeMap<String, Digest>;

/// How often a file that comes damaged is asked for.
const ATTEMPTS: usize = 2;

impl Library {
    /// Returns the digests of files of a registry, in their order, after all of them are in the
    /// cache.
    pub(crate) async fn ensure(
        &self,
        found: &FileRef,
        registry: &Arc<Registry>,
        wanted: &[u32],
        on_progress: OnProgress<'_>,
    ) -> Result<Vec<Digest>, FilesError> {
        let (mut observed, missing) = self.look(found, registry, wanted).await?;
        if !missing.is_empty() {
            let more = self.fetch(found, registry, missing, on_progress).await?;
            if !more.is_empty() {
                let (library, found) = (self.clone(), found.clone());
                let kept = tokio::task::spawn_blocking(move || library.keep_observed(&found, more));
                observed = kept.await.map_err(|_| FilesError::CutOff)?;
            }
        }
        wanted
            .iter()
            .filter_map(|&at| registry.files.get(at as usize))
            .map(|file| {
                digest_of(file, &observed).ok_or_else(|| FilesError::NoFile {
                    address: found.address(),
                    key: file.key.to_string(),
                    reason: "it came from nowhere".to_owned(),
                })
            })
            .collect()
    }

    /// Returns which files are not in the cache.
    pub(crate) async fn missing_of(
        &self,
        found: &FileRef,
        registry: &Arc<Registry>,
        wanted: &[u32],
    ) -> Result<Vec<u32>, FilesError> {
        self.look(found, registry, wanted).await.map(|(_, missing)| missing)
    }

    /// Returns what is known of files without digests, and which of the wanted ones are missing.
    async fn look(
        &self,
        found: &FileRef,
        registry: &Arc<Registry>,
        wanted: &[u32],
    ) -> Result<(Observed, Vec<u32>), FilesError> {
        let (library, found) = (self.clone(), found.clone());
        let (registry, wanted) = (Arc::clone(registry), wanted.to_vec());
        let looked = tokio::task::spawn_blocking(move || {
            let observed = library.observed(&found);
            let missing = missing(&library.cache, &registry, &wanted, &observed);
            (observed, missing)
        });
        looked.await.map_err(|_| FilesError::CutOff)
    }

    /// Fetches files; returns the digests of those whose registry says none.
    async fn fetch(
        &self,
        found: &FileRef,
        registry: &Arc<Registry>,
        missing: Vec<u32>,
        on_progress: OnProgress<'_>,
    ) -> Result<Observed, FilesError> {
        let missing = self.ask_mirrors(registry, missing, on_progress).await;
        if missing.is_empty() {
            return Ok(Observed::new());
        }
        let source = self.source_of(found);
        if self.http.is_offline() && !source.is_local() {
            let keys = missing.iter().filter_map(|&at| registry.files.get(at as usize));
            let keys = keys.map(|file| file.key.to_string()).collect();
            return Err(FilesError::OfflineMissing { address: found.address(), keys });
        }
        let access = self.access(found, &source)?;
        let comes_whole = match access {
            Access::Commit { .. } => missing.len() > self.settings.single_files,
            Access::Asset { .. } | Access::Zip => true,
            Access::Assets { .. } | Access::Web | Access::Folder(_) => false,
        };
        on_progress(Progress::Fetching {
            address: found.address(),
            files: missing.len() as u64,
            is_archive: comes_whole,
        });
        if !comes_whole {
            return self.one_by_one(found, &source, &access, registry, &missing, on_progress).await;
        }
        let mut observed =
            self.whole(found, &source, &access, registry, &missing, on_progress).await?;
        // An archive may leave out what its repository has (`export-ignore`), or have it otherwise
        // (`eol`, `export-subst`).
        let (cache, files, wanted, seen) =
            (self.cache.clone(), Arc::clone(registry), missing.clone(), observed.clone());
        let left =
            tokio::task::spawn_blocking(move || self::missing(&cache, &files, &wanted, &seen));
        let left = left.await.map_err(|_| FilesError::CutOff)?;
        match access {
            Access::Commit { .. } if !left.is_empty() => {
                observed.extend(
                    self.one_by_one(found, &source, &access, registry, &left, on_progress).await?,
                );
            }
            _ => {
                if let Some(file) = left.first().and_then(|&at| registry.files.get(at as usize)) {
                    return Err(FilesError::NoFile {
                        address: found.address(),
                        key: file.key.to_string(),
                        reason: "the archive does not hold it".to_owned(),
                    });
                }
            }
        }
        Ok(observed)
    }

    pub(crate) fn source_of(&self, found: &FileRef) -> FileSource {
        let configured = self.sources.get(&(found.publishes(), found.source.clone()));
        found.source(configured)
    }

    fn access(&self, found: &FileRef, source: &FileSource) -> Result<Access, FilesError> {
        Ok(match (source.kind(), &found.found) {
            (SourceKind::Filesystem, _) => Access::Folder(folder_of(source, &found.reference)),
            (SourceKind::Http, _) => Access::Web,
            (SourceKind::Zip, _) => Access::Zip,
            (
                SourceKind::GitHub,
                Found::VersionControlled { commit, .. }
                | Found::Release { commit: Some(commit), .. },
            ) => Access::Commit { hub: self.github(source)?, commit: commit.clone() },
            (SourceKind::GitHub, _) if found.publishes() == Publishes::Programs => {
                Access::Assets { hub: self.github(source)? }
            }
            (SourceKind::GitHub, Found::Release { archive: Some(name), archive_digest, .. }) => {
                let request =
                    self.github(source)?.asset(&repository(source)?, &found.reference, name);
                Access::Asset {
                    request: Box::new(request),
                    name: name.clone(),
                    digest: *archive_digest,
                }
            }
            (SourceKind::GitHub, _) => {
                return Err(FilesError::NoArchive { address: found.address(), archive: None });
            }
        })
    }

    async fn one_by_one(
        &self,
        found: &FileRef,
        source: &FileSource,
        access: &Access,
        registry: &Arc<Registry>,
        wanted: &[u32],
        on_progress: OnProgress<'_>,
    ) -> Result<Observed, FilesError> {
        let total = wanted.len() as u64;
        let done = AtomicU64::new(0);
        let observed = Mutex::new(Observed::new());
        let files = wanted.iter().filter_map(|&at| registry.files.get(at as usize));
        let alone = total == 1;
        stream::iter(files.map(Ok::<_, FilesError>))
            .try_for_each_concurrent(self.settings.parallel.max(1), |file| {
                let (done, observed) = (&done, &observed);
                async move {
                    let on_bytes = |done, total| {
                        if alone {
                            on_progress(Progress::Bytes { done, total });
                        }
                    };
                    let digest =
                        self.single(found, source, access, registry, file, &on_bytes).await?;
                    if file.digest.is_none() {
                        let mut observed = observed.lock().unwrap_or_else(PoisonError::into_inner);
                        observed.insert(file.key.to_string(), digest);
                    }
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    on_progress(Progress::Files { done, total });
                    Ok(())
                }
            })
            .await?;
        Ok(observed.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fetches one file, trying all folders that it may be in.
    async fn single(
        &self,
        found: &FileRef,
        source: &FileSource,
        access: &Access,
        registry: &Registry,
        file: &File,
        on_bytes: callsheet_sources::OnBytes<'_>,
    ) -> Result<Digest, FilesError> {
        let address = || found.address();
        let roots = roots(found, source, registry, file);
        let mut looked = Vec::new();
        for root in &roots {
            let path = below(root, file.key.as_str());
            let request = match access {
                Access::Folder(folder) => {
                    let at = folder.join(&path);
                    match self.take_from_folder(&at, file.digest).await {
                        Err(Fault::Absent) => {
                            looked.push(at.display().to_string());
                            continue;
                        }
                        other => return other.map_err(|fault| fault.of(address(), file)),
                    }
                }
                Access::Commit { hub, commit } => hub.file(&repository(source)?, commit, &path),
                Access::Assets { hub } => {
                    hub.asset(&repository(source)?, &found.reference, file.key.as_str())
                }
                Access::Web => {
                    let encoded: Vec<_> = path.split('/').map(callsheet_types::encoded).collect();
                    let url = format!("{}/{}", url_of(source, &found.reference), encoded.join("/"));
                    self.web_request(source, &url)?
                }
                Access::Asset { .. } | Access::Zip => return Err(FilesError::CutOff),
            };
            let mut attempt = 1;
            loop {
                match self.download(&request, file.digest, on_bytes).await {
                    Ok(digest) => return Ok(digest),
                    Err(Fault::Fetch(FetchError::Status { status: 404, .. })) => {
                        looked.push(request.url.clone());
                        break;
                    }
                    Err(Fault::Cache(CacheError::WrongDigest { .. })) if attempt < ATTEMPTS => {
                        attempt += 1;
                    }
                    Err(fault) => return Err(fault.of(address(), file)),
                }
            }
        }
        let reason = format!("looked for at {}", looked.join(", "));
        Err(FilesError::NoFile { address: address(), key: file.key.to_string(), reason })
    }

    async fn take_from_folder(
        &self,
        path: &std::path::Path,
        expected: Option<Digest>,
    ) -> Result<Digest, Fault> {
        let (cache, path, most) =
            (self.cache.clone(), path.to_owned(), self.settings.max_file_bytes);
        let kept = tokio::task::spawn_blocking(move || {
            let metadata = match std::fs::symlink_metadata(&path) {
                Ok(metadata) => metadata,
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                    return Err(Fault::Absent);
                }
                Err(cause) => return Err(Fault::Cache(CacheError::Io { path, cause })),
            };
            if !metadata.is_file() {
                return Err(Fault::Absent);
            }
            let mut file = std::fs::File::open(&path)
                .map_err(|cause| Fault::Cache(CacheError::Io { path, cause }))?;
            cache.put(&mut file, expected, most).map(|(digest, _)| digest).map_err(Fault::Cache)
        });
        kept.await.map_err(|_| Fault::CutOff)?
    }

    /// Downloads one file into the cache.
    pub(crate) async fn download(
        &self,
        request: &Request,
        expected: Option<Digest>,
        on_bytes: callsheet_sources::OnBytes<'_>,
    ) -> Result<Digest, Fault> {
        let most = self.settings.max_file_bytes;
        let request =
            Request { max_bytes: usize::try_from(most).unwrap_or(usize::MAX), ..request.clone() };
        let name = expected
            .map_or_else(|| Digest::of(request.url.as_bytes()).hex(), |digest| digest.hex());
        let partial = self.cache.partial(&name).map_err(Fault::Cache)?;
        let mut downloaded =
            self.http.download(&request, &partial, on_bytes).await.map_err(Fault::Fetch)?;
        let cache = self.cache.clone();
        let kept = tokio::task::spawn_blocking(move || {
            cache.put(&mut downloaded.file, expected, most).map(|(digest, _)| digest)
        });
        kept.await.map_err(|_| Fault::CutOff)?.map_err(Fault::Cache)
    }

    /// Fetches the archive, and takes in all that the registry names.
    async fn whole(
        &self,
        found: &FileRef,
        source: &FileSource,
        access: &Access,
        registry: &Arc<Registry>,
        missing: &[u32],
        on_progress: OnProgress<'_>,
    ) -> Result<Observed, FilesError> {
        let on_bytes = |done, total| on_progress(Progress::Bytes { done, total });
        let address = found.address();
        let (name, archive, has_top_folder) = match access {
            Access::Commit { hub, commit } => {
                let repository = repository(source)?;
                let request = hub.archive(&repository, commit);
                let downloaded = self.archive(&address, &request, &on_bytes).await?;
                (format!("{repository}@{commit}.tar.gz"), Archive::Downloaded(downloaded), true)
            }
            Access::Asset { request, name, digest } => {
                let mut downloaded = self.archive(&address, request, &on_bytes).await?;
                if let Some(expected) = digest.filter(|expected| *expected != downloaded.digest) {
                    // It may have been replaced, or damaged on the way; once more tells.
                    downloaded = self.archive(&address, request, &on_bytes).await?;
                    if downloaded.digest != expected {
                        let (address, key, got) =
                            (found.address(), name.clone(), downloaded.digest);
                        return Err(FilesError::WrongDigest { address, key, expected, got });
                    }
                }
                (name.clone(), Archive::Downloaded(downloaded), false)
            }
            _ => {
                let (name, archive) = self.zip(source, &found.reference, &on_bytes).await?;
                (name, archive, false)
            }
        };
        let work = Unpacking {
            cache: self.cache.clone(),
            registry: Arc::clone(registry),
            missing: missing.iter().copied().collect(),
            name,
            has_top_folder,
            folders: registry_roots(found, source, registry),
            max_file_bytes: self.settings.max_file_bytes,
        };
        let unpacked = tokio::task::spawn_blocking(move || work.run(archive));
        let unpacked = unpacked.await.map_err(|_| FilesError::CutOff)?;
        let unpacked = unpacked.map_err(|error| match error {
            UnpackError::Archive(cause) => FilesError::Archive { address: found.address(), cause },
            UnpackError::Cache(cause) => FilesError::Cache(cause),
        })?;
        // What the repository itself has in place of what its archive has is asked for one by one.
        let is_final = !matches!(access, Access::Commit { .. });
        if let Some((key, expected, got)) = unpacked.wrong.into_iter().next().filter(|_| is_final) {
            return Err(FilesError::WrongDigest { address: found.address(), key, expected, got });
        }
        if let Some(key) = unpacked.links.into_iter().next() {
            let reason = "it is a link in the archive, which is not followed".to_owned();
            return Err(FilesError::NoFile { address: found.address(), key, reason });
        }
        Ok(unpacked.observed)
    }

    async fn archive(
        &self,
        address: &str,
        request: &Request,
        on_bytes: callsheet_sources::OnBytes<'_>,
    ) -> Result<callsheet_sources::Downloaded, FilesError> {
        let partial = self.cache.partial(&Digest::of(request.url.as_bytes()).hex())?;
        let downloaded = self.http.download(request, &partial, on_bytes).await;
        downloaded.map_err(|cause| FilesError::Fetch { address: address.to_owned(), cause })
    }

    pub(crate) fn observed(&self, found: &FileRef) -> Observed {
        if found.counts.unverified == 0 {
            return Observed::new();
        }
        let kept = self.cache.derived(&observed_name(found));
        kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Remembers what was seen, beside what others have seen meanwhile; returns all of it. Blocks.
    fn keep_observed(&self, found: &FileRef, more: Observed) -> Observed {
        let mut observed = self.observed(found);
        observed.extend(more);
        if let Ok(bytes) = serde_json::to_vec(&observed) {
            self.cache.keep_derived(&observed_name(found), &bytes);
        }
        observed
    }

    /// Forgets what was seen, so that it is fetched again. Blocks.
    pub(crate) fn forget_observed(&self, found: &FileRef) {
        if found.counts.unverified > 0 {
            self.cache.keep_derived(&observed_name(found), b"{}");
        }
    }
}

/// The registry's key never comes to mean something else, so that what was seen under it stays.
fn observed_name(found: &FileRef) -> String {
    format!("observed-{}", Digest::of(found.registry.as_bytes()).hex())
}

pub(crate) fn digest_of(file: &File, observed: &Observed) -> Option<Digest> {
    file.digest.or_else(|| observed.get(file.key.as_str()).copied())
}

/// Returns which of the wanted files are not in the cache.
fn missing(cache: &Cache, registry: &Registry, wanted: &[u32], observed: &Observed) -> Vec<u32> {
    let mut seen = HashSet::new();
    let is_missing = |at: &&u32| {
        let Some(file) = registry.files.get(**at as usize) else { return false };
        seen.insert(**at) && digest_of(file, observed).is_none_or(|digest| !cache.has(&digest))
    };
    wanted.iter().filter(is_missing).copied().collect()
}

/// Returns the folders that a file's key may start from.
fn roots(found: &FileRef, source: &FileSource, registry: &Registry, file: &File) -> Vec<String> {
    if let Some(path) = source.path() {
        return vec![path.to_owned()];
    }
    let base = match file.base {
        Base::BeforeKey(at) => registry.bases.get(at as usize),
        Base::None | Base::Archive(_) => None,
    };
    let (Some(base), Some(repository), true) =
        (base, &source.spec.repo, source.kind() == SourceKind::GitHub)
    else {
        return vec![String::new()];
    };
    let mut roots = location::roots(base, repository, &known_refs(source, &found.reference));
    if let Some(root) = &found.root {
        roots.retain(|other| other != root);
        roots.insert(0, root.clone());
    }
    roots
}

/// Returns all folders that keys of a registry may start from.
pub(crate) fn registry_roots(
    found: &FileRef,
    source: &FileSource,
    registry: &Registry,
) -> Vec<String> {
    let mut all = Vec::new();
    let mut of = |file: &File| {
        for root in roots(found, source, registry, file) {
            if !all.contains(&root) {
                all.push(root);
            }
        }
    };
    // One file of each base says it for all.
    let mut seen = HashSet::new();
    for file in &registry.files {
        let base = match file.base {
            Base::BeforeKey(at) => Some(at),
            Base::None | Base::Archive(_) => None,
        };
        if seen.insert(base) {
            of(file);
        }
    }
    if all.is_empty() {
        all.push(String::new());
    }
    all
}

/// What kept one file from coming.
#[derive(Debug)]
pub(crate) enum Fault {
    Absent,
    Fetch(FetchError),
    Cache(CacheError),
    CutOff,
}

impl Fault {
    fn of(self, address: String, file: &File) -> FilesError {
        match self {
            Self::Fetch(cause) => {
                FilesError::Fetch { address: format!("{address}/{}", file.key), cause }
            }
            Self::Cache(CacheError::WrongDigest { expected, got }) => {
                FilesError::WrongDigest { address, key: file.key.to_string(), expected, got }
            }
            Self::Cache(cause) => FilesError::Cache(cause),
            Self::Absent => {
                let reason = "there is no such file".to_owned();
                FilesError::NoFile { address, key: file.key.to_string(), reason }
            }
            Self::CutOff => FilesError::CutOff,
        }
    }
}
