//! `callsheet preset`

use super::{print, print_json};
use crate::{
    api::{Api, Needs},
    args::{Preset as Command, SetPreset},
    context::Context,
    failure::Failure,
    table::Table,
};
use anyhow::anyhow;
use callsheet_server::models::{PresetChange, PresetPage, PresetView};
use callsheet_types::Preset;
use callsheet_types::encoded;
use http::Method;
use serde_json::{Map, Number, Value};

pub(super) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let api = Api::find(context, Needs::Store).await?;
    match command {
        Command::List => list(context, &api).await,
        Command::Set(set) => {
            let preset = Preset { model: set.model.clone(), parameters: parameters(&set)? };
            let path = path(&set.tier, &set.slot, set.dry_run);
            let change: PresetChange = api.send(Method::PUT, &path, Some(&preset)).await?;
            said(context, &change, set.dry_run, "set")
        }
        Command::Remove { tier, slot, dry_run } => {
            let path = path(&tier, &slot, dry_run);
            let change: PresetChange = api.send(Method::DELETE, &path, None::<&()>).await?;
            said(context, &change, dry_run, "removed")
        }
    }
}

fn path(tier: &str, slot: &str, dry_run: bool) -> String {
    format!("/api/v1/presets/{}/{}?dry_run={dry_run}", encoded(tier), encoded(slot))
}

fn parameters(set: &SetPreset) -> Result<Map<String, Value>, Failure> {
    let mut parameters = Map::new();
    for (name, value) in [
        ("temperature", set.temperature),
        ("top_p", set.top_p),
        ("frequency_penalty", set.frequency_penalty),
        ("presence_penalty", set.presence_penalty),
    ] {
        if let Some(value) = value {
            // `NaN` and `inf` can be written, and mean nothing to a model.
            let number = Number::from_f64(value).ok_or_else(|| {
                Failure::new(anyhow!("{name} cannot be {value}: expected a number")).exit_code(2)
            })?;
            parameters.insert(name.to_owned(), Value::Number(number));
        }
    }
    for (name, value) in [("top_k", set.top_k), ("max_tokens", set.max_tokens), ("seed", set.seed)]
    {
        if let Some(value) = value {
            parameters.insert(name.to_owned(), Value::from(value));
        }
    }
    Ok(parameters)
}

async fn list(context: &Context, api: &Api) -> Result<(), Failure> {
    let mut presets: Vec<PresetView> = Vec::new();
    let mut path = "/api/v1/presets?limit=10000".to_owned();
    loop {
        let page: PresetPage = api.send(Method::GET, &path, None::<&()>).await?;
        presets.extend(page.presets);
        let Some(next) = page.next else { break };
        path = format!("/api/v1/presets?limit=10000&cursor={}", encoded(&next));
    }
    if context.global.json {
        return print_json(&presets);
    }
    let mut table = Table::new(&["PRESET", "MODEL", "PARAMETERS", "SOURCE", "WARNINGS"]);
    for view in &presets {
        table.row([
            format!("callsheet:{}", view.name),
            view.preset.model.clone(),
            shown(&view.preset.parameters),
            view.source.to_string(),
            view.warnings.join("; "),
        ]);
    }
    print(&table.to_string())
}

fn shown(parameters: &Map<String, Value>) -> String {
    let shown = parameters.iter().map(|(name, value)| format!("{name}={value}"));
    shown.collect::<Vec<_>>().join(" ")
}

fn said(
    context: &Context,
    change: &PresetChange,
    dry_run: bool,
    done: &str,
) -> Result<(), Failure> {
    if context.global.json {
        return print_json(change);
    }
    if context.global.quiet {
        return Ok(());
    }
    let view = &change.preset;
    let name = format!("callsheet:{}", view.name);
    let what = format!("{} {}", view.preset.model, shown(&view.preset.parameters));
    let what = what.trim_end();
    let mut text = match (dry_run, change.changed) {
        (true, _) => format!("{name} would be {done}: {what}; nothing was changed\n"),
        (false, true) => format!("{name} {done}: {what}\n"),
        (false, false) => format!("{name} {done}: {what}; it was so already\n"),
    };
    for warning in &view.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    print(&text)
}
