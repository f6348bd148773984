//! `callsheet config`

use super::{print, print_json};
use crate::{args::Config as Command, context::Context, failure::Failure};

pub(super) fn run(context: &Context, command: &Command) -> Result<(), Failure> {
    let config = match command {
        Command::Check => context.config_with_secrets(None)?,
        Command::Show => context.config(None)?,
    };
    let origin = match &context.config_file {
        Some(file) => file.display().to_string(),
        None => "no config file".to_owned(),
    };
    match command {
        Command::Check if context.global.json => {
            print_json(&serde_json::json!({ "ok": true, "file": origin }))
        }
        Command::Check if context.global.quiet => Ok(()),
        Command::Check => {
            let count = config.backends.len();
            let plural = if count == 1 { "" } else { "s" };
            print(&format!("ok: {origin}, {count} backend{plural}\n"))
        }
        Command::Show if context.global.json => print_json(&config),
        Command::Show => print(&format!(
            "# {origin}, with environment and defaults\n{}",
            toml::to_string(&config)?
        )),
    }
}
