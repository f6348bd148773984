//! `callsheet model`

mod edit;
mod refresh;
mod show;
mod transfer;

use super::{eprint, print, print_json};
use crate::{
    api::{Api, Needs},
    args::{ListModels, Model as Command},
    context::Context,
    failure::Failure,
    table::Table,
};
use callsheet_models::{Amount, Charge, Facts, Unit};
use callsheet_server::models::ModelRow;
use callsheet_types::encoded;
use http::Method;
use serde::Deserialize;
use serde_json::Value;

pub(super) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Refresh(refresh) => refresh::run(context, &refresh).await,
        Command::Import(import) => transfer::import(context, &import).await,
        Command::Export(export) => transfer::export(context, &export).await,
        other => {
            let api = Api::find(context, Needs::Store).await?;
            match other {
                Command::List(list) => self::list(context, &api, &list).await,
                Command::Show { model } => show::show(context, &api, &model).await,
                Command::Why { model, field } => {
                    show::why(context, &api, &model, field.as_deref()).await
                }
                Command::Conflicts { provider, field } => {
                    show::conflicts(context, &api, provider.as_deref(), field.as_deref()).await
                }
                Command::Diff { a, b } => show::diff(context, &api, &a, &b).await,
                Command::History { model } => show::history(context, &api, &model).await,
                Command::Add(change) => edit::add(context, &api, &change).await,
                Command::Set(set) => edit::set(context, &api, &set).await,
                Command::Unset(unset) => edit::unset(context, &api, &unset).await,
                Command::Remove(change) => edit::remove(context, &api, &change).await,
                Command::Refresh(_) | Command::Import(_) | Command::Export(_) => Ok(()),
            }
        }
    }
}

/// Asks for a path under `/api/v1/models`.
async fn get<T: serde::de::DeserializeOwned>(api: &Api, path: &str) -> Result<T, Failure> {
    api.send(Method::GET, path, None::<&()>).await
}

#[derive(Deserialize)]
struct Page<T> {
    models: Vec<T>,
    next: Option<String>,
    total: usize,
}

/// What one answer brings; a list of any length is read in such pages.
const PAGE: usize = 10_000;

async fn list(context: &Context, api: &Api, asked: &ListModels) -> Result<(), Failure> {
    let view = if context.global.json { "card" } else { "row" };
    let mut path = format!("/api/v1/models?view={view}&sort={}", encoded(&asked.sort));
    let mut ask = |key: &str, value: &str| {
        if !value.is_empty() {
            path.push_str(&format!("&{key}={}", encoded(value)));
        }
    };
    ask("provider", &asked.provider.join(","));
    ask("capability", &asked.capability.join(","));
    ask("modality", &asked.modality.join(","));
    ask("status", &asked.status.join(","));
    ask("search", asked.search.as_deref().unwrap_or_default());
    ask("max_price", asked.max_price.as_deref().unwrap_or_default());
    ask("updated_since", asked.updated_since.as_deref().unwrap_or_default());
    if let Some(tokens) = asked.min_context {
        ask("min_context", &tokens.to_string());
    }
    if context.global.json {
        let models: Vec<Box<serde_json::value::RawValue>> = pages(api, &path, asked.limit).await?.0;
        return print_json(&models);
    }
    let (rows, total): (Vec<ModelRow>, usize) = pages(api, &path, asked.limit).await?;
    let mut table = Table::new(&[
        "MODEL",
        "STATUS",
        "CONTEXT",
        "OUTPUT",
        "PROMPT $/M",
        "COMPLETION $/M",
        "CAPABILITIES",
    ]);
    let count = rows.len();
    for row in rows {
        table.row([
            row.key,
            row.status,
            or_unknown(row.context_window.map(tokens)),
            or_unknown(row.max_output_tokens.map(tokens)),
            or_unknown(row.prompt_price),
            or_unknown(row.completion_price),
            row.capabilities.join(" "),
        ]);
    }
    if count == 0 {
        if !context.global.quiet {
            eprint(if is_filtered(asked) {
                "no model is like that\n"
            } else {
                "no models yet: `callsheet model import` takes in a catalog, `callsheet model refresh` asks providers\n"
            });
        }
        return Ok(());
    }
    print(&table.to_string())?;
    if count < total && !context.global.quiet {
        eprint(&format!("{count} of {total} models\n"));
    }
    Ok(())
}

fn is_filtered(asked: &ListModels) -> bool {
    let lists = [&asked.provider, &asked.capability, &asked.modality, &asked.status];
    lists.iter().any(|list| !list.is_empty())
        || asked.min_context.is_some()
        || asked.max_price.is_some()
        || asked.search.is_some()
        || asked.updated_since.is_some()
}

/// Reads pages until there are as many as are wanted.
async fn pages<T: serde::de::DeserializeOwned>(
    api: &Api,
    path: &str,
    limit: Option<usize>,
) -> Result<(Vec<T>, usize), Failure> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let wanted = PAGE.min(limit - all.len()).max(1);
        let mut path = format!("{path}&limit={wanted}");
        if let Some(cursor) = &cursor {
            path.push_str(&format!("&cursor={}", encoded(cursor)));
        }
        let page: Page<T> = get(api, &path).await?;
        all.extend(page.models);
        all.truncate(limit);
        cursor = page.next;
        if cursor.is_none() || all.len() >= limit {
            return Ok((all, page.total));
        }
    }
}

fn or_unknown(value: Option<String>) -> String {
    value.unwrap_or_else(|| "unknown".to_owned())
}

/// Writes a number of tokens with thousands apart.
fn tokens(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes any value of a field for people.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Writes one line for each price.
fn prices(facts: &Facts) -> Vec<String> {
    let price = |price: &callsheet_models::Price| {
        let amount = match price.amount {
            Amount::Usd(usd) if usd.is_zero() => "free".to_owned(),
            Amount::Usd(usd) => format!("${}", usd.normalize()),
            Amount::Dynamic => "dynamic".to_owned(),
        };
        let per = match &price.per {
            Unit::MillionTokens => "million tokens",
            other => other.as_str(),
        };
        let mut text = match price.amount {
            Amount::Dynamic => format!("{} {amount}", what(&price.what)),
            Amount::Usd(_) => format!("{} {amount} / {per}", what(&price.what)),
        };
        if let Some(above) = price.above_context {
            text.push_str(&format!(", above {} tokens of context", tokens(above)));
        }
        if price.batch {
            text.push_str(", in a batch");
        }
        if let Some(from) = &price.from {
            text.push_str(&format!(", from {from}"));
        }
        if let Some(until) = &price.until {
            text.push_str(&format!(", until {until}"));
        }
        text
    };
    facts.prices.iter().flatten().map(price).collect()
}

fn what(charge: &Charge) -> String {
    charge.as_str().replace('_', " ")
}
