//! Catalogs in and out.

use super::{eprint, print, print_json};
use crate::{
    api::{Api, Needs, PATIENT},
    args::{ExportModels, ImportModels},
    context::Context,
    failure::Failure,
    progress::Progress,
};
use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use callsheet_models::formats::{Format, Grouped, UnknownFormat};
use callsheet_server::models::{Exported, Imported};
use callsheet_sources::{Fetched, Http, HttpSettings, Request, Tree};
use callsheet_types::encoded;
use http::Method;
use std::{io::Read, path::Path};

/// Problems that are shown; `--json` has all.
const SHOWN_PROBLEMS: usize = 20;

pub(super) async fn import(context: &Context, asked: &ImportModels) -> Result<(), Failure> {
    // A misspelt format should not cost a download.
    let format: Format =
        asked.format.parse().map_err(|error: UnknownFormat| Failure::new(error).exit_code(2))?;
    let is_address = asked.from.starts_with("http://") || asked.from.starts_with("https://");
    let progress = Progress::start(context, &format!("reading {}", asked.from));
    let bytes = read(context, &asked.from, is_address).await?;
    let is_registry = matches!(format, Format::Registry | Format::Callsheet);
    let mut path = format!(
        "/api/v1/models/import?format={format}&dry_run={}&allow_shrink={}&remote={}&file={}",
        asked.dry_run,
        asked.allow_shrink,
        is_address && is_registry,
        encoded(&asked.from),
    );
    if let Some(source) = &asked.source {
        path.push_str(&format!("&source={}", encoded(source)));
    }
    if let Some(when) = &asked.as_of {
        let moment = callsheet_server::moment(when).ok_or_else(|| {
            Failure::new(anyhow!("{when:?} is no day and no moment"))
                .hint("expected one such as 2026-01-31 or 2026-01-31T12:00:00Z")
                .exit_code(2)
        })?;
        path.push_str(&format!("&as_of={}", encoded(&moment.to_string())));
    }
    let api = Api::find(context, Needs::Store).await?;
    progress.say("taking it in");
    let imported: Imported = api.send_bytes(PATIENT, Method::POST, &path, bytes).await?;
    drop(progress);
    if context.global.json {
        return print_json(&imported);
    }
    told(context, &imported)
}

async fn read(context: &Context, from: &str, is_address: bool) -> Result<Bytes, Failure> {
    if is_address {
        let settings =
            HttpSettings { is_offline: context.global.offline, ..HttpSettings::default() };
        let fetched = Http::new(settings).get(&Request::new(from)).await.map_err(|error| {
            let hint = error.hint();
            let failure = Failure::new(error);
            match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        });
        return match fetched? {
            Fetched::Fresh { body, .. } => Ok(body),
            Fetched::NotModified => {
                Err(Failure::new(anyhow!("{from} answered as if it had been asked before")))
            }
        };
    }
    if from == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).context("standard input cannot be read")?;
        return Ok(bytes.into());
    }
    let path = Path::new(from);
    let metadata = std::fs::metadata(path).with_context(|| format!("{from} cannot be read"))?;
    if metadata.is_dir() {
        return Ok(Tree::to_tar(path)?.into());
    }
    Ok(std::fs::read(path).with_context(|| format!("{from} cannot be read"))?.into())
}

fn told(context: &Context, imported: &Imported) -> Result<(), Failure> {
    if context.global.quiet {
        return Ok(());
    }
    let Imported { models, canonical, presets, added, updated, unchanged, withdrawn, .. } =
        imported;
    let mut text = format!("{}: {}", imported.source, counted(*models, "model"));
    if *canonical > 0 {
        text.push_str(&format!(", {canonical} of no one provider"));
    }
    if *presets > 0 {
        text.push_str(&format!(", {}", counted(*presets, "preset")));
    }
    let verb = if imported.dry_run { "would be " } else { "" };
    text.push_str(&format!(
        "\n{verb}added {added}, updated {updated}, unchanged {unchanged}, withdrawn {withdrawn}\n"
    ));
    for orphan in &imported.orphans {
        text.push_str(&format!(
            "{} is gone; still used by {}\n",
            orphan.key,
            orphan.used_by.join(", ")
        ));
    }
    print(&text)?;
    let count: usize = imported.problems.iter().map(|group| group.count).sum();
    grouped(&counted(count, "problem"), &imported.problems);
    Ok(())
}

/// Writes a number of things.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn grouped(heading: &str, all: &[Grouped]) {
    if all.is_empty() {
        return;
    }
    let mut text = format!("{heading}:\n");
    for group in all.iter().take(SHOWN_PROBLEMS) {
        let Grouped { message, count, first_place } = group;
        text.push_str(&format!("  {count} × {message}, first in {first_place}\n"));
    }
    if all.len() > SHOWN_PROBLEMS {
        text.push_str(&format!(
            "  and {} kinds more; --json has all\n",
            all.len() - SHOWN_PROBLEMS
        ));
    }
    eprint(&text);
}

pub(super) async fn export(context: &Context, asked: &ExportModels) -> Result<(), Failure> {
    let format: Format =
        asked.format.parse().map_err(|error: UnknownFormat| Failure::new(error).exit_code(2))?;
    let api = Api::find(context, Needs::Store).await?;
    let mut path = format!("/api/v1/models/export?format={format}");
    if let Some(provider) = &asked.provider {
        path.push_str(&format!("&provider={}", encoded(provider)));
    }
    let exported: Exported = api.send_within(PATIENT, Method::GET, &path, None::<&()>).await?;
    match &asked.output {
        None if context.global.json => return print_json(&exported),
        None => print(&exported.content)?,
        Some(file) => {
            super::super::write_file(file, exported.content.as_bytes())?;
            if !context.global.quiet {
                let models = counted(exported.models, "model");
                print(&format!("{models} written to {}\n", file.display()))?;
            }
        }
    }
    if !context.global.quiet {
        let count: usize = exported.omissions.iter().map(|group| group.count).sum();
        let are = if count == 1 { "is" } else { "are" };
        let heading = format!("{} that {are} not in it", counted(count, "thing"));
        grouped(&heading, &exported.omissions);
    }
    Ok(())
}
