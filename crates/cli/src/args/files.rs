//! `callsheet files` and `callsheet source`.

use callsheet_types::{GitRef, Repository};
use clap::{Args as ClapArgs, Subcommand, builder::PossibleValuesParser};
use std::path::PathBuf;

fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(["models", "programs", "dfns"])
}

/// What a command is about.
#[derive(ClapArgs, Clone, Default)]
pub(crate) struct Of {
    /// What is published: models, programs or dfns
    #[arg(long, value_parser = kinds())]
    pub(crate) publishes: Option<String>,
}

/// Which of what is synced.
#[derive(ClapArgs, Clone, Default)]
pub(crate) struct Which {
    #[command(flatten)]
    pub(crate) of: Of,
    /// Only of this source: its key or its name
    #[arg(long, short)]
    pub(crate) source: Option<String>,
    /// Only at this ref
    #[arg(long = "ref", short, value_name = "REF")]
    pub(crate) reference: Option<GitRef>,
}

#[derive(Subcommand)]
pub(crate) enum Files {
    /// Makes known what sources publish at their refs now; of one source its models, unless
    /// --publishes says else
    Sync(SyncFiles),
    /// Lists what is synced
    List(ListFiles),
    /// Shows sources, what of them is synced, and how much is cached
    Info(Of),
    /// Shows the files of a model
    Show(ShowFiles),
    /// Copies the files of models into a folder, verified
    #[command(visible_alias = "cp")]
    Copy(CopyFiles),
    /// Has the files of models in the cache, for later
    Fetch(FetchFiles),
    /// Pins models to their commits and digests, in a lock file
    Lock(LockFiles),
    /// Looks into every cached file, and removes what is damaged
    Verify(Upkeep),
    /// Removes cached files that nothing synced names
    Gc(Upkeep),
    /// Forgets what is synced, and the files that nothing else names; of one source its models,
    /// unless --publishes says else
    Clear(ClearFiles),
    /// Says which models were copied, how often, and when last; kept on this machine only
    Usage,
    /// Makes the registry file of a repository, a release or a folder
    Index(Box<IndexFiles>),
}

#[derive(ClapArgs, Clone, Default)]
pub(crate) struct SyncFiles {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Another repository in place of the source's own, such as a fork
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) repo: Option<Repository>,
    /// Fetches what is there already
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Takes a registry that has lost most of its models
    #[arg(long)]
    pub(crate) allow_shrink: bool,
    /// Says what would change and changes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(ClapArgs, Clone, Default)]
pub(crate) struct ListFiles {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Names all models
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(ClapArgs)]
pub(crate) struct ShowFiles {
    #[command(flatten)]
    pub(crate) of: Of,
    /// SOURCE@REF/MODEL, such as mf6/test@develop/test001a_Tharmonic
    pub(crate) address: String,
}

#[derive(ClapArgs)]
pub(crate) struct CopyFiles {
    #[command(flatten)]
    pub(crate) of: Of,
    /// Addresses, such as mf6/test@develop/test001a_Tharmonic, and at the end the folder; several
    /// models each get a folder of their own in it
    #[arg(required = true, num_args = 1.., value_name = "ADDRESS... FOLDER")]
    pub(crate) places: Vec<String>,
    /// Copies what this lock file pins, and nothing else [default file: callsheet.lock]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "callsheet.lock")]
    pub(crate) locked: Option<PathBuf>,
    /// Replaces files of other content
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Says what would be copied; copies, fetches and syncs nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(ClapArgs)]
pub(crate) struct FetchFiles {
    #[command(flatten)]
    pub(crate) of: Of,
    /// Addresses, such as mf6/test@develop/test001a_Tharmonic or mf6/test@develop/*
    #[arg(required = true, value_name = "ADDRESS")]
    pub(crate) addresses: Vec<String>,
}

#[derive(ClapArgs)]
pub(crate) struct LockFiles {
    #[command(flatten)]
    pub(crate) of: Of,
    /// Addresses, such as mf6/test@develop/test001a_Tharmonic
    #[arg(required = true, value_name = "ADDRESS")]
    pub(crate) addresses: Vec<String>,
    /// The lock file
    #[arg(long, short, value_name = "FILE", default_value = "callsheet.lock")]
    pub(crate) output: PathBuf,
    /// Writes nothing, and exits 4 if the lock file would change
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(ClapArgs)]
pub(crate) struct Upkeep {
    /// Says what would be removed and removes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(ClapArgs, Clone, Default)]
pub(crate) struct ClearFiles {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Does not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Says what would be forgotten and forgets nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(ClapArgs, Clone)]
pub(crate) struct IndexFiles {
    /// The repository
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) repo: Repository,
    /// Branch, tag or commit; of a release, its tag
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) reference: GitRef,
    /// What stands before each model's name, such as mf6/test
    #[arg(long)]
    pub(crate) name: String,
    /// A folder in the repository, or one on this machine, which goes first [default: the root]
    #[arg(long, short)]
    pub(crate) path: Option<String>,
    /// The release's archive that holds the models; without it, they are in the repository
    #[arg(long, value_name = "FILE")]
    pub(crate) asset_file: Option<String>,
    /// The file that makes a folder a model; may hold * and ?
    #[arg(long, short, default_value = "mfsim.nam")]
    pub(crate) namefile: String,
    /// The folder to write models.toml in
    #[arg(long, short, default_value = ".")]
    pub(crate) output: PathBuf,
    /// Writes nothing, and exits 4 if the registry file, or what lies beside it, is not what it
    /// should be
    #[arg(long)]
    pub(crate) check: bool,
    /// Writes the difference to the registry file that is there beside it, and says in the new one
    /// that it can be asked for: who has the earlier one then fetches only that
    #[arg(long)]
    pub(crate) difference: bool,
    /// Writes a compressed copy beside it; one that is out of date is removed in any case
    #[arg(long, value_parser = ["gz", "zst"])]
    pub(crate) compress: Option<String>,
    /// Says more
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Subcommand)]
pub(crate) enum Source {
    /// Lists all sources
    List(Of),
    /// Shows a source, and what of it is synced
    Show {
        #[command(flatten)]
        of: Of,
        /// Its key or its name
        source: String,
    },
    /// Adds a source, or replaces one that is shipped
    Add(Box<AddSource>),
    /// Removes a source that was added, or switches off one that is shipped
    Remove {
        #[command(flatten)]
        of: Of,
        /// Its key or its name
        source: String,
        /// Says what would be done and does nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(ClapArgs)]
pub(crate) struct AddSource {
    #[command(flatten)]
    pub(crate) of: Of,
    /// Its key
    pub(crate) key: String,
    /// How it is reached
    #[arg(long = "type", value_parser = ["github", "http", "filesystem", "zip"])]
    pub(crate) kind: Option<String>,
    /// The repository on GitHub
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) repo: Option<Repository>,
    /// The refs that are synced where none is named; may be repeated, or separated by commas
    #[arg(long = "ref", short, value_name = "REF", value_delimiter = ',')]
    pub(crate) refs: Vec<GitRef>,
    /// What stands before its models' names [default: the key]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The folder of the registry file [default: .registry in a repository]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) registry_path: Option<String>,
    /// The folder that the registry's keys start from
    #[arg(long, value_name = "FOLDER")]
    pub(crate) path: Option<String>,
    /// The release's archive that holds the models
    #[arg(long, value_name = "FILE")]
    pub(crate) asset: Option<String>,
    /// The address of an http or zip source; {ref} in it stands for the ref
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The folder of a filesystem source, or the file of a zip one
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
    /// Another GitHub's address, for release assets
    #[arg(long, value_name = "URL")]
    pub(crate) web: Option<String>,
    /// Another GitHub's address, for files
    #[arg(long, value_name = "URL")]
    pub(crate) raw: Option<String>,
    /// Another GitHub's address, for its API
    #[arg(long, value_name = "URL")]
    pub(crate) api: Option<String>,
    /// The environment variable that holds its token, where this command or the daemon runs
    #[arg(long, value_name = "VARIABLE", conflicts_with = "token_file")]
    pub(crate) token_env: Option<String>,
    /// The file that holds its token, likewise
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Says what would be done and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
