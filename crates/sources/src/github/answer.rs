//! What GitHub's REST API answers, as far as it is looked at.

use super::{Asset, Release};
use callsheet_types::Digest;
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct ReleaseAnswer {
    id: u64,
    tag_name: String,
    #[serde(default)]
    assets: Vec<AssetAnswer>,
}

#[derive(Deserialize)]
struct AssetAnswer {
    id: u64,
    name: String,
    size: Option<u64>,
    digest: Option<String>,
    updated_at: Option<String>,
}

impl From<ReleaseAnswer> for Release {
    fn from(answer: ReleaseAnswer) -> Self {
        let mut assets: Vec<Asset> = answer.assets.into_iter().map(Asset::from).collect();
        assets.sort_by(|a, b| a.name.cmp(&b.name));
        Self { tag: answer.tag_name, id: answer.id, assets }
    }
}

impl From<AssetAnswer> for Asset {
    fn from(answer: AssetAnswer) -> Self {
        Self {
            name: answer.name,
            id: answer.id,
            size_bytes: answer.size,
            // A digest of another sort is none that could be checked.
            digest: answer.digest.and_then(|text| Digest::parse(&text).ok()),
            updated_at: answer.updated_at,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct CommitAnswer {
    pub(super) sha: Commit,
}

#[derive(Deserialize)]
pub(super) struct RefAnswer {
    #[serde(rename = "ref")]
    pub(super) name: String,
    pub(super) object: Object,
}

#[derive(Deserialize)]
pub(super) struct Object {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) sha: Commit,
}

/// A whole hash.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Commit(pub(super) String);

impl TryFrom<String> for Commit {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let is_hash =
            matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("a hash that is none".into())
        }
    }
}
