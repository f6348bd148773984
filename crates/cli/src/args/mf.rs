//! MODFLOW's commands: what the binary answers to when it is called `mf`.

use super::{
    Global,
    files::{IndexFiles, SyncFiles, Which},
};
use clap::{Args as ClapArgs, Parser, Subcommand};
use std::path::PathBuf;

/// MODFLOW's models, programs and definition files
#[derive(Parser)]
#[command(name = "mf", version, max_term_width = 100)]
pub(crate) struct MfArgs {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(flatten)]
    pub(crate) mf: Mf,
}

#[derive(ClapArgs)]
pub(crate) struct Mf {
    #[command(subcommand)]
    pub(crate) command: Option<MfCommand>,
}

#[derive(Subcommand)]
pub(crate) enum MfCommand {
    /// MODFLOW's models
    Models {
        #[command(subcommand)]
        command: Option<MfVerb>,
    },
    /// MODFLOW's programs
    Programs {
        #[command(subcommand)]
        command: Option<MfVerb>,
    },
    /// The definition files of MODFLOW 6
    Dfns {
        #[command(subcommand)]
        command: Option<MfVerb>,
    },
    /// Synchronizes all registries
    Sync {
        /// Models, programs and definition files, which is the default
        #[arg(long)]
        all: bool,
        /// Fetches what is cached already
        #[arg(long, short)]
        force: bool,
    },
    /// Forgets all registries, and what is cached of them
    Clean {
        /// Models, programs and definition files, which is the default
        #[arg(long)]
        all: bool,
        /// Does not ask
        #[arg(long, short)]
        force: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum MfVerb {
    /// Synchronizes registries
    Sync(MfSync),
    /// Shows which registries are synchronized
    Info,
    /// Lists what is available
    List(MfList),
    /// Copies a model to a workspace
    #[command(visible_alias = "cp")]
    Copy(MfCopy),
    /// Forgets registries, and what is cached of them
    #[command(visible_alias = "clean")]
    Clear(MfClear),
    /// Makes a registry
    Index(Box<IndexFiles>),
}

#[derive(ClapArgs)]
pub(crate) struct MfSync {
    /// The source: its key or its name
    #[arg(long, short)]
    pub(crate) source: Option<String>,
    /// The ref
    #[arg(long = "ref", short, value_name = "REF")]
    pub(crate) reference: Option<callsheet_types::GitRef>,
    /// Another repository, such as a fork
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) repo: Option<callsheet_types::Repository>,
    /// Fetches what is cached already
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Says more
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

impl MfSync {
    pub(crate) fn asked(&self) -> SyncFiles {
        let which = Which {
            source: self.source.clone(),
            reference: self.reference.clone(),
            ..Which::default()
        };
        SyncFiles { which, repo: self.repo.clone(), force: self.force, ..SyncFiles::default() }
    }
}

#[derive(ClapArgs)]
pub(crate) struct MfList {
    /// Only of this source: its key or its name
    #[arg(long, short)]
    pub(crate) source: Option<String>,
    /// Only at this ref
    #[arg(long = "ref", short, value_name = "REF")]
    pub(crate) reference: Option<callsheet_types::GitRef>,
    /// Names all models
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(ClapArgs)]
pub(crate) struct MfCopy {
    /// The model, such as mf6/test/test001a_Tharmonic or mf6/test@develop/test001a_Tharmonic
    pub(crate) model: String,
    /// The folder to copy to
    pub(crate) workspace: PathBuf,
    /// Says more
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(ClapArgs)]
pub(crate) struct MfClear {
    /// Only of this source: its key or its name
    #[arg(long, short)]
    pub(crate) source: Option<String>,
    /// Only at this ref
    #[arg(long = "ref", short, value_name = "REF")]
    pub(crate) reference: Option<callsheet_types::GitRef>,
    /// Does not ask
    #[arg(long, short)]
    pub(crate) force: bool,
}
