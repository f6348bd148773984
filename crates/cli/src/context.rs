//! What every command starts from: paths, the configuration, and where the daemon is.

use crate::{args::Global, failure::Failure};
use anyhow::anyhow;
use callsheet_server::{
    Config, ConfigError,
    config::{ConfigSource, Overrides},
};
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

/// Returns a base directory as the XDG specification has it: a relative path counts as unset.
fn base_dir(variable: &str, below_home: &str) -> Option<PathBuf> {
    let set = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| {
        let home = env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute())?;
        Some(home.join(below_home))
    })
}
