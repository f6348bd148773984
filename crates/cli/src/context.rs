//! What every command starts from: paths, the configuration, and where the daemon is.

use crate::{args::Global, failure::Failure};
use anyhow::anyhow;
use callsheet_files::{Cache, publish::Publisher};
use callsheet_server::{
    Config, ConfigError, base_dir, cache_dir,
    config::{ConfigSource, Overrides},
    files_settings,
};
use callsheet_sources::{Http, HttpSettings};
use std::{env, net::SocketAddr, path::PathBuf};

/// The global flags, made sense of.
pub(crate) struct Context {
    pub(crate) global: Global,
    /// The config file, if there is one.
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) data_dir: PathBuf,
}

impl Context {
    pub(crate) fn new(global: Global) -> Result<Self, Failure> {
        if global.offline && global.server.is_some() {
            return Err(Failure::usage("--offline opens no connection, and --server asks for one")
                .hint("leave one of the two out; they may also come from CALLSHEET_OFFLINE and CALLSHEET_SERVER"));
        }
        let config_file = match &global.config {
            Some(file) => Some(file.clone()),
            None => base_dir("XDG_CONFIG_HOME", ".config")
                .map(|dir| dir.join("callsheet/callsheet.toml"))
                .filter(|file| file.exists()),
        };
        let data_dir = match &global.data_dir {
            Some(dir) => dir.clone(),
            None => base_dir("XDG_DATA_HOME", ".local/share")
                .map(|dir| dir.join("callsheet"))
                .ok_or_else(|| {
                    Failure::new(anyhow!(
                        "there is no place for the data: neither XDG_DATA_HOME nor HOME is set"
                    ))
                    .hint("say where with --data-dir or CALLSHEET_DATA_DIR")
                })?,
        };
        Ok(Self { global, config_file, data_dir })
    }

    /// Returns where the configuration comes from.
    pub(crate) fn source(&self, listen: Option<SocketAddr>) -> ConfigSource {
        // Names and values that are no text belong to nobody here.
        let variables = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("CALLSHEET_"))
            .collect();
        ConfigSource { path: self.config_file.clone(), overrides: Overrides { variables, listen } }
    }

    /// Reads and checks the configuration.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let source = self.source(None);
        Config::load(source.path.as_deref(), &source.overrides).map_err(hinted)
    }

    /// Returns what makes registry files: it needs sources and a cache, and nothing that is kept.
    pub(crate) fn publisher(&self) -> Result<Publisher, Failure> {
        let config = self.config()?;
        let settings = HttpSettings { is_offline: self.global.offline, ..HttpSettings::default() };
        Ok(Publisher {
            http: Http::new(settings),
            cache: Cache::open(&cache_dir(&config, &self.data_dir)),
            settings: files_settings(&config),
        })
    }

    /// Returns the cache of files on this machine.
    pub(crate) fn cache(&self) -> Result<Cache, Failure> {
        // Another machine's daemon has a configuration of its own; this one's may not even be.
        let config = match self.config() {
            Err(_) if self.global.server.is_some() => Config::default(),
            config => config?,
        };
        Ok(Cache::open(&cache_dir(&config, &self.data_dir)))
    }

    /// Reads and checks the configuration, and that its secrets are there, as the daemon does.
    pub(crate) fn config_with_secrets(
        &self,
        listen: Option<SocketAddr>,
    ) -> Result<Config, Failure> {
        self.source(listen).load().map_err(hinted)
    }
}

fn hinted(error: ConfigError) -> Failure {
    let hint = match error {
        ConfigError::Secret { .. } => {
            "secrets are read from the environment and the files of the daemon"
        }
        _ => "docs/configuration.md lists every key; `callsheet config show` prints the defaults",
    };
    Failure::new(error).hint(hint)
}
