//! Publishing: the registry file of a repository, a release, or a folder on this machine.

use crate::{
    Cache, FilesError, OnProgress, Progress, Settings,
    index::{IndexError, IndexOptions, Indexed, index},
    location::below,
    registry::{Addresses, Base, File, Registry},
};
use callsheet_sources::{FetchError, GitHub, GitHubTokens, Http, MemberKind, UnpackLimits, unpack};
use callsheet_types::{Digest, FilePath, GitRef, Problem, Repository};
use serde::Serialize;
use std::{
    fs::Metadata,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// What is to be published.
#[derive(Clone, Debug)]
pub struct PublishAsked {
    /// The repository.
    pub repo: Repository,
    /// Branch, tag or commit; of a release, its tag.
    pub reference: GitRef,
    /// What stands before each model's name.
    pub name: String,
    /// A folder in the repository, or one on this machine.
    pub path: Option<String>,
    /// The release's archive that holds the models.
    pub asset: Option<String>,
    /// The file that makes a folder a model.
    pub namefile: String,
}

/// A registry file that was made.
#[derive(Clone, Debug, Serialize)]
pub struct Published {
    /// The registry file.
    #[serde(skip)]
    pub text: String,
    /// The registry.
    #[serde(skip)]
    pub registry: Registry,
    /// Where the files came from: an address, or a folder.
    pub from: String,
    /// Models.
    pub models: usize,
    /// Examples.
    pub examples: usize,
    /// Files.
    pub files: usize,
    /// Files that were read.
    pub hashed: usize,
    /// Files whose digest was remembered.
    pub remembered: usize,
    /// What was left out.
    pub problems: Vec<Problem>,
}

/// Makes registry files. It needs nothing that was synced.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// How the repository is asked.
    pub http: Http,
    /// Where downloads go on, and digests are remembered.
    pub cache: Cache,
    /// Where GitHub is, and its token.
    pub settings: Settings,
}

impl Publisher {
    /// Makes the registry file of what is published at a ref: from the repository, from a release's
    /// archive, or from a folder on this machine where the path is one.
    pub async fn publish(
        &self,
        asked: &PublishAsked,
        on_progress: OnProgress<'_>,
    ) -> Result<Published, FilesError> {
        let local = asked.path.as_deref().map(Path::new).filter(|path| path.is_dir());
        let (folder, in_repository, from, archive, kept) = match (local, &asked.asset) {
            (Some(folder), _) => {
                let in_repository = path_in_repository(folder, &asked.repo);
                (folder.to_owned(), in_repository, folder.display().to_string(), None, None)
            }
            (None, asset) => {
                let kept = self.unpacked(asked, asset.as_deref(), on_progress).await?;
                let wanted = asked.path.as_deref().unwrap_or_default().trim_matches('/');
                let wanted = if wanted == "." { "" } else { wanted };
                let folder = kept.folder.path().join(wanted);
                let folder = match (folder.is_dir(), asset) {
                    (true, _) => folder,
                    // A release's archive may begin inside the folder.
                    (false, Some(_)) => kept.folder.path().to_owned(),
                    (false, None) => {
                        return Err(FilesError::Question(format!(
                            "{} has no folder {wanted:?} at {}",
                            asked.repo, asked.reference
                        )));
                    }
                };
                (folder, wanted.to_owned(), kept.from.clone(), kept.archive, Some(kept))
            }
        };
        let links = kept.as_ref().map(|kept| kept.links_in(&folder)).unwrap_or_default();
        let memory = local.map(|folder| self.index_memory(folder));
        let options = IndexOptions {
            name: asked.name.clone(),
            namefile: asked.namefile.clone(),
            with_examples: asked.asset.is_some(),
            memory,
        };
        let indexed = self.indexed(folder, options, on_progress).await?;
        let hosts = &self.settings.hosts;
        let (repo, reference) = (&asked.repo, &asked.reference);
        let Indexed { mut registry, hashed, remembered, mut problems, .. } = indexed;
        problems.extend(links);
        let counts = (registry.models.len(), registry.examples.len(), registry.files.len());
        let addresses = if let Some(asset) = &asked.asset {
            let url = format!("{}/{repo}/releases/download/{reference}/{asset}", hosts.web);
            add_archive(&mut registry, asset, archive)?;
            Addresses::Archive(url)
        } else {
            let root = format!("{}/{repo}/{reference}", hosts.raw);
            Addresses::BeforeKey(below(&root, &in_repository).trim_end_matches('/').to_owned())
        };
        let text = registry.write(&addresses);
        let (models, examples, files) = counts;
        Ok(Published {
            text,
            registry,
            from,
            models,
            examples,
            files,
            hashed,
            remembered,
            problems,
        })
    }

    async fn indexed(
        &self,
        folder: PathBuf,
        options: IndexOptions,
        on_progress: OnProgress<'_>,
    ) -> Result<Indexed, FilesError> {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
        let work = tokio::task::spawn_blocking(move || {
            index(&folder, &options, &|done, total| {
                // One who is told too much misses a step; the next says more.
                let _ = sender.try_send((done, total));
            })
        });
        while let Some((done, total)) = receiver.recv().await {
            on_progress(Progress::Files { done, total });
        }
        Ok(work.await.map_err(|_| FilesError::CutOff)??)
    }

    fn index_memory(&self, folder: &Path) -> PathBuf {
        let whole = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        let name = Digest::of(whole.as_os_str().as_encoded_bytes()).hex();
        self.cache.root().join("index").join(name)
    }

    /// Brings what is published elsewhere into a folder in the cache: that of the system for
    /// temporary files may lie in memory.
    async fn unpacked(
        &self,
        asked: &PublishAsked,
        asset: Option<&str>,
        on_progress: OnProgress<'_>,
    ) -> Result<Fetched, FilesError> {
        let address = format!("{}@{}", asked.repo, asked.reference);
        if self.http.is_offline() {
            return Err(FilesError::OfflineNotSynced { address });
        }
        let tokens = GitHubTokens::all(self.settings.token.as_ref());
        let hub = GitHub::new(self.http.clone(), self.settings.hosts.clone(), tokens);
        let failed = |cause| FilesError::Fetch { address: address.clone(), cause };
        on_progress(Progress::Discovering { address: address.clone() });
        let request = if let Some(name) = asset {
            hub.asset(&asked.repo, &asked.reference, name)
        } else {
            let resolved = hub.resolve(&asked.repo, &asked.reference).await.map_err(failed)?;
            let resolved =
                resolved.ok_or_else(|| FilesError::NoRef { address: address.clone() })?;
            hub.archive(&asked.repo, &resolved.commit)
        };
        let on_bytes = |done, total| on_progress(Progress::Bytes { done, total });
        let partial = self.cache.partial(&Digest::of(request.url.as_bytes()).hex())?;
        let downloaded = self.http.download(&request, &partial, &on_bytes).await;
        let downloaded = downloaded.map_err(|cause| match (cause, asset) {
            (FetchError::Status { status: 404, .. }, Some(name)) => {
                FilesError::NoArchive { address: address.clone(), archive: Some(name.to_owned()) }
            }
            (cause, _) => failed(cause),
        })?;
        let digest = downloaded.digest;
        let kept = self.temporary_folder()?;
        let (folder, url, has_top_folder) =
            (kept.path().to_owned(), request.url.clone(), asset.is_none());
        let limits = UnpackLimits {
            max_member_bytes: self.settings.max_file_bytes,
            ..UnpackLimits::default()
        };
        let work = tokio::task::spawn_blocking(move || {
            let (mut downloaded, mut links) = (downloaded, Vec::new());
            let unpacked =
                unpack(&url, &mut downloaded.file, has_top_folder, limits, &mut |member| {
                    if member.kind != MemberKind::File {
                        let is_link = member.kind == MemberKind::Link;
                        let what = if is_link { "a link" } else { "no file" };
                        let message = format!("is {what}, and left out");
                        links.push(Problem { place: member.path.to_string(), message });
                        return Ok(());
                    }
                    let path = folder.join(member.path);
                    if let Some(parent) = path.parent() {
                        std::fs::create_dir_all(parent)?;
                    }
                    let mut file = std::fs::File::create_new(path)?;
                    std::io::copy(member.content, &mut file).map(drop)
                });
            unpacked.map(|()| links)
        });
        let unpacked = work.await.map_err(|_| FilesError::CutOff)?;
        let links = unpacked.map_err(|cause| FilesError::Archive { address, cause })?;
        let archive = asset.is_some().then_some(digest);
        Ok(Fetched { folder: kept, from: request.url, archive, links })
    }

    fn temporary_folder(&self) -> Result<TempDir, IndexError> {
        let above = self.cache.root().join("tmp");
        remove_left_behind(&above);
        std::fs::create_dir_all(&above)
            .and_then(|()| tempfile::Builder::new().prefix(UNPACKED).tempdir_in(&above))
            .map_err(|cause| IndexError::Unreadable { path: above, cause })
    }
}

/// What the folders of unpacked archives are called.
const UNPACKED: &str = "index-";
const DAY: Duration = Duration::from_hours(24);

/// Removes what a process that was killed left behind. What cannot be removed waits for the next.
fn remove_left_behind(above: &Path) {
    for entry in std::fs::read_dir(above).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(UNPACKED);
        let modified = entry.metadata().ok().filter(Metadata::is_dir).map(|data| data.modified());
        let age = modified.and_then(Result::ok).and_then(|then| then.elapsed().ok());
        if is_ours && age.is_some_and(|age| age > DAY) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// What was published elsewhere, and is in a folder here for as long as this is.
struct Fetched {
    folder: TempDir,
    /// Where it came from.
    from: String,
    /// The archive's digest, where it is part of a release.
    archive: Option<Digest>,
    /// What is no file in it.
    links: Vec<Problem>,
}

impl Fetched {
    /// Returns what is no file in one of its folders, from there.
    fn links_in(&self, folder: &Path) -> Vec<Problem> {
        let above = folder.strip_prefix(self.folder.path()).unwrap_or(Path::new(""));
        let links = self.links.iter().filter_map(|link| {
            let place = Path::new(&link.place).strip_prefix(above).ok()?;
            Some(Problem { place: place.to_str()?.to_owned(), message: link.message.clone() })
        });
        links.collect()
    }
}

/// The archive is a file of its registry too: the Python package looks for it there.
fn add_archive(
    registry: &mut Registry,
    asset: &str,
    digest: Option<Digest>,
) -> Result<(), FilesError> {
    let key = FilePath::new(asset).map_err(|error| FilesError::Question(error.to_string()))?;
    let Err(at) = registry.files.binary_search_by(|file| file.key.cmp(&key)) else { return Ok(()) };
    registry.files.insert(at, File { key, digest, base: Base::None });
    for place in registry.models.iter_mut().flat_map(|model| &mut model.files) {
        if *place as usize >= at {
            *place += 1;
        }
    }
    Ok(())
}

/// Returns where in its repository a folder on this machine is: what follows the repository's name
/// in its path.
fn path_in_repository(folder: &Path, repository: &Repository) -> String {
    let whole = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let parts: Vec<_> =
        whole.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let at = parts.iter().position(|part| part == repository.name());
    at.map(|at| parts[at + 1..].join("/")).unwrap_or_default()
}
