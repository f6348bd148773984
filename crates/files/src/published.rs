//! What is kept of registries: the entries' bodies.

use crate::{
    address,
    registry::Publishes,
    source::{FileSource, SourceSpec},
};
use callsheet_sources::RefKind;
use callsheet_types::{Digest, GitRef};
use serde::{Deserialize, Serialize};

/// What a source publishes at a ref now: the body of a `file-ref`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FileRef {
    /// The source's key.
    pub source: String,
    /// The source's name.
    pub name: String,
    /// The ref.
    pub reference: GitRef,
    /// How it was found.
    pub found: Found,
    /// The key of the `file-registry`.
    pub registry: String,
    /// The registry file's digest, decompressed: the blob that holds it.
    pub digest: Digest,
    /// Its entity tag, where it was fetched alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Where it came from.
    pub url: String,
    /// The folder that its keys start from, where that had to be found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// What it holds.
    pub counts: FileCounts,
    /// Whether somebody asked for this repository in place of the source's own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_override: bool,
    /// The source as it was asked; of one that is still configured, hosts and token are those of
    /// the configuration.
    pub spec: SourceSpec,
}

/// How a registry was found.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Found {
    /// In a repository, at a commit.
    VersionControlled {
        /// The commit.
        commit: String,
        /// What the ref is.
        kind: RefKind,
    },
    /// Among the assets of a release.
    Release {
        /// Another one whenever something of the release was replaced.
        revision: String,
        /// The tag's commit, where the files are in the repository all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
        /// The asset that holds the files.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        archive: Option<String>,
        /// Its digest, where the host says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        archive_digest: Option<Digest>,
    },
    /// In a folder or an archive, or below an address.
    Plain,
}

impl Found {
    /// Returns the mode's name.
    pub fn mode(&self) -> &'static str {
        match self {
            Self::VersionControlled { .. } => "version_controlled",
            Self::Release { .. } => "release",
            Self::Plain => "plain",
        }
    }

    /// Returns the commit, where there is one.
    pub fn commit(&self) -> Option<&str> {
        match self {
            Self::VersionControlled { commit, .. } | Self::Release { commit: Some(commit), .. } => {
                Some(commit)
            }
            _ => None,
        }
    }
}

/// How much a registry holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct FileCounts {
    /// Models.
    pub models: usize,
    /// Examples.
    pub examples: usize,
    /// Files.
    pub files: usize,
    /// Files without a digest.
    pub unverified: usize,
}

/// A registry as it was published: the body of a `file-registry`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FileRegistry {
    /// What it lists.
    pub publishes: Publishes,
    /// The registry file's digest, decompressed: the blob that holds it.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: u64,
}

impl FileRef {
    /// Returns what it lists.
    pub fn publishes(&self) -> Publishes {
        self.spec.publishes
    }

    /// Returns source and ref as people write them.
    pub fn address(&self) -> String {
        format!("{}@{}", self.name, self.reference)
    }

    /// Returns whether this is what a source has there, as the source is configured now.
    pub fn is_of(&self, source: &FileSource) -> bool {
        self.is_override || self.spec.repo == source.spec.repo
    }

    /// Returns the key of its entry.
    pub fn key(&self) -> String {
        ref_key(self.publishes(), &self.source, &self.reference)
    }

    /// Returns the source that it came from: the one that is configured, if that still is, but for
    /// the repository.
    pub fn source(&self, configured: Option<&FileSource>) -> FileSource {
        let mut source = configured.cloned().unwrap_or_else(|| FileSource {
            key: self.source.clone(),
            name: self.name.clone(),
            origin: crate::source::Origin::Added,
            spec: self.spec.clone(),
        });
        source.spec.repo.clone_from(&self.spec.repo);
        source
    }

    /// Returns the address of something in it, in the form that can be read in one way only.
    pub fn canonical(&self, path: &str) -> String {
        let source = self.source(None);
        address::canonical(&source, &self.reference, path)
    }
}

/// Returns the key of the entry of what a source publishes at a ref.
pub fn ref_key(publishes: Publishes, source: &str, reference: &GitRef) -> String {
    format!("{publishes}/{source}@{reference}")
}
