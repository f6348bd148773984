//! Showing one model, or two.

use super::{get, or_unknown, prices, print, print_json, shown, tokens};
use crate::{api::Api, context::Context, failure::Failure, table::Table};
use callsheet_models::{Facts, Parameter, conflicts::Disagreement, diff::FieldDiff, merge::Card};
use callsheet_server::models::{ModelChoice, ModelHistory, ModelView, ModelWhy};
use callsheet_types::encoded;
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) async fn show(context: &Context, api: &Api, name: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/models/{}", encoded(name));
    if context.global.json {
        return print_json(&get::<Value>(api, &path).await?);
    }
    let view: ModelView = get(api, &path).await?;
    let mut text = String::new();
    for card in &view.models {
        text.push_str(&card_text(card));
        text.push('\n');
    }
    if !view.used_by.is_empty() {
        text.push_str(&format!("used by: {}\n", view.used_by.join(", ")));
    }
    if !view.elsewhere.is_empty() {
        text.push_str(&format!("also at: {}\n", view.elsewhere.join(", ")));
    }
    let differing: Vec<_> = view.spread.iter().filter(|spread| spread.min != spread.max).collect();
    if !differing.is_empty() {
        let mut table = Table::new(&["AMONG PROVIDERS", "LEAST", "MOST"]);
        for spread in differing {
            table.row([spread.field.clone(), side(spread.min.as_ref()), side(spread.max.as_ref())]);
        }
        text.push_str(&format!("\n{table}"));
    }
    print(&text)
}

fn card_text(card: &Card) -> String {
    let mut table = Table::new(&[&card.key]);
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            table.row([format!("  {name}"), value]);
        }
    };
    let facts: &Facts = &card.facts;
    let words = |words: &BTreeSet<String>| words.iter().cloned().collect::<Vec<_>>().join(", ");
    let date =
        |date: &Option<callsheet_models::PartialDate>| date.as_ref().map(ToString::to_string);
    fact("name", facts.name.clone());
    fact("canonical", facts.canonical.clone());
    fact("family", facts.family.clone());
    fact("status", Some(card.status.clone()));
    fact("capabilities", Some(words(&facts.capabilities)));
    fact("takes", facts.input_modalities.as_ref().map(words));
    fact("gives", facts.output_modalities.as_ref().map(words));
    fact("context window", Some(or_unknown(facts.context_window.map(tokens))));
    fact("trained for", facts.context_window_trained.map(tokens));
    fact("longest prompt", facts.max_input_tokens.map(tokens));
    fact("longest answer", Some(or_unknown(facts.max_output_tokens.map(tokens))));
    fact("dimensions", facts.embedding_dimensions.map(|count| count.to_string()));
    fact("weights", facts.parameter_count.map(tokens));
    fact("files", facts.file_set.clone());
    fact("quantization", facts.quantization.clone());
    fact("license", facts.license.clone());
    fact("digest", facts.digest.clone());
    fact("knowledge until", date(&facts.knowledge_cutoff));
    fact("released", date(&facts.released));
    fact("updated", date(&facts.updated));
    fact("deprecated", date(&facts.deprecated));
    fact("retires", date(&facts.retires));
    let prices = prices(facts);
    if prices.is_empty() {
        fact("prices", Some(or_unknown(None)));
    }
    for (i, line) in prices.into_iter().enumerate() {
        fact(if i == 0 { "prices" } else { "" }, Some(line));
    }
    for (i, (name, parameter)) in facts.parameters.iter().enumerate() {
        let line = format!("{name}: {}", parameter_text(parameter));
        fact(if i == 0 { "parameters" } else { "" }, Some(line));
    }
    for (i, source) in card.sources.iter().enumerate() {
        let status = match source.status.as_str() {
            "active" => String::new(),
            other => format!(", {other}"),
        };
        let day = source.observed_at.strftime("%Y-%m-%d");
        fact(if i == 0 { "says" } else { "" }, Some(format!("{} ({day}{status})", source.source)));
    }
    fact("pinned", Some(card.pinned.join(", ")));
    for note in &card.notes {
        fact("note", Some(note.clone()));
    }
    table.to_string()
}

fn parameter_text(parameter: &Parameter) -> String {
    match parameter {
        Parameter::Mutable { min, max, default } => {
            let range = match (min, max) {
                (Some(min), Some(max)) => format!("{min} to {max}"),
                (Some(min), None) => format!("from {min}"),
                (None, Some(max)) => format!("up to {max}"),
                (None, None) => "may be set".to_owned(),
            };
            match default {
                Some(default) => format!("{range}, {} if not set", shown(default)),
                None => range,
            }
        }
        Parameter::ReadOnly { value } => format!("always {}", shown(value)),
        Parameter::Opaque => "there".to_owned(),
        Parameter::Unsupported => "not supported".to_owned(),
    }
}

pub(super) async fn why(
    context: &Context,
    api: &Api,
    name: &str,
    field: Option<&str>,
) -> Result<(), Failure> {
    let mut path = format!("/api/v1/models/{}/why", encoded(name));
    if let Some(field) = field {
        path.push_str(&format!("?field={}", encoded(field)));
    }
    if context.global.json {
        return print_json(&get::<Value>(api, &path).await?);
    }
    let models: Vec<ModelWhy> = get(api, &path).await?;
    let mut text = String::new();
    for model in models {
        let mut table = Table::new(&["FIELD", "SOURCE", "SAYS", "SINCE", "VERDICT"]);
        for field in &model.fields {
            if field.candidates.is_empty() {
                table.row([field.field.clone(), "nobody".to_owned(), "unknown".to_owned()]);
            }
            for (i, candidate) in field.candidates.iter().enumerate() {
                table.row([
                    if i == 0 { field.field.clone() } else { String::new() },
                    match &candidate.by {
                        Some(by) => format!("{} ({by})", candidate.source),
                        None => candidate.source.to_string(),
                    },
                    short(&candidate.value),
                    candidate.observed_at.strftime("%Y-%m-%d").to_string(),
                    candidate.verdict.to_string(),
                ]);
            }
        }
        text.push_str(&format!("{}\n{table}\n", model.key));
    }
    print(text.trim_end_matches('\n'))?;
    print("\n")
}

/// A table is no place for a long list; `--json` has it whole.
fn short(value: &Value) -> String {
    let text = shown(value);
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

pub(super) async fn conflicts(
    context: &Context,
    api: &Api,
    provider: Option<&str>,
    field: Option<&str>,
) -> Result<(), Failure> {
    let mut path = "/api/v1/models/conflicts?".to_owned();
    for (key, value) in [("provider", provider), ("field", field)] {
        if let Some(value) = value {
            path.push_str(&format!("{key}={}&", encoded(value)));
        }
    }
    let path = path.trim_end_matches(['?', '&']);
    if context.global.json {
        return print_json(&get::<Value>(api, path).await?);
    }
    let all: Vec<Disagreement> = get(api, path).await?;
    let mut table = Table::new(&["MODEL", "FIELD", "SOURCE", "SAYS"]);
    for disagreement in &all {
        for (i, said) in disagreement.values.iter().enumerate() {
            let mark = if said.wins { "* " } else { "  " };
            table.row([
                if i == 0 { disagreement.key.clone() } else { String::new() },
                if i == 0 { disagreement.field.clone() } else { String::new() },
                format!("{mark}{}", said.source),
                short(&said.value),
            ]);
        }
    }
    if all.is_empty() {
        if !context.global.quiet {
            super::eprint("all sources agree\n");
        }
        return Ok(());
    }
    print(&table.to_string())
}

pub(super) async fn diff(context: &Context, api: &Api, a: &str, b: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/models/diff?a={}&b={}", encoded(a), encoded(b));
    let choice: ModelChoice = get(api, &path).await?;
    if context.global.json {
        return print_json(&choice);
    }
    if choice.fields.is_empty() {
        if !context.global.quiet {
            super::eprint("nothing that is known of them differs\n");
        }
        return Ok(());
    }
    let mut table = Table::new(&["FIELD", &choice.a, &choice.b]);
    for field in &choice.fields {
        table.row([field.field.clone(), side(field.a.as_ref()), side(field.b.as_ref())]);
    }
    print(&table.to_string())
}

fn side(value: Option<&Value>) -> String {
    or_unknown(value.map(short))
}

pub(super) async fn history(context: &Context, api: &Api, name: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/models/{}/history", encoded(name));
    let models: Vec<ModelHistory> = get(api, &path).await?;
    if context.global.json {
        return print_json(&models);
    }
    let mut text = String::new();
    for model in &models {
        text.push_str(&format!("{}\n", model.key));
        for change in &model.changes {
            let at = change.at.strftime("%Y-%m-%d %H:%M:%S");
            let (action, source, actor) = (change.action.as_str(), &change.source, &change.actor);
            text.push_str(&format!("  {at}  {source} {action}, by {actor}\n"));
            for field in &change.fields {
                text.push_str(&format!("    {}\n", changed(field)));
            }
        }
    }
    print(&text)
}

fn changed(field: &FieldDiff) -> String {
    format!("{}: {} → {}", field.field, side(field.a.as_ref()), side(field.b.as_ref()))
}
