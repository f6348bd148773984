//! `mf`: MODFLOW's commands, with their messages and exit codes: 0 done, 1 anything else.

use super::{
    eprint,
    files::{cleared, confirmed, copied, hints, index, informed, listed, synced},
    print, print_json,
};
use crate::{
    args::{Mf, MfArgs, MfClear, MfCommand, MfCopy, MfList, MfSync, MfVerb, Of, SyncFiles, Which},
    context::Context,
    failure::Failure,
};
use callsheet_files::{Publishes, SyncReport};
use clap::CommandFactory;

pub(super) async fn run(context: &Context, mf: Mf) -> Result<(), Failure> {
    let done = match mf.command {
        None => return help(None),
        Some(MfCommand::Models { command }) => verb(context, Publishes::Models, command).await,
        Some(MfCommand::Programs { command }) => verb(context, Publishes::Programs, command).await,
        Some(MfCommand::Dfns { command }) => verb(context, Publishes::Dfns, command).await,
        Some(MfCommand::Sync { all: _, force }) => {
            let asked = SyncFiles { force, ..SyncFiles::default() };
            let report = synced(context, &asked).await;
            report.and_then(|report| told(context, &report))
        }
        Some(MfCommand::Clean { all: _, force }) => {
            clear(context, None, &MfClear { source: None, reference: None, force }).await
        }
    };
    // Whoever scripts these commands knows two codes only.
    done.map_err(|failure| failure.exit_code(1))
}

async fn verb(
    context: &Context,
    publishes: Publishes,
    verb: Option<MfVerb>,
) -> Result<(), Failure> {
    match verb {
        None => help(Some(publishes.as_str())),
        Some(MfVerb::Sync(asked)) => sync(context, publishes, &asked).await,
        Some(MfVerb::Info) => info(context, publishes).await,
        Some(MfVerb::List(asked)) => list(context, publishes, &asked).await,
        Some(MfVerb::Copy(asked)) => copy(context, publishes, &asked).await,
        Some(MfVerb::Clear(asked)) => clear(context, Some(publishes), &asked).await,
        Some(MfVerb::Index(asked)) => index(context, &asked).await,
    }
}

/// Prints the help of a command that needs another, and fails.
fn help(name: Option<&str>) -> Result<(), Failure> {
    let mut command = MfArgs::command();
    // Only then does a part of it know what stands before its name.
    command.build();
    let text = match name.and_then(|name| command.find_subcommand_mut(name)) {
        Some(found) => found.render_help(),
        None => command.render_help(),
    };
    print(&text.to_string())?;
    Err(Failure::said(1))
}

fn of(publishes: Publishes) -> Of {
    Of { publishes: Some(publishes.as_str().to_owned()) }
}

async fn sync(context: &Context, publishes: Publishes, asked: &MfSync) -> Result<(), Failure> {
    let mut wanted = asked.asked();
    wanted.which.of = of(publishes);
    let report = synced(context, &wanted).await?;
    if asked.verbose && !context.global.json {
        for synced in &report.synced {
            print(&format!("{}: found by {} at {}\n", synced.address, synced.mode, synced.url))?;
        }
    }
    told(context, &report)
}

fn told(context: &Context, report: &SyncReport) -> Result<(), Failure> {
    if context.global.json {
        print_json(report)?;
    } else {
        let mut text = String::new();
        for skipped in &report.skipped {
            text.push_str(&format!("Registry {} {}, skipping\n", skipped.address, skipped.reason));
        }
        for synced in &report.synced {
            text.push_str(&format!("  [+] Synced {}\n", synced.address));
            for warning in &synced.warnings {
                text.push_str(&format!("      warning: {warning}\n"));
            }
        }
        for failed in &report.failed {
            text.push_str(&format!("  [-] Failed to sync {}\n", failed.address));
        }
        text.push_str(&format!(
            "\nSync complete:\n  Synced: {}\n  Skipped: {}\n  Failed: {}\n",
            report.synced.len(),
            report.skipped.len(),
            report.failed.len()
        ));
        if !context.global.quiet {
            print(&text)?;
        }
        if !report.failed.is_empty() {
            eprint("\nFailed syncs:\n");
        }
        for failed in &report.failed {
            eprint(&format!("  {}: {}\n", failed.address, failed.error));
        }
        for hint in hints(report) {
            eprint(&format!("    hint: {hint}\n"));
        }
    }
    if report.failed.is_empty() { Ok(()) } else { Err(Failure::said(1)) }
}

async fn info(context: &Context, publishes: Publishes) -> Result<(), Failure> {
    super::files::auto_sync(context).await?;
    let info = informed(context, Some(publishes.as_str())).await?;
    if context.global.json {
        return print_json(&info);
    }
    if info.sources.is_empty() {
        return print(&format!("No {publishes} registries configured\n"));
    }
    let mut text = "Registry sync status:\n".to_owned();
    for source in &info.sources {
        let names =
            |refs: Vec<String>| if refs.is_empty() { "none".to_owned() } else { refs.join(", ") };
        let configured = source.configured_refs.iter().map(ToString::to_string).collect();
        let cached = source.cached_refs.iter().map(|found| found.reference.to_string()).collect();
        text.push_str(&format!("\n{} ({})\n", source.name, source.place));
        text.push_str(&format!("  Configured refs: {}\n", names(configured)));
        text.push_str(&format!("  Cached refs: {}\n", names(cached)));
        if !source.missing_refs.is_empty() {
            let missing = source.missing_refs.iter().map(ToString::to_string).collect();
            text.push_str(&format!("  Missing refs: {}\n", names(missing)));
        }
    }
    print(&text)
}

async fn list(context: &Context, publishes: Publishes, asked: &MfList) -> Result<(), Failure> {
    super::files::auto_sync(context).await?;
    let which = Which {
        of: of(publishes),
        source: asked.source.clone(),
        reference: asked.reference.clone(),
    };
    let page = listed(context, &which, asked.verbose || context.global.json).await?;
    if context.global.json {
        return print_json(&page);
    }
    if page.registries.is_empty() {
        let filters = filters(asked.source.as_ref(), asked.reference.as_ref());
        return print(&if filters.is_empty() {
            "No cached registries. Run 'sync' first.\n".to_owned()
        } else {
            format!("No cached registries matching filters: {filters}\n")
        });
    }
    let (title, what) = match publishes {
        Publishes::Models => ("Available models", "Models"),
        Publishes::Programs => ("Available programs", "Programs"),
        Publishes::Dfns => ("Available components", "Components"),
    };
    let mut text = format!("{title}:\n");
    for listed in &page.registries {
        let counts = listed.found.counts;
        text.push_str(&format!("\n{}:\n  {what}: {}\n", listed.address, counts.models));
        for name in listed.model_names.iter().flatten() {
            text.push_str(&format!("    {name}\n"));
        }
        if counts.examples > 0 {
            text.push_str(&format!("  Examples: {}\n", counts.examples));
        }
        for name in listed.example_models.iter().flatten().map(|(name, _)| name) {
            text.push_str(&format!("    {name}\n"));
        }
    }
    print(&text)?;
    super::files::unreadable(&page)
}

async fn copy(context: &Context, publishes: Publishes, asked: &MfCopy) -> Result<(), Failure> {
    let (model, workspace) = (&asked.model, &asked.workspace);
    let copied = copied(context, publishes, model, workspace).await?;
    if context.global.json {
        return print_json(&copied);
    }
    if asked.verbose {
        print(&format!(
            "{} files, {} bytes, of {}\n",
            copied.written + copied.unchanged,
            copied.bytes.unwrap_or_default(),
            copied.models.join(", ")
        ))?;
    }
    if context.global.quiet {
        return Ok(());
    }
    print(&format!("Successfully copied model '{model}' to: {}\n", workspace.display()))
}

async fn clear(
    context: &Context,
    publishes: Option<Publishes>,
    asked: &MfClear,
) -> Result<(), Failure> {
    let which = Which {
        of: publishes.map(of).unwrap_or_default(),
        source: asked.source.clone(),
        reference: asked.reference.clone(),
    };
    let would = cleared(context, &which, true).await?;
    if would.registries.is_empty() {
        let filters = filters(asked.source.as_ref(), asked.reference.as_ref());
        return print(&if filters.is_empty() {
            "No cached registries to clear\n".to_owned()
        } else {
            format!("No cached registries matching filters: {filters}\n")
        });
    }
    if !context.global.json {
        print(&format!("Will clear:\n  {}\n", would.registries.join("\n  ")))?;
    }
    let what = "this forgets them, and the files that nothing else names";
    if !asked.force && !confirmed(what, "--force does it without asking")? {
        return print("Cancelled\n");
    }
    let cleared = cleared(context, &which, false).await?;
    if context.global.json {
        return print_json(&cleared);
    }
    let count = cleared.registries.len();
    print(&format!("Cleared {count} cached registr{}\n", if count == 1 { "y" } else { "ies" }))
}

fn filters(source: Option<&String>, reference: Option<&callsheet_types::GitRef>) -> String {
    let source = source.map(|source| format!("source={source}"));
    let reference = reference.map(|reference| format!("ref={reference}"));
    source.into_iter().chain(reference).collect::<Vec<_>>().join(", ")
}
