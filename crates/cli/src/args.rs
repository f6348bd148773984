//! The command line.

#![allow(clippy::doc_markdown, reason = "these texts are printed as they stand")]

mod files;
mod mf;

pub(crate) use files::{
    AddSource, ClearFiles, CopyFiles, FetchFiles, Files, IndexFiles, ListFiles, LockFiles, Of,
    ShowFiles, Source, SyncFiles, Upkeep, Which,
};
pub(crate) use mf::{Mf, MfArgs, MfClear, MfCommand, MfCopy, MfList, MfSync, MfVerb};

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
    /// What is known of models: limits, prices, capabilities, and who says so
    #[command(subcommand)]
    Model(Model),
    /// Models with parameters, by tier and slot: `callsheet:TIER/SLOT` in a request
    #[command(subcommand)]
    Preset(Preset),
    /// Model input files at any git ref: verified, cached, copied, published
    #[command(subcommand)]
    Files(Files),
    /// Where files are published
    #[command(subcommand)]
    Source(Source),
    /// MODFLOW's commands, as the binary has them when it is called mf
    Mf(Mf),
    /// Says where a request for a model would go, and why nowhere else
    Route(Route),
    /// Shows what changed, when, and who had it done
    Changes(Changes),
    /// The database in which everything is kept
    #[command(subcommand)]
    Store(Store),
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
pub(crate) enum Model {
    /// Lists models, one line for each provider:id
    List(ListModels),
    /// Shows all that is known of a model
    Show {
        /// provider:id, an alias, a canonical id, or a provider's own id
        model: String,
    },
    /// Says who says what of a model, and why one is believed
    Why {
        /// provider:id, an alias, a canonical id, or a provider's own id
        model: String,
        /// One field, such as context_window or parameters.temperature
        field: Option<String>,
    },
    /// Lists where sources disagree
    Conflicts {
        /// Only models of this provider
        #[arg(long)]
        provider: Option<String>,
        /// Only this field
        #[arg(long)]
        field: Option<String>,
    },
    /// Shows where two models differ
    Diff {
        /// The one
        a: String,
        /// The other
        b: String,
    },
    /// Shows what became of a model
    History {
        /// provider:id, an alias, a canonical id, or a provider's own id
        model: String,
    },
    /// Makes a model known: fetches it from its provider
    Add(ChangeModel),
    /// Pins a field of a model against all that sources say
    Set(SetModel),
    /// Takes a pin back: the field is again as the sources say
    Unset(UnsetModel),
    /// Takes a model out of every list; no refresh brings it back, `add` does
    Remove(ChangeModel),
    /// Asks providers what their models can do and cost now
    Refresh(RefreshModels),
    /// Takes in a catalog
    Import(ImportModels),
    /// Writes all cards as a catalog
    Export(ExportModels),
}

#[derive(ClapArgs)]
pub(crate) struct ListModels {
    /// Of any of these providers; may be repeated, or separated by commas
    #[arg(long, value_delimiter = ',')]
    pub(crate) provider: Vec<String>,
    /// With all of these capabilities, such as tools or vision
    #[arg(long, value_delimiter = ',')]
    pub(crate) capability: Vec<String>,
    /// With all of these modalities: image, or in:image and out:image for one side
    #[arg(long, value_delimiter = ',')]
    pub(crate) modality: Vec<String>,
    /// With at least this context window, in tokens, such as 128k
    #[arg(long, value_name = "TOKENS", value_parser = tokens)]
    pub(crate) min_context: Option<u64>,
    /// With at most this price, in dollars for a million prompt tokens
    #[arg(long, value_name = "USD", value_parser = dollars)]
    pub(crate) max_price: Option<String>,
    /// In any of these states: active, beta, deprecated, withdrawn, removed, …
    #[arg(long, value_delimiter = ',')]
    pub(crate) status: Vec<String>,
    /// With words that begin like these
    #[arg(long, value_name = "WORDS")]
    pub(crate) search: Option<String>,
    /// By key, name, context, output, price, completion_price, released or updated; with - in front the other way round
    #[arg(long, default_value = "key", allow_hyphen_values = true, value_parser = order)]
    pub(crate) sort: String,
    /// At most so many [default: all]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) limit: Option<usize>,
    /// Changed since a cursor of the feed, a day or a moment
    #[arg(long, value_name = "WHEN")]
    pub(crate) updated_since: Option<String>,
}

/// Reads a number of tokens: `32768`, `128k`, `1M`.
fn tokens(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let count = digits.replace('_', "").parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
    count.ok_or_else(|| "expected a number of tokens, such as 32768, 128k or 1M".to_owned())
}

/// Checks an amount of dollars, which stays a text: a float would change it.
fn dollars(text: &str) -> Result<String, String> {
    match text.parse::<callsheet_models::Amount>() {
        Ok(callsheet_models::Amount::Usd(usd)) => Ok(usd.to_string()),
        _ => Err("expected dollars for a million tokens, from 0 up, such as 0.25".to_owned()),
    }
}

const ORDERS: [&str; 8] =
    ["key", "name", "context", "output", "price", "completion_price", "released", "updated"];

fn order(text: &str) -> Result<String, String> {
    if ORDERS.contains(&text.trim_start_matches('-')) {
        return Ok(text.to_owned());
    }
    Err(format!("expected one of {}, perhaps with - in front", ORDERS.join(", ")))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| "expected a number from 1 up".to_owned())
}

#[derive(ClapArgs)]
pub(crate) struct ChangeModel {
    /// The model: provider:id, or any of its names where there is one only
    pub(crate) model: String,
    /// Says what would be done and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(ClapArgs)]
pub(crate) struct SetModel {
    /// The model: provider:id, or any of its names where there is one only
    pub(crate) model: String,
    /// The fields, such as context_window=128k, prices.prompt=2.5 or capabilities=chat,tools
    #[arg(required = true, value_name = "FIELD=VALUE")]
    pub(crate) fields: Vec<String>,
    /// Who says so [default: $USER]
    #[arg(long)]
    pub(crate) by: Option<String>,
    /// Says what would be done and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(ClapArgs)]
pub(crate) struct UnsetModel {
    /// The model: provider:id, or any of its names where there is one only
    pub(crate) model: String,
    /// The pinned fields
    #[arg(required = true, value_name = "FIELD")]
    pub(crate) fields: Vec<String>,
    /// Says what would be done and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(ClapArgs)]
pub(crate) struct RefreshModels {
    /// The models; all that the providers have where there is none
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Only these providers; may be repeated, or separated by commas
    #[arg(long, value_delimiter = ',')]
    pub(crate) provider: Vec<String>,
    /// Refreshes this registry file in place, instead of the store
    #[arg(long, value_name = "FILE", env = "REGISTRY_PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Says what would change and writes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Writes nothing, and exits 4 if anything would change
    #[arg(long)]
    pub(crate) check: bool,
    /// Takes a list that is empty or has lost more than half of its models
    #[arg(long)]
    pub(crate) allow_shrink: bool,
}

#[derive(ClapArgs)]
pub(crate) struct ImportModels {
    /// A file, a folder, an archive (.tar.gz) or an address; - for standard input
    #[arg(value_name = "FILE|URL")]
    pub(crate) from: String,
    /// What it is: registry, openrouter, models.dev, litellm or callsheet
    #[arg(long)]
    pub(crate) format: String,
    /// What the catalog is called here [default: the format's name; of registry and callsheet the
    /// file's, without its ending]
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// When it was taken, as a day or a moment [default: now]
    #[arg(long, value_name = "WHEN")]
    pub(crate) as_of: Option<String>,
    /// Takes a catalog that is empty or has lost more than half of its entries
    #[arg(long)]
    pub(crate) allow_shrink: bool,
    /// Says what would change and writes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(ClapArgs)]
pub(crate) struct ExportModels {
    /// registry, openrouter, models.dev, litellm or callsheet
    #[arg(long, default_value = "callsheet")]
    pub(crate) format: String,
    /// Only models of this provider
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// The file to write [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum Preset {
    /// Lists all presets
    List,
    /// Sets the model and the parameters for a tier and a slot
    Set(SetPreset),
    /// Removes a preset
    Remove {
        /// The tier, such as budget
        tier: String,
        /// The slot, such as chat
        slot: String,
        /// Says what would be done and does nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(ClapArgs)]
pub(crate) struct SetPreset {
    /// The tier, such as budget
    pub(crate) tier: String,
    /// The slot, such as chat
    pub(crate) slot: String,
    /// The model, by any name that a request may have
    pub(crate) model: String,
    /// Fills `temperature` where a request leaves it open
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) temperature: Option<f64>,
    /// Fills `top_p`
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) top_p: Option<f64>,
    /// Fills `top_k`
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) top_k: Option<i64>,
    /// Fills `max_tokens`
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) max_tokens: Option<i64>,
    /// Fills `frequency_penalty`
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) frequency_penalty: Option<f64>,
    /// Fills `presence_penalty`
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) presence_penalty: Option<f64>,
    /// Fills `seed`
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<i64>,
    /// Says what would be done and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(ClapArgs)]
pub(crate) struct Changes {
    /// After a cursor, or since a day or a moment [default: the beginning; with --watch, now]
    #[arg(long, value_name = "CURSOR|WHEN")]
    pub(crate) since: Option<String>,
    /// Only of this kind: model, canonical, preset, backend, drain, source, file-ref, file-registry
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Goes on, with each change as it comes
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Subcommand)]
pub(crate) enum Store {
    /// Brings the schema up to date
    Migrate,
    /// Says whether everything in the database fits together
    Check {
        /// Makes the lists anew that can be made anew
        #[arg(long)]
        repair: bool,
    },
    /// Copies the database to a new file, while others use it
    Backup {
        /// The new file
        file: PathBuf,
    },
    /// Writes everything as lines of JSON, for another database
    Export {
        /// The file to write [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Reads what `export` wrote, into an empty database
    Import {
        /// The file; - for standard input
        file: PathBuf,
    },
    /// Forgets old changes, and revisions that are no longer in force
    Purge {
        /// Older than this [default: store.keep]
        #[arg(long, value_name = "DURATION")]
        older_than: Option<callsheet_types::HumanDuration>,
        /// Says what would be forgotten and forgets nothing
        #[arg(long)]
        dry_run: bool,
    },
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

    #[test]
    fn tokens_are_counted_as_people_write_them() {
        for (text, count) in
            [("32768", 32768), ("128k", 128_000), ("1M", 1_000_000), ("1_000", 1000)]
        {
            assert_eq!(tokens(text), Ok(count));
        }
        for bad in ["", "k", "-1", "1.5k", "many", "99999999999999999999k"] {
            assert!(tokens(bad).is_err(), "{bad}");
        }
    }
}
