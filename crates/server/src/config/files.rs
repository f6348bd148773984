//! `[files]` and `[github]`.

use callsheet_sources::GitHubHosts;
use callsheet_types::{ByteSize, SecretSource};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[files]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilesConfig {
    /// Where files are cached; `callsheet` in the user's cache folder where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_dir: Option<PathBuf>,
    /// Whether what is configured and was never synced is synced at the daemon's start, and before
    /// models are listed.
    pub auto_sync: bool,
    /// How many missing files are still fetched one by one; more come as one archive.
    pub single_files: usize,
    /// Files that are fetched at once.
    pub parallel: usize,
    /// Other daemons that are asked for a file by its digest before its source is.
    pub mirrors: Vec<String>,
    /// The largest file.
    pub max_file_bytes: ByteSize,
    /// Whether copies are counted, on this machine and for nobody else.
    pub usage: bool,
}

impl Default for FilesConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            auto_sync: false,
            single_files: 50,
            parallel: 8,
            mirrors: Vec::new(),
            max_file_bytes: ByteSize(8 << 30),
            usage: true,
        }
    }
}

/// `[github]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GitHubConfig {
    /// Where release assets are.
    pub web: String,
    /// Where files are.
    pub raw: String,
    /// Where everything else is.
    pub api: String,
    /// The environment variable that holds the token for these hosts; `GITHUB_TOKEN`, if it is set,
    /// where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// The file that holds the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// Where a token is looked for that nobody configured.
const TOKEN_VARIABLE: &str = "GITHUB_TOKEN";

impl Default for GitHubConfig {
    fn default() -> Self {
        let GitHubHosts { web, raw, api } = GitHubHosts::default();
        Self { web, raw, api, token_env: None, token_file: None }
    }
}

impl GitHubConfig {
    /// Returns the hosts.
    pub fn hosts(&self) -> GitHubHosts {
        let plain = |url: &String| url.trim_end_matches('/').to_owned();
        GitHubHosts { web: plain(&self.web), raw: plain(&self.raw), api: plain(&self.api) }
    }

    /// Returns where the token is kept that must be there, if one must.
    pub fn token(&self) -> Option<SecretSource> {
        let variable = self.token_env.clone().map(SecretSource::Env);
        variable.or_else(|| self.token_file.clone().map(SecretSource::File))
    }

    /// Returns where a token may be kept.
    pub fn usual_token(&self) -> SecretSource {
        self.token().unwrap_or_else(|| SecretSource::Env(TOKEN_VARIABLE.to_owned()))
    }
}
