//! The config file: every key, its default and what it means.
//!
//! Reading it is in `load.rs`, judging it in `check.rs`. Defaults stand here and nowhere else.

mod check;
mod files;
mod load;

pub use files::{FilesConfig, GitHubConfig};
pub use load::{ConfigError, ConfigSource, Overrides};

use callsheet_files::source::SourceSpec;
use callsheet_fleet::{Policy as FleetPolicy, Strategy, UnknownCapabilities};
use callsheet_gateway::{Limits, LogFormat, Policy, Retry, RetryAllowance};
use callsheet_models::providers::ProviderSpec;
use callsheet_store::{BlobsUrl, StoreUrl, StoreUrlError};
use callsheet_types::{BackendSpec, ByteSize, HumanDuration, SecretSource};
use callsheet_upstream::Options;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How the daemon is reached.
    pub server: ServerConfig,
    /// What it writes about itself.
    pub log: LogConfig,
    /// How a backend is chosen.
    pub routing: RoutingConfig,
    /// How backends are probed.
    pub health: HealthConfig,
    /// What is granted to requests and connections.
    pub limits: LimitsConfig,
    /// Where entries are kept.
    pub store: StoreConfig,
    /// What is known of models.
    pub models: ModelsConfig,
    /// Files: how they are fetched and kept.
    pub files: FilesConfig,
    /// Where GitHub is.
    pub github: GitHubConfig,
    /// Where files are published, by key, over what is shipped.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, SourceSpec>,
    /// Who is asked about models, by name; the servers under `backends` are asked too.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub providers: BTreeMap<String, ProviderSpec>,
    /// The backends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<BackendSpec>,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// The address to listen on; port 0 takes a free one.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// The environment variable that holds the token for `/api`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_token_env: Option<String>,
    /// The file that holds the token for `/api`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_token_file: Option<PathBuf>,
    /// Lets a daemon without an admin token listen on an address that others can reach.
    pub allow_unauthenticated: bool,
    /// Host names, beside `localhost` and IP addresses, by which the daemon may be called.
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages, beside the daemon's own, that may call it.
    pub allowed_origins: Vec<String>,
    /// How long requests may take to finish after the daemon was told to stop.
    pub drain_timeout: HumanDuration,
}

/// Reads an address, with an error that says what one looks like.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "{text:?} is no address; expected an IP address and a port, such as \"127.0.0.1:7117\""
        ))
    })
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7117)),
            admin_token_env: None,
            admin_token_file: None,
            allow_unauthenticated: false,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            drain_timeout: HumanDuration::from_secs(30),
        }
    }
}

impl ServerConfig {
    /// Returns where the admin token is kept; the variable goes before the file.
    pub fn admin_token(&self) -> Option<SecretSource> {
        self.admin_token_env
            .clone()
            .map(SecretSource::Env)
            .or_else(|| self.admin_token_file.clone().map(SecretSource::File))
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// JSON, or text for people.
    pub format: LogFormat,
    /// The least important level that is written: `error`, `warn`, `info`, `debug`, `trace`.
    pub level: LogLevel,
    /// Whether each request is a line.
    pub requests: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Json, level: LogLevel::Info, requests: true }
    }
}

/// How important a log line must be to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// Returns the level's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// `[routing]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoutingConfig {
    /// How one of several backends is chosen.
    pub strategy: Strategy,
    /// Whether a backend that does not say whether it can do something counts as able.
    pub unknown_capabilities: UnknownCapabilities,
    /// Where this gateway stands; backends of the same zone are preferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Whether a request that may have been served already is sent to another backend.
    pub retry: Retry,
    /// Retries that each request earns for all.
    pub retry_ratio: f64,
    /// Retries that are free in each second.
    pub retries_per_second: f64,
    /// Failures in a row after which a backend is taken out of routing; 0 never does.
    pub eject_after: u32,
    /// For how long, the first time; doubled each time in a row.
    pub eject_for: HumanDuration,
    /// For how long at the most.
    pub eject_for_at_most: HumanDuration,
    /// Bytes of prompt that make a token, for the estimate of the context that a request needs.
    pub bytes_per_token: f64,
    /// Other names for models.
    pub aliases: BTreeMap<String, String>,
    /// Models to try, in order, when none of a model's backends can serve.
    pub fallbacks: BTreeMap<String, Vec<String>>,
}

impl Default for RoutingConfig {
    fn default() -> Self {
        let retries = RetryAllowance::default();
        Self {
            strategy: Strategy::Adaptive,
            unknown_capabilities: UnknownCapabilities::Allow,
            zone: None,
            retry: Retry::Always,
            retry_ratio: retries.ratio,
            retries_per_second: retries.per_second,
            eject_after: 3,
            eject_for: HumanDuration::from_secs(5),
            eject_for_at_most: HumanDuration::from_secs(300),
            bytes_per_token: 4.0,
            aliases: BTreeMap::new(),
            fallbacks: BTreeMap::new(),
        }
    }
}

/// `[health]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// Between two probes of a backend, give or take a tenth.
    pub interval: HumanDuration,
    /// For one probe.
    pub timeout: HumanDuration,
    /// Failed probes in a row after which a backend is unhealthy.
    pub failure_threshold: NonZeroU32,
    /// Good probes in a row after which it is healthy again.
    pub recovery_threshold: NonZeroU32,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            interval: HumanDuration::from_secs(30),
            timeout: HumanDuration::from_secs(5),
            failure_threshold: NonZeroU32::MIN.saturating_add(2),
            recovery_threshold: NonZeroU32::MIN.saturating_add(1),
        }
    }
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// The longest head of a client's request.
    pub header_bytes: ByteSize,
    /// The longest request body.
    pub body_bytes: ByteSize,
    /// All request bodies that are held at once.
    pub total_body_bytes: ByteSize,
    /// The longest head of a backend's answer.
    pub answer_header_bytes: ByteSize,
    /// The longest answer that is not a stream.
    pub answer_bytes: ByteSize,
    /// The longest single event of a stream.
    pub event_bytes: ByteSize,
    /// For the head of a client's request to arrive, and for a connection to stay idle.
    pub header_timeout: HumanDuration,
    /// For the body of a client's request to arrive.
    pub body_timeout: HumanDuration,
    /// For a client to take what is sent to it.
    pub send_timeout: HumanDuration,
    /// For a connection to a backend, TLS included.
    pub connect_timeout: HumanDuration,
    /// From sending a request to the first byte of its answer, or its first whole event.
    pub first_byte_timeout: HumanDuration,
    /// Between two parts of an answer.
    pub idle_timeout: HumanDuration,
    /// For the whole request, retries included.
    pub total_timeout: HumanDuration,
    /// Requests that may wait for a backend with room, over all models.
    pub queue_size: usize,
    /// For such a wait.
    pub queue_timeout: HumanDuration,
    /// Idle connections that are kept to each backend.
    pub pool_size: usize,
    /// For an idle connection to a backend to be kept.
    pub pool_timeout: HumanDuration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            header_bytes: ByteSize(64 << 10),
            body_bytes: ByteSize(32 << 20),
            total_body_bytes: ByteSize(512 << 20),
            answer_header_bytes: ByteSize(64 << 10),
            answer_bytes: ByteSize(256 << 20),
            event_bytes: ByteSize(8 << 20),
            header_timeout: HumanDuration::from_secs(60),
            body_timeout: HumanDuration::from_secs(30),
            send_timeout: HumanDuration::from_secs(60),
            connect_timeout: HumanDuration::from_secs(5),
            first_byte_timeout: HumanDuration::from_secs(300),
            idle_timeout: HumanDuration::from_secs(120),
            total_timeout: HumanDuration::from_secs(1800),
            queue_size: 100,
            queue_timeout: HumanDuration::from_secs(30),
            pool_size: 256,
            pool_timeout: HumanDuration::from_secs(30),
        }
    }
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// `sqlite:///path/to/file.db` or `postgres://user@host/database`; `catalog.db` in the data
    /// directory where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The environment variable that holds PostgreSQL's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// The file that holds PostgreSQL's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Where large bodies are kept: an absolute path, or `s3://bucket/prefix`; `blobs` in the data
    /// directory where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blobs: Option<String>,
    /// Where an S3-compatible store other than Amazon's answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blobs_endpoint: Option<String>,
    /// For how long changes, and revisions that are no longer in force, are kept.
    pub keep: HumanDuration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: None,
            password_env: None,
            password_file: None,
            blobs: None,
            blobs_endpoint: None,
            keep: HumanDuration::from_secs(90 * 86_400),
        }
    }
}

impl StoreConfig {
    /// Returns where PostgreSQL's password is kept; the variable goes before the file.
    pub fn password(&self) -> Option<SecretSource> {
        self.password_env
            .clone()
            .map(SecretSource::Env)
            .or_else(|| self.password_file.clone().map(SecretSource::File))
    }

    /// Returns where the database is; the address has been checked.
    pub fn location(&self, data_dir: &Path) -> Result<StoreUrl, StoreUrlError> {
        match &self.url {
            Some(url) => url.parse(),
            None => Ok(StoreUrl::Sqlite(data_dir.join("catalog.db"))),
        }
    }

    /// Returns where blobs are; the address has been checked.
    pub fn blobs(&self, data_dir: &Path) -> Result<BlobsUrl, StoreUrlError> {
        let url = match &self.blobs {
            Some(url) => url.parse()?,
            None => BlobsUrl::Directory(data_dir.join("blobs")),
        };
        match &self.blobs_endpoint {
            Some(endpoint) => url.with_endpoint(endpoint),
            None => Ok(url),
        }
    }
}

/// `[models]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsConfig {
    /// How often the daemon asks all providers; never where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_every: Option<HumanDuration>,
    /// Whether the daemon asks a backend about its models when its list changes.
    pub refresh_backends: bool,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self { refresh_every: None, refresh_backends: true }
    }
}

impl Config {
    /// Returns what the fleet is told.
    pub fn fleet_policy(&self) -> FleetPolicy {
        FleetPolicy {
            strategy: self.routing.strategy,
            unknown_capabilities: self.routing.unknown_capabilities,
            zone: self.routing.zone.clone(),
            eject_after: self.routing.eject_after,
            eject_for: self.routing.eject_for.0,
            max_eject: self.routing.eject_for_at_most.0,
            queue_size: self.limits.queue_size,
        }
    }

    /// Returns what the gateway is told.
    pub fn gateway_policy(&self) -> Policy {
        let limits = &self.limits;
        Policy {
            aliases: self.routing.aliases.clone().into_iter().collect(),
            // Presets are kept in the store, and so is what else models are called.
            presets: std::collections::HashMap::new(),
            also: std::sync::Arc::default(),
            fallbacks: self.routing.fallbacks.clone().into_iter().collect(),
            retry: self.routing.retry,
            retries: RetryAllowance {
                ratio: self.routing.retry_ratio,
                per_second: self.routing.retries_per_second,
            },
            bytes_per_token: self.routing.bytes_per_token,
            limits: Limits {
                body_bytes: limits.body_bytes.as_usize(),
                total_body_bytes: limits.total_body_bytes.as_usize(),
                answer_bytes: limits.answer_bytes.0,
                event_bytes: limits.event_bytes.as_usize(),
                body_timeout: limits.body_timeout.0,
                first_byte_timeout: limits.first_byte_timeout.0,
                idle_timeout: limits.idle_timeout.0,
                total_timeout: limits.total_timeout.0,
                queue_timeout: limits.queue_timeout.0,
            },
        }
    }

    /// Returns how connections to backends are treated.
    pub fn connection_options(&self) -> Options {
        Options {
            connect_timeout: self.limits.connect_timeout.0,
            idle_timeout: self.limits.pool_timeout.0,
            max_idle: self.limits.pool_size,
            max_head_bytes: self.limits.answer_header_bytes.as_usize(),
        }
    }
}
