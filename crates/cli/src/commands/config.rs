//! `callsheet config`

use super::{print, print_json};
use crate::{args::Config as Command, context::Context, failure::Failure};

pub(super) fn run(context: &Context, command: &Command) -> Result<(), Failure> {
    let config = context.config(None)?;
    let origin = match &context.config_file {
        Some(file) => file.display().to_string(),
        None => "no config file".to_owned(),
    };
    match command {
        Command::Check if context.global.json => {
            print_json(&serde_json::json!({ "ok": true, "file": origin }))
        }
        Command::Check if context.global.quiet => Ok(()),
        Command::Check => print(&format!("ok: {origin}, {} backends\n", config.backends.len())),
        Command::Show if context.global.json => print_json(&config),
        Command::Show => print(&format!(
            "# {origin}, with environment and defaults\n{}",
            toml::to_string(&config)?
        )),
    }
}
