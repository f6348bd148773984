//! `callsheet model refresh`: on the store, or on a registry file in place.

use super::{eprint, print, print_json};
use crate::{
    api::{Api, Needs, PATIENT},
    args::RefreshModels,
    context::Context,
    failure::Failure,
    progress::Progress,
};
use callsheet_models::refresh::Outcome;
use callsheet_server::models::{RefreshAsked, Refreshed, refresh_file};
use http::Method;

pub(super) async fn run(context: &Context, asked: &RefreshModels) -> Result<(), Failure> {
    let wanted = RefreshAsked {
        ids: asked.ids.clone(),
        providers: asked.provider.clone(),
        allow_shrink: asked.allow_shrink,
        dry_run: asked.dry_run || asked.check,
    };
    let progress = Progress::start(context, "asking providers");
    let refreshed = if let Some(file) = &asked.file {
        let config = context.config()?;
        refresh_file(&config, file, &wanted, context.global.offline).await?
    } else {
        let api = Api::find(context, Needs::Store).await?;
        api.send_within(PATIENT, Method::POST, "/api/v1/models/refresh", Some(&wanted)).await?
    };
    drop(progress);
    if context.global.json {
        print_json(&refreshed)?;
    } else {
        told(context, asked, &refreshed)?;
    }
    verdict(asked, &refreshed)
}

fn told(context: &Context, asked: &RefreshModels, refreshed: &Refreshed) -> Result<(), Failure> {
    let report = &refreshed.report;
    if report.total == 0 && report.providers.iter().all(|provider| provider.error.is_none()) {
        if !context.global.quiet {
            print(&match (&asked.file, asked.provider.as_slice()) {
                (Some(_), []) => "no models in the registry file: nothing to refresh\n".to_owned(),
                (_, []) => {
                    "nothing to refresh: no provider is configured, and no backend lists its models\n"
                        .to_owned()
                }
                (_, names) => format!("no models of {}: nothing to refresh\n", names.join(", ")),
            })?;
        }
        return Ok(());
    }
    let failed: Vec<_> = report.models.iter().filter(|model| model.outcome.is_failure()).collect();
    if !context.global.quiet {
        let mut text = String::new();
        if report.total > 0 {
            text.push_str(&format!("refreshing {} models...\n", report.total));
        }
        for model in &report.models {
            let (key, outcome) = (&model.key, &model.outcome);
            let word = match outcome {
                Outcome::Added => "ok, new",
                Outcome::Changed => "ok, changed",
                Outcome::Ok => "ok",
                Outcome::Missing | Outcome::Failed => "WARN",
            };
            text.push_str(&match (&model.message, outcome.is_failure()) {
                (Some(message), true) => format!("  {key} WARN: {message}\n"),
                (Some(message), false) => format!("  {key} {word}; left out: {message}\n"),
                (None, _) => format!("  {key} {word}\n"),
            });
        }
        for provider in &report.providers {
            let (name, count) = (&provider.name, provider.problems.len());
            if let Some(problem) = provider.problems.first() {
                let (place, message) = (&problem.place, &problem.message);
                let others = match count - 1 {
                    0 => String::new(),
                    others => format!(" (and {others} more)"),
                };
                text.push_str(&format!(
                    "  {name}: something in its list could not be used: {place} {message}{others}\n"
                ));
            }
        }
        if report.refreshed > 0 {
            text.push_str(&format!("\nrefreshed {}/{} models.\n", report.refreshed, report.total));
        }
        if asked.dry_run || asked.check {
            text.push_str(&match report.changed {
                0 => "nothing would change\n".to_owned(),
                changed => format!("{changed} would change; nothing was written\n"),
            });
        }
        print(&text)?;
    }
    let mut text = String::new();
    if report.refreshed == 0 {
        // That a model is gone is written too.
        let is_written = report.changed > 0 && !asked.dry_run && !asked.check;
        let written = if is_written { "" } else { ": nothing was written" };
        text.push_str(&format!("no models refreshed{written}\n"));
    }
    for provider in &report.providers {
        // Where models failed with it, they say so; and it says who it is about.
        let is_said =
            |error: &String| failed.iter().any(|model| model.message.as_ref() == Some(error));
        if let Some(error) = provider.error.as_ref().filter(|error| !is_said(error)) {
            text.push_str(&format!("{error}\n"));
        }
    }
    if !failed.is_empty() {
        text.push_str(&format!("failed ({}):\n", failed.len()));
        for model in &failed {
            let message = model.message.as_deref().unwrap_or(model.outcome.as_str());
            text.push_str(&format!("  {}: {message}\n", model.key));
        }
    }
    for orphan in &refreshed.orphans {
        text.push_str(&format!(
            "{} is gone; still used by {}\n",
            orphan.key,
            orphan.used_by.join(", ")
        ));
    }
    eprint(&text);
    Ok(())
}

/// 4 where a check finds that something would change, whatever else it could not find out;
/// otherwise 0 all, 3 some, 1 none.
fn verdict(asked: &RefreshModels, refreshed: &Refreshed) -> Result<(), Failure> {
    let report = &refreshed.report;
    let has_failures = report.models.iter().any(|model| model.outcome.is_failure())
        || report.providers.iter().any(|provider| provider.error.is_some());
    match (report.refreshed, has_failures) {
        _ if asked.check && report.changed > 0 => Err(Failure::said(4)),
        (0, true) => Err(Failure::said(1)),
        (_, true) => Err(Failure::said(3)),
        (_, false) => Ok(()),
    }
}
