//! Everything that files are made of here: sources, store, blobs, cache.

use crate::{
    Cache, FilesError, Registry, bootstrap::Sources, fetch::digest_of, published::FileRef,
    registry::Publishes, source::FileSource,
};
use callsheet_sources::{Downloaded, GitHub, GitHubHosts, GitHubTokens, Http, Request, bearer};
use callsheet_store::{Blobs, Project, Store};
use callsheet_types::{
    Digest, EntryId, GitRef, Kind, Secret, SecretError, SecretSource, plan::Status,
};
use std::{
    collections::VecDeque,
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The files of this installation. Cloning shares everything.
#[derive(Clone)]
pub struct Library {
    /// Entries.
    pub store: Store,
    /// Registry files as they were published.
    pub blobs: Blobs,
    /// The files themselves.
    pub cache: Cache,
    /// How sources are asked.
    pub http: Http,
    /// Who is asked.
    pub sources: Arc<Sources>,
    /// How.
    pub settings: Arc<Settings>,
    /// Registries that were read lately.
    pub memory: Arc<Memory>,
    /// Makes the rows of entries that have some.
    pub project: Arc<dyn Project + Send + Sync>,
}

/// How sources are asked, and how much is done at once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where GitHub is.
    pub hosts: GitHubHosts,
    /// The token for these hosts.
    pub token: Option<Secret>,
    /// Files that are fetched at once.
    pub parallel: usize,
    /// How many missing files are still fetched one by one; more come as one archive.
    pub single_files: usize,
    /// Other installations that are asked for a file by its digest before its source is.
    pub mirrors: Vec<String>,
    /// The largest file.
    pub max_file_bytes: u64,
    /// Where copies are counted; `None` counts none.
    pub usage: Option<PathBuf>,
    /// Reads a secret.
    pub secret: fn(SecretSource) -> Result<Secret, SecretError>,
}

/// What a process remembers: registries that were read lately, by the digest of their file.
#[derive(Debug, Default)]
pub struct Memory {
    registries: Mutex<VecDeque<(RegistryId, Arc<Registry>)>>,
    /// Held by whoever fetches for others who ask file by file.
    pub(crate) fetching: tokio::sync::Mutex<()>,
}

/// What tells registries apart: what they list, and the digest of their file.
type RegistryId = (Publishes, Digest);

/// The longest archive that is downloaded.
const MOST_ARCHIVE_BYTES: usize = 16 << 30;

/// More would let one large registry after the other fill the memory.
const MOST_REMEMBERED: usize = 2;

impl Memory {
    fn get(&self, wanted: &(Publishes, Digest)) -> Option<Arc<Registry>> {
        let known = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(key, _)| key == wanted).map(|(_, registry)| Arc::clone(registry))
    }

    fn put(&self, key: (Publishes, Digest), registry: &Arc<Registry>) {
        let mut known = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(other, _)| *other != key);
        known.push_front((key, Arc::clone(registry)));
        known.truncate(MOST_REMEMBERED);
    }
}

/// An archive on disk.
pub(crate) enum Archive {
    Local(File),
    Downloaded(Downloaded),
}

impl Archive {
    pub(crate) fn file(&mut self) -> &mut File {
        match self {
            Self::Local(file) => file,
            Self::Downloaded(downloaded) => &mut downloaded.file,
        }
    }
}

impl Library {
    /// Returns the sources that publish something, in the order of their keys.
    pub fn sources_of(&self, publishes: Option<Publishes>) -> impl Iterator<Item = &FileSource> {
        self.sources
            .values()
            .filter(move |source| publishes.is_none_or(|all| source.spec.publishes == all))
    }

    /// Returns the source of a key or a name. Of several of one name, the one that is not switched
    /// off is meant.
    pub fn source(&self, publishes: Publishes, name: &str) -> Result<&FileSource, FilesError> {
        if let Some(source) = self.sources.get(&(publishes, name.to_owned())) {
            return Ok(source);
        }
        let named: Vec<_> =
            self.sources_of(Some(publishes)).filter(|source| source.name == name).collect();
        let found = one_of(name, &named)?;
        found.ok_or_else(|| FilesError::NoSource {
            name: name.to_owned(),
            known: self.known(publishes),
        })
    }

    pub(crate) fn known(&self, publishes: Publishes) -> Vec<String> {
        let sources = self.sources_of(Some(publishes));
        sources.map(|source| format!("{} ({})", source.key, source.name)).collect()
    }

    /// Returns all refs that are synced, in the order of what they publish, source and ref. Blocks.
    pub fn refs(&self, publishes: Option<Publishes>) -> Result<Vec<FileRef>, FilesError> {
        let stored = self.store.entries(&Kind::file_ref())?;
        let active = stored.into_iter().filter(|stored| stored.status == Status::Active);
        // What a newer version wrote and this one cannot read is as if it were not synced.
        let mut refs: Vec<FileRef> = active.filter_map(|stored| stored.body.read().ok()).collect();
        refs.retain(|found| publishes.is_none_or(|all| found.publishes() == all));
        Ok(refs)
    }

    /// Returns a ref of a source, if it is synced. Blocks.
    pub fn synced(
        &self,
        publishes: Publishes,
        source: &str,
        reference: &GitRef,
    ) -> Result<Option<FileRef>, FilesError> {
        let id = EntryId::new(
            Kind::file_ref(),
            &crate::published::ref_key(publishes, source, reference),
        );
        let stored = self.store.entry(&id)?;
        let active = stored.into_iter().find(|stored| stored.status == Status::Active);
        Ok(active.and_then(|stored| stored.body.read().ok()))
    }

    /// Returns the registry of a synced ref. Blocks.
    pub fn registry(&self, found: &FileRef) -> Result<Arc<Registry>, FilesError> {
        let key = (found.publishes(), found.digest);
        if let Some(registry) = self.memory.get(&key) {
            return Ok(registry);
        }
        let name = derived_name(found.publishes(), &found.digest);
        let compiled = self.cache.derived(&name).and_then(|bytes| Registry::load(&bytes));
        let registry = if let Some(registry) = compiled {
            registry
        } else {
            let bytes = self.blobs.get(&found.digest)?.ok_or_else(|| {
                    FilesError::Question(format!(
                        "the registry of '{}' is gone from where blobs are kept; sync it again with --force",
                        found.address()
                    ))
                })?;
            let registry = Registry::parse(found.publishes(), &bytes).map_err(|cause| {
                FilesError::Registry { address: found.address(), url: found.url.clone(), cause }
            })?;
            self.cache.keep_derived(&name, &registry.compile());
            registry
        };
        let registry = Arc::new(registry);
        self.memory.put(key, &registry);
        Ok(registry)
    }

    pub(crate) fn remember(&self, publishes: Publishes, digest: &Digest, registry: &Arc<Registry>) {
        self.cache.keep_derived(&derived_name(publishes, digest), &registry.compile());
        self.memory.put((publishes, *digest), registry);
    }

    /// Returns a file by its digest, verified, and its length; one that is not here and that a
    /// synced registry names is fetched.
    pub async fn content(&self, digest: &Digest) -> Result<Option<(File, u64)>, FilesError> {
        if let Some(content) = self.cached(digest).await? {
            return Ok(Some(content));
        }
        // Whoever asks for one file asks for the next; meanwhile somebody may have fetched them all.
        let _turn = self.memory.fetching.lock().await;
        if let Some(content) = self.cached(digest).await? {
            return Ok(Some(content));
        }
        let (library, wanted) = (self.clone(), *digest);
        let named = tokio::task::spawn_blocking(move || library.naming(&wanted));
        let Some((found, registry, at)) = named.await.map_err(|_| FilesError::CutOff)?? else {
            return Ok(None);
        };
        let all: Vec<u32> = (0..).take(registry.files.len()).collect();
        let missing = self.missing_of(&found, &registry, &all).await?;
        let wanted = if missing.len() > self.settings.single_files { missing } else { vec![at] };
        self.ensure(&found, &registry, &wanted, &|_| {}).await?;
        self.cached(digest).await
    }

    /// Returns a synced ref that names a file, and where. Blocks.
    fn naming(&self, digest: &Digest) -> Result<Option<(FileRef, Arc<Registry>, u32)>, FilesError> {
        for found in self.refs(None)? {
            // One that cannot be read is in no other's way.
            let Ok(registry) = self.registry(&found) else { continue };
            let observed = self.observed(&found);
            let is_it = |file: &crate::registry::File| digest_of(file, &observed) == Some(*digest);
            if let Some(at) = registry.files.iter().position(is_it) {
                return Ok(Some((found, registry, at as u32)));
            }
        }
        Ok(None)
    }

    /// Returns a file of a synced ref by its key, fetched if need be: its digest, itself, and its
    /// length.
    pub async fn file(
        &self,
        found: &FileRef,
        key: &str,
    ) -> Result<Option<(Digest, File, u64)>, FilesError> {
        let registry = self.registry_of(found).await?;
        let at = registry.files.iter().position(|file| file.key.as_str() == key);
        let Some(at) = at.and_then(|at| u32::try_from(at).ok()) else { return Ok(None) };
        // One that turns out to be damaged is gone then, and comes again.
        for _ in 0..2 {
            let digests = self.ensure(found, &registry, &[at], &|_| {}).await?;
            let Some(digest) = digests.first() else { return Ok(None) };
            if let Some((file, length)) = self.cached(digest).await? {
                return Ok(Some((*digest, file, length)));
            }
        }
        Ok(None)
    }

    async fn cached(&self, digest: &Digest) -> Result<Option<(File, u64)>, FilesError> {
        let (cache, digest) = (self.cache.clone(), *digest);
        let read = tokio::task::spawn_blocking(move || cache.open_verified(&digest));
        Ok(read.await.map_err(|_| FilesError::CutOff)??)
    }

    /// Returns what is synced of a source, by its key or name, at a ref.
    pub async fn published(&self, source: &str, reference: &GitRef) -> Result<FileRef, FilesError> {
        let library = self.clone();
        let refs = tokio::task::spawn_blocking(move || library.refs(None));
        let refs = refs.await.map_err(|_| FilesError::CutOff)??;
        let is_it = |found: &FileRef| {
            (found.source == source || found.name == source) && found.reference == *reference
        };
        let address = || format!("{source}@{reference}");
        refs.into_iter().find(is_it).ok_or_else(|| FilesError::NoRef { address: address() })
    }

    /// Returns the registry of a synced ref.
    pub async fn registry_of(&self, found: &FileRef) -> Result<Arc<Registry>, FilesError> {
        let (library, found) = (self.clone(), found.clone());
        let loaded = tokio::task::spawn_blocking(move || library.registry(&found));
        loaded.await.map_err(|_| FilesError::CutOff)?
    }

    /// Returns how a source is asked. Its own token goes to its own hosts, or to the common ones
    /// where it has none; the common token goes to the common hosts, and neither elsewhere.
    pub(crate) fn github(&self, source: &FileSource) -> Result<GitHub, FilesError> {
        let (spec, common) = (&source.spec, &self.settings.hosts);
        let of = |own: &Option<String>, common: &String| {
            own.as_ref().unwrap_or(common).trim_end_matches('/').to_owned()
        };
        let hosts = GitHubHosts {
            web: of(&spec.web, &common.web),
            raw: of(&spec.raw, &common.raw),
            api: of(&spec.api, &common.api),
        };
        let own_token = self.own_token(source)?;
        let has_own_hosts = spec.web.is_some() || spec.raw.is_some() || spec.api.is_some();
        let token_for = |own_host: &Option<String>| match (own_host, has_own_hosts) {
            (Some(_), _) => own_token.clone(),
            (None, true) => self.settings.token.clone(),
            (None, false) => own_token.clone().or_else(|| self.settings.token.clone()),
        };
        let tokens = GitHubTokens {
            web: token_for(&spec.web),
            raw: token_for(&spec.raw),
            api: token_for(&spec.api),
        };
        Ok(GitHub::new(self.http.clone(), hosts, tokens))
    }

    fn own_token(&self, source: &FileSource) -> Result<Option<Secret>, FilesError> {
        let Some(kept) = source.token() else { return Ok(None) };
        (self.settings.secret)(kept).map(Some).map_err(|error| {
            FilesError::Question(format!(
                "the token of source '{}' is not to be had: {error}",
                source.key
            ))
        })
    }

    pub(crate) fn web_request(
        &self,
        source: &FileSource,
        url: &str,
    ) -> Result<Request, FilesError> {
        let path = url.split('?').next().unwrap_or(url);
        let mut request = Request {
            deadline: Duration::from_mins(1),
            // A login answers anything with a page.
            refuses_pages: !path.to_ascii_lowercase().ends_with("html"),
            ..Request::new(url)
        };
        if let Some(token) = self.own_token(source)? {
            request.headers.insert("authorization", bearer(&token));
        }
        Ok(request)
    }

    /// Returns the archive of a `zip` source.
    pub(crate) async fn zip(
        &self,
        source: &FileSource,
        reference: &GitRef,
        on_bytes: callsheet_sources::OnBytes<'_>,
    ) -> Result<(String, Archive), FilesError> {
        if source.spec.directory.is_some() {
            let path = crate::discover::folder_of(source, reference);
            let file = File::open(&path)
                .map_err(|cause| crate::BootstrapError::Unreadable { path: path.clone(), cause })?;
            return Ok((path.display().to_string(), Archive::Local(file)));
        }
        let url = crate::discover::url_of(source, reference);
        let request = Request { max_bytes: MOST_ARCHIVE_BYTES, ..self.web_request(source, &url)? };
        let partial = self.cache.partial(&Digest::of(url.as_bytes()).hex())?;
        let downloaded = self.http.download(&request, &partial, on_bytes).await;
        let address = format!("{}@{reference}", source.name);
        let downloaded = downloaded.map_err(|cause| FilesError::Fetch { address, cause })?;
        Ok((without_query(&url), Archive::Downloaded(downloaded)))
    }
}

/// Returns the one of several sources of one name that is not switched off.
pub(crate) fn one_of<'a>(
    name: &str,
    named: &[&'a FileSource],
) -> Result<Option<&'a FileSource>, FilesError> {
    let on: Vec<_> = named.iter().filter(|source| !source.spec.refs.is_empty()).collect();
    match on[..] {
        [] => Ok(named.first().copied()),
        [only] => Ok(Some(only)),
        _ => Err(FilesError::Ambiguous {
            text: name.to_owned(),
            readings: on.iter().map(|source| source.key.clone()).collect(),
        }),
    }
}

fn derived_name(publishes: Publishes, digest: &Digest) -> String {
    format!("registry-{publishes}-{}", digest.hex())
}

/// Returns an address without its query, which may hold a secret.
pub(crate) fn without_query(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or(url).to_owned()
}
