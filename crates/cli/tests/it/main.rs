//! The real binary, started from a real config file, before real sockets.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, which the lint does not see")]

mod aborts;
mod api;
mod bad_backends;
mod bad_input;
mod cards_in_gateway;
mod changes;
mod chaos;
mod commands;
mod config_backends;
mod config_files;
mod config_keys;
mod config_log;
mod config_mistakes;
mod config_models;
mod config_routing;
mod config_server;
mod config_store;
mod drain;
mod ejection;
mod failover;
mod files_address;
mod files_address_refs;
mod files_auto_sync;
mod files_blobs;
mod files_cache;
mod files_crash;
mod files_daemon;
mod files_discovery;
mod files_discovery_faults;
mod files_fetch;
mod files_first;
mod files_hostile;
mod files_hostile_hosts;
mod files_index;
mod files_kinds;
mod files_lock;
mod files_mf;
mod files_mf_siblings;
mod files_odd_sources;
mod files_of_card;
mod files_offline;
mod files_proxy;
mod files_registry;
mod files_release;
mod files_review;
mod files_review_cli;
mod files_round_trip;
mod files_scene;
mod files_sources;
mod files_sync;
mod files_tokens;
mod files_upkeep;
mod files_workspace;
mod first_call;
mod headers;
mod health;
mod limits;
mod models;
mod models_edit;
mod models_export;
mod models_import;
mod models_list;
mod models_show;
mod names;
mod observe;
mod openapi;
mod presets;
mod queue;
mod refresh;
mod refresh_scene;
mod registry_file;
mod reload;
mod replicas;
mod safety;
mod scene;
mod stopping;
mod stores;
mod stores_crash;
mod streams;
mod telemetry;
mod without_daemon;

use callsheet_testkit::{TestServer, TestServerBuilder};
use std::path::Path;

/// A daemon with this config, which may begin with further keys of `[server]`.
fn server(config: &str) -> TestServerBuilder {
    let config = format!("[server]\nlisten = \"127.0.0.1:0\"\n{config}");
    TestServer::builder(Path::new(env!("CARGO_BIN_EXE_callsheet"))).config(config)
}
