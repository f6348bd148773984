//! `callsheet config`

use super::{in_runtime, print, print_json};
use crate::{
    api::{Api, Needs},
    args::Config as Command,
    context::Context,
    failure::Failure,
};
use callsheet_server::Reloaded;
use http::Method;

pub(super) fn run(context: &Context, command: &Command) -> Result<(), Failure> {
    match *command {
        Command::Check => check(context),
        Command::Show => show(context),
        Command::Reload { dry_run } => in_runtime(reload(context, dry_run)),
    }
}

fn check(context: &Context) -> Result<(), Failure> {
    let config = context.config_with_secrets(None)?;
    let origin = origin(context);
    if context.global.json {
        return print_json(&serde_json::json!({ "ok": true, "file": origin }));
    }
    if context.global.quiet {
        return Ok(());
    }
    let count = config.backends.len();
    let plural = if count == 1 { "" } else { "s" };
    print(&format!("ok: {origin}, {count} backend{plural}\n"))
}

fn show(context: &Context) -> Result<(), Failure> {
    let config = context.config()?;
    if context.global.json {
        return print_json(&config);
    }
    let text = toml::to_string(&config)?;
    print(&format!("# {}, with environment and defaults\n{text}", origin(context)))
}

fn origin(context: &Context) -> String {
    let file = context.config_file.as_ref();
    file.map_or_else(|| "no config file".to_owned(), |file| file.display().to_string())
}

async fn reload(context: &Context, dry_run: bool) -> Result<(), Failure> {
    let api = Api::find(context, Needs::Fleet).await?;
    let path = format!("/api/v1/config/reload?dry_run={dry_run}");
    let reloaded: Reloaded = api.send(Method::POST, &path, None::<&()>).await?;
    if context.global.json {
        return print_json(&reloaded);
    }
    if context.global.quiet {
        return Ok(());
    }
    let mut text = if dry_run { "would be reloaded\n" } else { "reloaded\n" }.to_owned();
    for (what, names) in [
        ("added", &reloaded.added),
        ("changed", &reloaded.changed),
        ("removed", &reloaded.removed),
        ("needs a restart", &reloaded.needs_restart),
    ] {
        if !names.is_empty() {
            text.push_str(&format!("{what}: {}\n", names.join(", ")));
        }
    }
    print(&text)
}
