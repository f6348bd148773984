//! The command line.

#![allow(clippy::doc_markdown, reason = "these texts are printed as they stand")]

use callsheet_types::{BackendName, BackendSpec, BackendType, BackendUrl, backend::DeclaredModel};
use clap::{Args as ClapArgs, Parser, Subcommand, builder::PossibleValuesParser};
use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf};

/// One registry for everything an AI stack calls
#[derive(Parser)]
#[command(
    name = "callsheet",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(ClapArgs, Clone)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The config file [default: $XDG_CONFIG_HOME/callsheet/callsheet.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", env = "CALLSHEET_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where the data is kept [default: $XDG_DATA_HOME/callsheet]
    #[arg(long, global = true, value_name = "DIR", env = "CALLSHEET_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The daemon to talk to [default: the one that runs on the data directory, if one does]
    #[arg(long, global = true, value_name = "URL", env = "CALLSHEET_SERVER")]
    pub(crate) server: Option<BackendUrl>,
    /// Opens no connection, neither to a daemon nor to a backend
    #[arg(long, global = true, env = "CALLSHEET_OFFLINE", value_parser = clap::builder::FalseyValueParser::new(), num_args = 0)]
    pub(crate) offline: bool,
    /// Prints JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Prints nothing that is not asked for
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs the daemon: the gateway and the API
    Serve(Serve),
    /// The servers that offer models
    #[command(subcommand)]
    Backend(Backend),
    /// Says where a request for a model would go, and why nowhere else
    Route(Route),
    /// The configuration
    #[command(subcommand)]
    Config(Config),
    /// Prints completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(ClapArgs)]
pub(crate) struct Serve {
    /// The address to listen on; port 0 takes a free one [default: 127.0.0.1:7117]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Adds two built-in backends that answer at once, to try things with
    #[arg(long)]
    pub(crate) demo: bool,
}

#[derive(Subcommand)]
pub(crate) enum Backend {
    /// Lists all backends
    List,
    /// Shows all that is known of one backend
    Show {
        /// Its name
        name: String,
    },
    /// Adds a backend; it is in service at once and survives a restart
    Add(Box<Add>),
    /// Removes a backend that was added; what it is serving runs on
    Remove(Change),
    /// Lets a backend finish what it is serving and gives it nothing new
    Drain(Change),
    /// Takes a draining backend back
    Resume(Change),
}

#[derive(ClapArgs)]
pub(crate) struct Change {
    /// The backend's name
    pub(crate) name: String,
    /// Says what would be done and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(ClapArgs)]
pub(crate) struct Add {
    /// Where it answers, such as http://10.0.0.5:8000
    url: BackendUrl,
    /// Its name
    #[arg(long)]
    name: BackendName,
    /// What kind of server it is
    #[arg(long = "type", default_value = "generic", value_parser = backend_types())]
    kind: String,
    /// The daemon's environment variable that holds its key
    #[arg(long, value_name = "VARIABLE", conflicts_with = "api_key_file")]
    api_key_env: Option<String>,
    /// The file, on the daemon's machine, that holds its key
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// Under the priority strategy, lower is preferred
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// Its share under the weighted strategy
    #[arg(long, default_value_t = 1)]
    weight: u32,
    /// Where it stands
    #[arg(long)]
    zone: Option<String>,
    /// Its models, instead of those that it lists; may be repeated, or separated by commas
    #[arg(long = "model", value_name = "ID", value_delimiter = ',')]
    models: Vec<String>,
    /// The most requests that it is given at once
    #[arg(long, value_name = "N")]
    max_concurrent: Option<NonZeroU32>,
    /// Says what would be done and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

fn backend_types() -> PossibleValuesParser {
    PossibleValuesParser::new(BackendType::ALL.map(BackendType::as_str))
}

impl Add {
    /// Returns what the API is told.
    pub(crate) fn spec(&self) -> BackendSpec {
        let models = self.models.iter().cloned().map(DeclaredModel::Id).collect();
        BackendSpec {
            // The parser lets known types through only.
            backend_type: self.kind.parse().unwrap_or_default(),
            api_key_env: self.api_key_env.clone(),
            api_key_file: self.api_key_file.clone(),
            priority: self.priority,
            weight: self.weight,
            zone: self.zone.clone(),
            models: (!self.models.is_empty()).then_some(models),
            max_concurrent: self.max_concurrent,
            ..BackendSpec::new(self.name.clone(), self.url.clone())
        }
    }
}

#[derive(ClapArgs)]
pub(crate) struct Route {
    /// A model's name, as a request would have it
    pub(crate) model: String,
    /// What the request needs, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = ["tools", "vision", "json"])]
    pub(crate) needs: Vec<String>,
    /// The context that it needs, in tokens
    #[arg(long, value_name = "TOKENS")]
    pub(crate) min_context: Option<u32>,
}

#[derive(Subcommand)]
pub(crate) enum Config {
    /// Says whether the configuration can be used
    Check,
    /// Shows the configuration in force: the file, the environment and the defaults
    Show,
    /// Makes the daemon read its configuration anew: it takes all of it, or none
    Reload {
        /// Says what would change and changes nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
