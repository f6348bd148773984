//! Composes the daemon: configuration, the fleet and its prober, the gateway, the admin API,
//! guards, metrics, and the sockets in front of them.
//!
//! What can be asked for is in [`App`], which knows no socket, so that the command line can use the
//! same router in its own process. The crate must never print, and never decide what belongs to the
//! fleet or the gateway. Start with [`App`], then `front.rs`, where a request comes in.

mod api;
mod app;
mod backends;
pub mod catalog;
mod chores;
pub mod config;
mod connection;
mod cors;
mod daemon;
mod data_dir;
mod demo;
mod dirs;
mod files;
mod follow;
mod front;
mod guard;
mod library;
mod local;
mod metrics;
pub mod models;
mod moved;
mod reload;
mod workers;

pub use api::{
    ApiError, ChangeView, Counted, FeedPage, FilesPage, Resolved, RouteReport, RouteStep,
    SourceRemoved, SourcesPage, UsagePage, moment,
};
pub use app::{App, Fleet, StartError, read_secret};
pub use backends::ChangeError;
pub use config::{Config, ConfigError};
pub use daemon::{Daemon, DaemonError};
pub use data_dir::{DataDir, DataDirError, Running};
pub use dirs::base_dir;
pub use library::{SourceAsked, cache_dir, settings as files_settings};
pub use local::{LocalApi, LocalBody, LocalError};
pub use moved::MoveError;
pub use reload::{ReloadError, Reloaded};
