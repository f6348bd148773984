//! Sources: where files are published.

use crate::registry::Publishes;
use callsheet_types::{GitRef, Layer, Repository, SecretSource, SourceName};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A source as a config file, an overlay or the API says it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceSpec {
    /// How it is reached; `github` where nothing is said.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<SourceKind>,
    /// What it publishes.
    pub publishes: Publishes,
    /// What stands before its models' names and in their addresses; its key where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The repository on GitHub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<Repository>,
    /// The refs that are synced where none is named; a source without any is switched off.
    pub refs: Vec<GitRef>,
    /// The folder of the registry file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry_path: Option<String>,
    /// The folder that the registry's keys start from.
    #[serde(skip_serializing_if = "Option::is_none", alias = "dfn_path")]
    pub path: Option<String>,
    /// The release's file that holds the models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    /// The address of an `http` or `zip` source; `{ref}` in it stands for the ref.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The folder of a `filesystem` source, or the file of a `zip` one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// GitHub's address for release assets, where it is another than that of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web: Option<String>,
    /// GitHub's address for files, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// GitHub's address for everything else, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// The environment variable that holds its token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// The file that holds its token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// How a source is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// A repository on GitHub, or on what answers as it does.
    GitHub,
    /// Files below an address: a mirror, a CDN.
    Http,
    /// A folder.
    Filesystem,
    /// An archive that holds the registry file and the files.
    Zip,
}

/// Who says that there is a source.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It comes with the program.
    Shipped,
    /// The user's overlay file.
    Overlay,
    /// Somebody added it through the API.
    Added,
    /// The configuration.
    Config,
}

/// A source, its spec checked.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FileSource {
    /// Its key among those that publish the same.
    pub key: String,
    /// What stands before its models' names.
    pub name: String,
    /// Who says so.
    pub origin: Origin,
    /// Everything else.
    #[serde(flatten)]
    pub spec: SourceSpec,
}

/// A source that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("source {key:?}: `{field}` {problem}; expected {expected}")]
pub struct SourceError {
    /// Its key.
    pub key: String,
    /// What is wrong.
    pub field: &'static str,
    /// How.
    pub problem: String,
    /// What would be right.
    pub expected: &'static str,
}

impl FileSource {
    /// Checks a source.
    pub fn new(key: &str, spec: SourceSpec, origin: Origin) -> Result<Self, SourceError> {
        let wrong = |field, problem: String, expected| {
            Err(SourceError { key: key.to_owned(), field, problem, expected })
        };
        if SourceName::new(Layer::Remote, key).is_err() || key.starts_with('.') {
            return wrong(
                "key",
                format!("is {key:?}"),
                "1 to 64 letters, digits, `.`, `_` or `-`, not beginning with a dot",
            );
        }
        let name = spec.name.clone().unwrap_or_else(|| key.to_owned());
        if !is_name(&name) {
            let expected =
                "letters, digits, `.`, `_` and `-` with `/` between, such as \"mf6/test\"";
            return wrong("name", format!("is {name:?}"), expected);
        }
        for (field, path) in [("registry_path", &spec.registry_path), ("path", &spec.path)] {
            let is_path = |path: &String| {
                let path = path.trim_matches('/');
                matches!(path, "" | ".") || callsheet_types::FilePath::new(path).is_ok()
            };
            if let Some(path) = path.as_ref().filter(|path| !is_path(path)) {
                let expected = "a folder below the root, such as \".registry\"";
                return wrong(field, format!("is {path:?}"), expected);
            }
        }
        for (field, url) in
            [("url", &spec.url), ("web", &spec.web), ("raw", &spec.raw), ("api", &spec.api)]
        {
            let is_url = |url: &String| {
                let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
                rest.is_some_and(|rest| {
                    !rest.is_empty() && !rest.starts_with('/') && !rest.contains('@')
                })
            };
            if let Some(url) = url.as_ref().filter(|url| !is_url(url)) {
                // What is malformed may hold a password that cannot be cut out.
                let shown = if url.contains('@') { "…" } else { url };
                let expected = "an http or https address without user and password";
                return wrong(field, format!("is {shown:?}"), expected);
            }
        }
        let source = Self { key: key.to_owned(), name, origin, spec };
        let has_query = source.spec.url.as_deref().is_some_and(|url| url.contains(['?', '#']));
        // What is added is shown to everybody who follows the feed.
        if has_query && (source.kind() != SourceKind::Zip || origin == Origin::Added) {
            let expected =
                "an address without a query; that of a `zip` in the config file may have one";
            return wrong("url", "has a query".to_owned(), expected);
        }
        match source.kind() {
            SourceKind::GitHub if source.spec.repo.is_none() => {
                return wrong("repo", "is missing".to_owned(), "`owner/name`, or another `type`");
            }
            SourceKind::Http if source.spec.url.is_none() => {
                return wrong(
                    "url",
                    "is missing".to_owned(),
                    "the address that the files are below",
                );
            }
            SourceKind::Filesystem if source.spec.directory.is_none() => {
                return wrong("directory", "is missing".to_owned(), "the folder");
            }
            SourceKind::Zip if source.spec.directory.is_none() && source.spec.url.is_none() => {
                return wrong("directory", "is missing".to_owned(), "the archive, or its `url`");
            }
            _ => {}
        }
        if source.spec.token_env.is_some() && source.spec.token_file.is_some() {
            let problem = "stands beside `token_env`".to_owned();
            return wrong("token_file", problem, "one of the two");
        }
        if source
            .spec
            .token_env
            .as_deref()
            .is_some_and(|name| !callsheet_types::is_variable_name(name))
        {
            let problem = "cannot be the name of an environment variable (it is not shown, in case it is the secret)";
            return wrong("token_env", problem.to_owned(), "a name such as MODELS_TOKEN");
        }
        Ok(source)
    }

    /// Returns how it is reached.
    pub fn kind(&self) -> SourceKind {
        self.spec.kind.unwrap_or(SourceKind::GitHub)
    }

    /// Returns whether it is on this machine.
    pub fn is_local(&self) -> bool {
        match self.kind() {
            SourceKind::Filesystem => true,
            SourceKind::Zip => self.spec.directory.is_some(),
            SourceKind::GitHub | SourceKind::Http => false,
        }
    }

    /// Returns the folder of its registry file; empty for the root.
    pub fn registry_path(&self) -> &str {
        let default = match self.kind() {
            SourceKind::GitHub => ".registry",
            _ => "",
        };
        let path = self.spec.registry_path.as_deref().unwrap_or(default);
        let path = path.strip_suffix(self.spec.publishes.file_name()).unwrap_or(path);
        if path == "." { "" } else { path.trim_matches('/') }
    }

    /// Returns the folder that its registry's keys start from, where it says so.
    pub fn path(&self) -> Option<&str> {
        let path = self.spec.path.as_deref()?.trim_matches('/');
        Some(if path == "." { "" } else { path })
    }

    /// Returns the source as it may be kept and shown: an address's query may hold a secret.
    pub fn kept_spec(&self) -> SourceSpec {
        let mut spec = self.spec.clone();
        spec.url = spec.url.as_deref().map(crate::library::without_query);
        spec
    }

    /// Returns where its token is kept.
    pub fn token(&self) -> Option<SecretSource> {
        let spec = &self.spec;
        let variable = spec.token_env.clone().map(SecretSource::Env);
        variable.or_else(|| spec.token_file.clone().map(SecretSource::File))
    }

    /// Returns the name under which its entries are published.
    pub fn source_name(&self) -> Option<SourceName> {
        let name = match self.spec.publishes {
            Publishes::Models => self.key.clone(),
            other => format!("{other}.{}", self.key),
        };
        SourceName::new(Layer::Remote, &name).ok()
    }

    /// Returns whether a text means this source: its key or its name.
    pub fn is_called(&self, text: &str) -> bool {
        self.key == text || self.name == text
    }
}

fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    name.len() <= 128 && name.split('/').all(is_part)
}
