use crate::{
    BootstrapError, CacheError,
    address::AddressError,
    index::IndexError,
    lock::LockError,
    registry::{Publishes, RegistryError},
    source::SourceError,
};
use callsheet_sources::{FetchError, TreeError};
use callsheet_store::{PublishError, StoreError};
use callsheet_types::Digest;

/// Something about files that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A release that lacks its registry file.
    #[error("Registry file '{file}' not found as release asset for '{address}'")]
    NoRegistryAsset {
        /// The registry file.
        file: &'static str,
        /// Source and ref.
        address: String,
    },
    /// There is no such ref.
    #[error("Registry discovery failed, ref '{address}' does not exist")]
    NoRef {
        /// Source and ref.
        address: String,
    },
    /// A commit that lacks its registry file.
    #[error("Registry file '{file}' not found in {folder} for '{address}'")]
    NoRegistryFile {
        /// The registry file.
        file: &'static str,
        /// Where it should be.
        folder: String,
        /// Source and ref.
        address: String,
    },
    /// A release of several archives, of which none is named.
    #[error("the release of '{address}' has several archives: {}", .archives.join(", "))]
    SeveralArchives {
        /// Source and ref.
        address: String,
        /// Their names.
        archives: Vec<String>,
    },
    /// A release without the archive that its files would be in.
    #[error("the release of '{address}' has no archive{}", named(.archive.as_deref()))]
    NoArchive {
        /// Source and ref.
        address: String,
        /// The one that is asked for.
        archive: Option<String>,
    },
    /// It could not be asked, or did not answer well.
    #[error("'{address}' could not be fetched")]
    Fetch {
        /// What was wanted.
        address: String,
        /// Why not.
        #[source]
        cause: FetchError,
    },
    /// A registry file of which nothing is used.
    #[error("the registry of '{address}' at {url} cannot be used")]
    Registry {
        /// Source and ref.
        address: String,
        /// Where it came from.
        url: String,
        /// What is wrong.
        #[source]
        cause: RegistryError,
    },
    /// An archive of which nothing is used.
    #[error("an archive of '{address}' cannot be used")]
    Archive {
        /// Source and ref.
        address: String,
        /// What is wrong.
        #[source]
        cause: TreeError,
    },
    /// A file's bytes are not those that were published.
    #[error("'{key}' of '{address}' is not what was published: expected {expected}, got {got}")]
    WrongDigest {
        /// Source and ref.
        address: String,
        /// The file.
        key: String,
        /// What the registry says.
        expected: Digest,
        /// What came.
        got: Digest,
    },
    /// A file that its registry names is nowhere.
    #[error("'{key}' of '{address}' is not there: {reason}")]
    NoFile {
        /// Source and ref.
        address: String,
        /// The file.
        key: String,
        /// Where it was looked for.
        reason: String,
    },
    /// Offline, and not everything is in the cache.
    #[error("{} of '{address}' {} not in the cache, and this is offline mode: {}", counted(.keys.len()), if .keys.len() == 1 { "is" } else { "are" }, some(.keys))]
    OfflineMissing {
        /// Source and ref.
        address: String,
        /// The files.
        keys: Vec<String>,
    },
    /// Offline, and the ref was never synced.
    #[error("'{address}' is not synced, and this is offline mode")]
    OfflineNotSynced {
        /// Source and ref.
        address: String,
    },
    /// A dry run, and the ref was never synced.
    #[error("'{address}' is not synced; --dry-run does not sync it")]
    NotSynced {
        /// Source and ref.
        address: String,
        /// What is wanted of it.
        publishes: Publishes,
    },
    /// Much of a registry is gone.
    #[error("'{address}' has {now} models where it had {before}")]
    Shrunk {
        /// Source and ref.
        address: String,
        /// How many it had.
        before: usize,
        /// How many it has.
        now: usize,
    },
    /// No such source.
    #[error("Source '{name}' not found")]
    NoSource {
        /// What it was called.
        name: String,
        /// Those that there are, as key and name.
        known: Vec<String>,
    },
    /// A source that no ref is configured for, and none was named.
    #[error("source '{0}' has no refs: name one")]
    NoRefs(String),
    /// Nothing of this name is published there.
    #[error("'{path}' not in registry{}", of(.address.as_deref()))]
    NoModel {
        /// The name.
        path: String,
        /// Source and ref, where only one was searched.
        address: Option<String>,
        /// Names that are much like it.
        near: Vec<String>,
    },
    /// A name that means several things.
    #[error("'{text}' may be {}", .readings.join(" or "))]
    Ambiguous {
        /// The name.
        text: String,
        /// What it may be, written out.
        readings: Vec<String>,
    },
    /// A text that is no address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A source that cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The user's sources cannot be read.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// A folder that cannot be indexed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The lock file says otherwise, or cannot be read.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A question that makes no sense.
    #[error("{0}")]
    Question(String),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The store did not take it.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The work was cut off.
    #[error("the work was cut off")]
    CutOff,
}

impl From<StoreError> for FilesError {
    fn from(error: StoreError) -> Self {
        Self::Publish(error.into())
    }
}

impl FilesError {
    /// Returns what might help, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoRegistryAsset { file, .. } => {
                format!("whoever publishes it makes one with `callsheet files index`, and adds {file} to the release")
            }
            Self::NoRegistryFile { .. } => {
                "whoever publishes it makes one with `callsheet files index`; `registry_path` of the source says where it is".to_owned()
            }
            Self::NoRef { .. } => {
                "a private repository is seen only with a token: GITHUB_TOKEN, or the source's `token_env`".to_owned()
            }
            Self::SeveralArchives { .. } => "name one in the source's `asset`".to_owned(),
            Self::Fetch { cause, .. } => cause.hint()?,
            Self::OfflineMissing { .. } | Self::OfflineNotSynced { .. } => {
                "leave out --offline once, so that they are fetched".to_owned()
            }
            Self::NotSynced { address, publishes } => {
                let (source, reference) = address.split_once('@').unwrap_or((address, ""));
                let other = match publishes {
                    Publishes::Models => String::new(),
                    other => format!(" --publishes {other}"),
                };
                format!("`callsheet files sync{other} --source {source} --ref {reference}` does it")
            }
            Self::Shrunk { .. } => "if that is meant, take it with --allow-shrink".to_owned(),
            Self::NoSource { known, .. } => format!("Available sources: {}", known.join(", ")),
            Self::NoModel { near, .. } if !near.is_empty() => format!("did you mean {}?", near.join(" or ")),
            Self::NoModel { .. } => "`callsheet files list --verbose` names all models".to_owned(),
            Self::Ambiguous { .. } => "write one of them".to_owned(),
            Self::WrongDigest { .. } => {
                "whoever publishes it has changed the file without its registry, or something on the way has".to_owned()
            }
            _ => return None,
        })
    }
}

fn named(archive: Option<&str>) -> String {
    archive.map(|name| format!(" {name:?}")).unwrap_or_default()
}

fn of(address: Option<&str>) -> String {
    address.map(|address| format!(" of '{address}'")).unwrap_or_default()
}

fn counted(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

fn some(keys: &[String]) -> String {
    let shown = keys.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
    if keys.len() > 10 { format!("{shown}, …") } else { shown }
}
