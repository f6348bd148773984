//! Corrections.

use super::{print, print_json};
use crate::{
    api::{Api, PATIENT},
    args::{ChangeModel, SetModel, UnsetModel},
    context::Context,
    failure::Failure,
};
use anyhow::anyhow;
use callsheet_server::models::{Corrected, Correction};
use callsheet_types::encoded;
use http::Method;

pub(super) async fn set(context: &Context, api: &Api, set: &SetModel) -> Result<(), Failure> {
    let mut correction = Correction {
        by: set.by.clone().or_else(|| std::env::var("USER").ok().filter(|user| !user.is_empty())),
        ..Correction::default()
    };
    for text in &set.fields {
        let Some((field, value)) = text.split_once('=') else {
            return Err(Failure::new(anyhow!("{text:?} is no correction"))
                .hint("expected FIELD=VALUE, such as context_window=128k")
                .exit_code(2));
        };
        correction.set.insert(field.trim().to_owned(), value.to_owned());
    }
    correct(context, api, &set.model, set.dry_run, &correction, "set").await
}

pub(super) async fn unset(context: &Context, api: &Api, unset: &UnsetModel) -> Result<(), Failure> {
    let correction = Correction { unset: unset.fields.clone(), ..Correction::default() };
    correct(context, api, &unset.model, unset.dry_run, &correction, "unset").await
}

async fn correct(
    context: &Context,
    api: &Api,
    model: &str,
    dry_run: bool,
    correction: &Correction,
    verb: &str,
) -> Result<(), Failure> {
    let path = format!("/api/v1/models/{}?dry_run={dry_run}", encoded(model));
    let corrected: Corrected = api.send(Method::PATCH, &path, Some(correction)).await?;
    let fields: Vec<_> = correction.set.keys().chain(&correction.unset).cloned().collect();
    said(context, &corrected, dry_run, &format!("{verb}: {}", fields.join(", ")))
}

pub(super) async fn remove(
    context: &Context,
    api: &Api,
    change: &ChangeModel,
) -> Result<(), Failure> {
    let path = format!("/api/v1/models/{}?dry_run={}", encoded(&change.model), change.dry_run);
    let corrected: Corrected = api.send(Method::DELETE, &path, None::<&()>).await?;
    said(context, &corrected, change.dry_run, "removed")
}

pub(super) async fn add(context: &Context, api: &Api, change: &ChangeModel) -> Result<(), Failure> {
    let path = format!("/api/v1/models?dry_run={}", change.dry_run);
    let body = serde_json::json!({ "id": change.model });
    let corrected: Corrected = api.send_within(PATIENT, Method::POST, &path, Some(&body)).await?;
    said(context, &corrected, change.dry_run, "added")
}

fn said(
    context: &Context,
    corrected: &Corrected,
    dry_run: bool,
    done: &str,
) -> Result<(), Failure> {
    if context.global.json {
        return print_json(corrected);
    }
    if context.global.quiet {
        return Ok(());
    }
    let key = &corrected.card.key;
    let mut text = match (dry_run, corrected.changed) {
        (true, _) => format!("{key}: would be {done}; nothing was changed\n"),
        (false, true) => format!("{key}: {done}\n"),
        (false, false) => format!("{key}: {done}; it was so already\n"),
    };
    for note in &corrected.card.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    if done == "removed" && !corrected.used_by.is_empty() {
        text.push_str(&format!("still used by: {}\n", corrected.used_by.join(", ")));
    }
    print(&text)
}
