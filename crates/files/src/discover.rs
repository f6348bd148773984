//! Discovery: from a source and a ref to a registry file.
//!
//! A release comes before a commit, a commit before a tag, a tag before a branch. A ref is resolved
//! once, and everything that follows comes from that one state.

use crate::{
    FilesError, Library,
    edits::{self, Edits},
    location::below,
    published::{FileRef, Found},
    registry::Publishes,
    source::{FileSource, SourceKind},
};
use bytes::Bytes;
use callsheet_sources::{FetchError, Fetched, GitHub, RefKind, Release, Request, decompress};
use callsheet_types::{Digest, GitRef, Repository};

/// The longest registry file that is read, decompressed.
const MOST_REGISTRY_BYTES: usize = 256 << 20;

/// How registry files may be compressed, by the ending of their names; the plain one is asked for
/// first where asking costs a request.
const ENDINGS: [&str; 3] = ["", ".zst", ".gz"];

/// A registry file, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Discovered {
    pub(crate) found: Found,
    /// Where it was found: the key of the `file-registry` without its digest.
    pub(crate) key: String,
    pub(crate) url: String,
    pub(crate) etag: Option<String>,
    pub(crate) content: Content,
    /// The release's archives, for whoever knows what the registry names.
    pub(crate) archives: Vec<(String, Option<Digest>)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// As it was at the last sync.
    Same,
    /// Decompressed.
    Fresh(Bytes),
}

impl Library {
    /// Finds the registry file of a source at a ref. With what was found before, unless it is to be
    /// forgotten, only what changed is fetched.
    pub(crate) async fn discover(
        &self,
        source: &FileSource,
        reference: &GitRef,
        before: Option<&FileRef>,
    ) -> Result<Discovered, FilesError> {
        match source.kind() {
            SourceKind::GitHub => self.discover_on_github(source, reference, before).await,
            SourceKind::Http => self.discover_below_url(source, reference, before).await,
            SourceKind::Filesystem => discover_in_folder(source, reference).await,
            SourceKind::Zip => self.discover_in_zip(source, reference).await,
        }
    }

    async fn discover_on_github(
        &self,
        source: &FileSource,
        reference: &GitRef,
        before: Option<&FileRef>,
    ) -> Result<Discovered, FilesError> {
        let address = format!("{}@{reference}", source.name);
        let failed = |cause| FilesError::Fetch { address: address.clone(), cause };
        let repository = repository(source)?;
        let hub = self.github(source)?;
        let before = before.filter(|before| before.spec.repo.as_ref() == Some(&repository));
        if source.spec.publishes != Publishes::Dfns
            && let Some(release) = hub.release(&repository, reference).await.map_err(failed)?
        {
            return self.release(&hub, source, reference, &release, before).await;
        }
        if source.spec.publishes == Publishes::Programs {
            return Err(FilesError::NoRef { address });
        }
        let resolved = hub.resolve(&repository, reference).await.map_err(failed)?;
        let Some(resolved) = resolved else { return Err(FilesError::NoRef { address }) };
        let (commit, kind) = (resolved.commit, resolved.kind);
        let path = below(source.registry_path(), source.spec.publishes.file_name());
        let key = format!("{repository}@{commit}/{path}");
        let found = Found::VersionControlled { commit: commit.clone(), kind };
        if let Some(before) = before.filter(|before| is_at(before, &key)) {
            return Ok(Discovered {
                found,
                key,
                url: before.url.clone(),
                etag: before.etag.clone(),
                content: Content::Same,
                archives: Vec::new(),
            });
        }
        if let Some(earlier) = self.offering(before).await? {
            let request = hub.file(&repository, &commit, &format!("{path}{}", edits::ENDING));
            if let Some(newer) = edited(&hub, &request, &earlier).await {
                let url = hub.file(&repository, &commit, &path).url;
                let content = Content::Fresh(newer);
                return Ok(Discovered {
                    found,
                    key,
                    url,
                    etag: None,
                    content,
                    archives: Vec::new(),
                });
            }
        }
        for ending in ENDINGS {
            let mut request = hub.file(&repository, &commit, &format!("{path}{ending}"));
            request.max_bytes = MOST_REGISTRY_BYTES;
            // The address is another at every commit: only a tag that is made of the content says
            // that it is the same there.
            request.etag = before
                .filter(|before| before.url.ends_with(&format!("{path}{ending}")))
                .and_then(|before| before.etag.clone())
                .filter(|etag| is_of_content(etag));
            let fetched = hub.get(&request).await.map_err(failed)?;
            let (content, etag) = match fetched {
                None => continue,
                Some(Fetched::NotModified) => (Content::Same, request.etag.clone()),
                Some(Fetched::Fresh { body, etag, .. }) => {
                    (Content::Fresh(self.decompressed(&address, &request.url, body).await?), etag)
                }
            };
            let url = request.url;
            return Ok(Discovered { found, key, url, etag, content, archives: Vec::new() });
        }
        let folder = match source.registry_path() {
            "" => ".",
            folder => folder,
        };
        let file = source.spec.publishes.file_name();
        Err(FilesError::NoRegistryFile { file, folder: folder.to_owned(), address })
    }

    async fn release(
        &self,
        hub: &GitHub,
        source: &FileSource,
        reference: &GitRef,
        release: &Release,
        before: Option<&FileRef>,
    ) -> Result<Discovered, FilesError> {
        let address = format!("{}@{reference}", source.name);
        let repository = repository(source)?;
        let file = source.spec.publishes.file_name();
        // Here the list says which there are: the smallest to carry comes first.
        let asset = [".zst", ".gz", ""].iter().find_map(|ending| {
            release.assets.iter().find(|asset| asset.name == format!("{file}{ending}"))
        });
        let Some(asset) = asset else {
            return Err(FilesError::NoRegistryAsset { file, address });
        };
        let revision = revision(release);
        let key = format!("{repository}@{reference}+{revision}/{file}");
        let archives = release.assets.iter().filter(|asset| is_archive(&asset.name));
        let archives = archives.map(|asset| (asset.name.clone(), asset.digest)).collect();
        let found = Found::Release { revision, commit: None, archive: None, archive_digest: None };
        let request = Request {
            max_bytes: MOST_REGISTRY_BYTES,
            ..hub.asset(&repository, reference, &asset.name)
        };
        let mut discovered = Discovered {
            found,
            key,
            url: request.url.clone(),
            etag: None,
            content: Content::Same,
            archives,
        };
        if before.is_some_and(|before| is_at(before, &discovered.key)) {
            return Ok(discovered);
        }
        let difference = format!("{file}{}", edits::ENDING);
        if release.assets.iter().any(|asset| asset.name == difference)
            && let Some(earlier) = self.offering(before).await?
        {
            let request = hub.asset(&repository, reference, &difference);
            if let Some(newer) = edited(hub, &request, &earlier).await {
                discovered.content = Content::Fresh(newer);
                return Ok(discovered);
            }
        }
        let fetched = hub.get(&request).await;
        match fetched.map_err(|cause| FilesError::Fetch { address: address.clone(), cause })? {
            None | Some(Fetched::NotModified) => Err(FilesError::NoRegistryAsset { file, address }),
            Some(Fetched::Fresh { body, .. }) => {
                discovered.content =
                    Content::Fresh(self.decompressed(&address, &request.url, body).await?);
                Ok(discovered)
            }
        }
    }

    /// Returns the registry file that is here, where its publisher offers differences to it.
    async fn offering(&self, before: Option<&FileRef>) -> Result<Option<Vec<u8>>, FilesError> {
        let Some(digest) = before.map(|before| before.digest) else { return Ok(None) };
        let blobs = self.blobs.clone();
        let read = tokio::task::spawn_blocking(move || blobs.get(&digest));
        let earlier = read.await.map_err(|_| FilesError::CutOff)??;
        Ok(earlier.filter(|earlier| edits::are_offered(earlier)))
    }

    async fn discover_below_url(
        &self,
        source: &FileSource,
        reference: &GitRef,
        before: Option<&FileRef>,
    ) -> Result<Discovered, FilesError> {
        let address = format!("{}@{reference}", source.name);
        let path = below(source.registry_path(), source.spec.publishes.file_name());
        let base = url_of(source, reference);
        for ending in ENDINGS {
            let mut request = self.web_request(source, &format!("{base}/{path}{ending}"))?;
            request.max_bytes = MOST_REGISTRY_BYTES;
            let before = before.filter(|before| before.url == request.url);
            request.etag = before.and_then(|before| before.etag.clone());
            let (content, etag) = match self.http.get(&request).await {
                Ok(Fetched::NotModified) => (Content::Same, request.etag.clone()),
                Ok(Fetched::Fresh { body, etag, .. }) => {
                    (Content::Fresh(self.decompressed(&address, &request.url, body).await?), etag)
                }
                Err(FetchError::Status { status: 404 | 410, .. }) => continue,
                Err(cause) => return Err(FilesError::Fetch { address, cause }),
            };
            let (key, url) = (request.url.clone(), request.url);
            return Ok(Discovered {
                found: Found::Plain,
                key,
                url,
                etag,
                content,
                archives: Vec::new(),
            });
        }
        let file = source.spec.publishes.file_name();
        Err(FilesError::NoRegistryFile { file, folder: base, address })
    }

    async fn discover_in_zip(
        &self,
        source: &FileSource,
        reference: &GitRef,
    ) -> Result<Discovered, FilesError> {
        let address = format!("{}@{reference}", source.name);
        let path = below(source.registry_path(), source.spec.publishes.file_name());
        let (url, mut archive) = self.zip(source, reference, &|_, _| {}).await?;
        let name = url.clone();
        let found = tokio::task::spawn_blocking(move || {
            let mut content = None;
            let limits = callsheet_sources::UnpackLimits::default();
            callsheet_sources::unpack(&name, archive.file(), false, limits, &mut |member| {
                if member.path.as_str() == path {
                    let mut bytes = Vec::new();
                    let most = MOST_REGISTRY_BYTES as u64;
                    std::io::Read::read_to_end(
                        &mut std::io::Read::take(member.content, most),
                        &mut bytes,
                    )?;
                    content = Some(bytes);
                }
                Ok(())
            })
            .map(|()| content)
        });
        let found = found.await.map_err(|_| FilesError::CutOff)?;
        let content =
            found.map_err(|cause| FilesError::Archive { address: address.clone(), cause })?;
        let Some(content) = content.map(Bytes::from) else {
            let file = source.spec.publishes.file_name();
            return Err(FilesError::NoRegistryFile { file, folder: url, address });
        };
        let (key, content) = (url.clone(), Content::Fresh(content));
        Ok(Discovered { found: Found::Plain, key, url, etag: None, content, archives: Vec::new() })
    }

    /// Decompresses a registry file.
    async fn decompressed(
        &self,
        address: &str,
        url: &str,
        body: Bytes,
    ) -> Result<Bytes, FilesError> {
        let name = url.rsplit('/').next().unwrap_or(url).to_owned();
        let plain = tokio::task::spawn_blocking(move || {
            let is_compressed =
                body.starts_with(&[0x1f, 0x8b]) || body.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
            if is_compressed {
                decompress(&name, &body, MOST_REGISTRY_BYTES as u64).map(Bytes::from)
            } else {
                Ok(body)
            }
        });
        let plain = plain.await.map_err(|_| FilesError::CutOff)?;
        plain.map_err(|cause| FilesError::Archive { address: address.to_owned(), cause })
    }
}

/// Makes the newer registry file of the one that is here. A difference that is not there, not meant
/// for it, or damaged costs nothing but the question: the whole file is fetched then.
async fn edited(hub: &GitHub, request: &Request, earlier: &[u8]) -> Option<Bytes> {
    let Ok(Some(Fetched::Fresh { body, .. })) = hub.get(request).await else { return None };
    Some(Edits::parse(&body)?.apply(earlier, MOST_REGISTRY_BYTES)?.into())
}

async fn discover_in_folder(
    source: &FileSource,
    reference: &GitRef,
) -> Result<Discovered, FilesError> {
    let address = format!("{}@{reference}", source.name);
    let folder = folder_of(source, reference);
    let path = folder.join(source.registry_path()).join(source.spec.publishes.file_name());
    let url = path.display().to_string();
    let file = source.spec.publishes.file_name();
    let shown = folder.join(source.registry_path()).display().to_string();
    let bytes = tokio::task::spawn_blocking(move || std::fs::read(path));
    let content = match bytes.await.map_err(|_| FilesError::CutOff)? {
        Ok(bytes) => Bytes::from(bytes),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Err(FilesError::NoRegistryFile { file, folder: shown, address });
        }
        Err(cause) => {
            return Err(crate::BootstrapError::Unreadable { path: url.into(), cause }.into());
        }
    };
    let (key, content) = (url.clone(), Content::Fresh(content));
    Ok(Discovered { found: Found::Plain, key, url, etag: None, content, archives: Vec::new() })
}

/// Returns the folder of a source at a ref.
pub(crate) fn folder_of(source: &FileSource, reference: &GitRef) -> std::path::PathBuf {
    let folder = source.spec.directory.clone().unwrap_or_default();
    match folder.to_str() {
        Some(text) if text.contains("{ref}") => text.replace("{ref}", reference.as_str()).into(),
        _ => folder,
    }
}

/// Returns the address of a source at a ref, without a slash at its end.
pub(crate) fn url_of(source: &FileSource, reference: &GitRef) -> String {
    let encoded: Vec<_> = reference.as_str().split('/').map(callsheet_types::encoded).collect();
    let url = source.spec.url.as_deref().unwrap_or_default();
    url.replace("{ref}", &encoded.join("%2F")).trim_end_matches('/').to_owned()
}

pub(crate) fn repository(source: &FileSource) -> Result<Repository, FilesError> {
    let none = || FilesError::Question(format!("source '{}' names no repository", source.key));
    source.spec.repo.clone().ok_or_else(none)
}

/// Returns whether an entity tag looks like a digest, as GitHub's are, and not like a length and a
/// moment, which two files may share.
fn is_of_content(etag: &str) -> bool {
    let tag = etag.trim_start_matches("W/").trim_matches('"');
    tag.len() >= 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns whether a registry is one of those that were found under a key.
fn is_at(before: &FileRef, key: &str) -> bool {
    before.registry.strip_prefix(key).is_some_and(|rest| rest.starts_with('#'))
}

fn is_archive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".zip", ".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
}

/// Returns another text whenever something of a release was replaced, also under the same names.
fn revision(release: &Release) -> String {
    let mut said = format!("{}", release.id);
    for asset in &release.assets {
        let (size, updated) = (asset.size_bytes, asset.updated_at.as_deref().unwrap_or_default());
        said.push_str(&format!(
            "\n{}\0{}\0{size:?}\0{updated}\0{:?}",
            asset.name, asset.id, asset.digest
        ));
    }
    Digest::of(said.as_bytes()).hex()[..16].to_owned()
}

/// Returns whether what a ref means never changes.
pub(crate) fn is_fixed(found: &Found, reference: &GitRef) -> bool {
    match found {
        Found::VersionControlled { commit, kind: RefKind::Commit } => {
            commit.eq_ignore_ascii_case(reference.as_str())
        }
        _ => false,
    }
}
