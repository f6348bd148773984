//! `callsheet files`

mod copy;
mod index;
mod lock;
mod places;

pub(super) use copy::copied;
pub(super) use index::run as index;

use super::{eprint, print, print_json};
use crate::{
    api::{Api, Needs},
    args::{
        ClearFiles, FetchFiles, Files as Command, ListFiles, Of, ShowFiles, SyncFiles, Upkeep,
        Which,
    },
    context::Context,
    failure::Failure,
    progress::Progress,
    table::Table,
};
use anyhow::anyhow;
use callsheet_files::{
    Cleared, Failed, FileSet, FilesInfo, Publishes, Removed, ResolveAsked, SyncAsked, SyncReport,
    Verified, registry::Difference,
};
use callsheet_server::{FilesPage, Resolved, UsagePage};
use callsheet_types::{ByteSize, encoded};
use http::Method;
use std::io::{BufRead, IsTerminal};

pub(super) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Sync(asked) => sync(context, &asked).await,
        Command::List(asked) => list(context, &asked).await,
        Command::Info(of) => info(context, &of).await,
        Command::Show(asked) => show(context, &asked).await,
        Command::Copy(asked) => copy::run(context, &asked).await,
        Command::Fetch(asked) => fetch(context, &asked).await,
        Command::Lock(asked) => lock::run(context, &asked).await,
        Command::Verify(asked) => verify(context, &asked).await,
        Command::Gc(asked) => gc(context, &asked).await,
        Command::Clear(asked) => clear(context, &asked).await,
        Command::Usage => usage(context).await,
        Command::Index(asked) => index::run(context, &asked).await,
    }
}

/// Reads what is published; the parser lets known words through only.
pub(super) fn publishes(of: &Of) -> Option<Publishes> {
    let said = of.publishes.as_deref()?;
    Publishes::ALL.into_iter().find(|publishes| publishes.as_str() == said)
}

pub(super) fn query(which: &Which) -> String {
    let mut query = String::from("?");
    let reference = which.reference.as_ref().map(ToString::to_string);
    let said = [
        ("publishes", which.of.publishes.as_deref()),
        ("source", which.source.as_deref()),
        ("ref", reference.as_deref()),
    ];
    for (key, value) in said {
        if let Some(value) = value {
            query.push_str(&format!("{key}={}&", encoded(value)));
        }
    }
    query
}

/// Syncs, through the API.
pub(super) async fn synced(context: &Context, asked: &SyncFiles) -> Result<SyncReport, Failure> {
    let wanted = SyncAsked {
        publishes: publishes(&asked.which.of),
        sources: asked.which.source.iter().cloned().collect(),
        refs: asked.which.reference.iter().cloned().collect(),
        repo: asked.repo.clone(),
        only_missing: false,
        force: asked.force,
        allow_shrink: asked.allow_shrink,
        dry_run: asked.dry_run,
    };
    let api = Api::find(context, Needs::Files).await?;
    let progress = Progress::start(context, "syncing");
    api.work("/api/v1/files/sync", &wanted, |step| progress.step(&step)).await
}

/// Syncs what was never synced, where the configuration says so. That it fails is a warning.
pub(super) async fn auto_sync(context: &Context) -> Result<(), Failure> {
    let config = context.config()?;
    if !config.files.auto_sync || context.global.offline {
        return Ok(());
    }
    let wanted = SyncAsked { only_missing: true, ..SyncAsked::default() };
    let api = Api::find(context, Needs::Files).await?;
    let progress = Progress::start(context, "syncing what is new");
    let report: Result<SyncReport, _> =
        api.work("/api/v1/files/sync", &wanted, |step| progress.step(&step)).await;
    drop(progress);
    if context.global.quiet {
        return Ok(());
    }
    match report {
        Ok(report) => {
            for failed in report.failed {
                eprint(&format!("warning: {} was not synced: {}\n", failed.address, failed.error));
            }
        }
        Err(error) => eprint(&format!("warning: nothing was synced: {error}\n")),
    }
    Ok(())
}

async fn sync(context: &Context, asked: &SyncFiles) -> Result<(), Failure> {
    let report = synced(context, asked).await?;
    if context.global.json {
        print_json(&report)?;
        return verdict(&report);
    }
    let mut text = String::new();
    for synced in &report.synced {
        let counts = synced.counts;
        let commit = synced
            .commit
            .as_deref()
            .map(|commit| format!(" ({})", &commit[..commit.len().min(12)]));
        let word = if asked.dry_run { "would sync" } else { "synced" };
        text.push_str(&format!(
            "{word} {}{}: {} models, {} files, {}\n",
            synced.address,
            commit.unwrap_or_default(),
            counts.models,
            counts.files,
            synced.mode.replace('_', " "),
        ));
        if let Some(difference) = &synced.difference {
            text.push_str(&differences(difference, asked.dry_run));
        }
        for warning in &synced.warnings {
            text.push_str(&format!("  warning: {warning}\n"));
        }
    }
    for skipped in &report.skipped {
        text.push_str(&format!("{} is up to date: {}\n", skipped.address, skipped.reason));
    }
    if report.synced.is_empty() && report.skipped.is_empty() && report.failed.is_empty() {
        text.push_str("nothing to sync: no source has a ref\n");
    }
    if !context.global.quiet {
        print(&text)?;
    }
    for failed in &report.failed {
        let kept = if failed.keeps_earlier { "; what was synced before stays" } else { "" };
        eprint(&format!("error: {}{kept}\n", told(failed)));
    }
    for hint in hints(&report) {
        eprint(&format!("hint: {hint}\n"));
    }
    verdict(&report)
}

/// Says what failed, and where unless the error begins with that.
fn told(failed: &Failed) -> String {
    let (address, error) = (&failed.address, &failed.error);
    if error.starts_with(&format!("'{address}'")) {
        return error.clone();
    }
    format!("{address}: {error}")
}

/// Returns what might help, each only once however many refs failed alike.
pub(super) fn hints(report: &SyncReport) -> Vec<&str> {
    let mut hints = Vec::new();
    for hint in report.failed.iter().filter_map(|failed| failed.hint.as_deref()) {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    hints
}

/// 0 all, 3 some, 1 none.
fn verdict(report: &SyncReport) -> Result<(), Failure> {
    let has_some = !report.synced.is_empty() || !report.skipped.is_empty();
    match (report.failed.is_empty(), has_some) {
        (true, _) => Ok(()),
        (false, true) => Err(Failure::said(3)),
        (false, false) => Err(Failure::said(1)),
    }
}

/// Says in lines where two registries differ, naming a few of each or all.
fn differences(difference: &Difference, all: bool) -> String {
    let mut text = String::new();
    for (what, names) in [
        ("models added", &difference.models_added),
        ("models changed", &difference.models_changed),
        ("models gone", &difference.models_gone),
        ("files added", &difference.files_added),
        ("files changed", &difference.files_changed),
        ("files gone", &difference.files_gone),
    ] {
        if !names.is_empty() {
            text.push_str(&format!("  {what}: {}\n", some(names, all)));
        }
    }
    text
}

/// Names the first few, or all.
fn some(names: &[String], all: bool) -> String {
    const FEW: usize = 5;
    if all || names.len() <= FEW {
        return format!("{} ({})", names.len(), names.join(", "));
    }
    format!("{} ({}, …)", names.len(), names[..FEW].join(", "))
}

/// Asks what is synced.
pub(super) async fn listed(
    context: &Context,
    which: &Which,
    with_names: bool,
) -> Result<FilesPage, Failure> {
    let api = Api::find(context, Needs::Files).await?;
    let path = format!("/api/v1/files{}names={with_names}", query(which));
    api.send(Method::GET, &path, None::<&()>).await
}

async fn list(context: &Context, asked: &ListFiles) -> Result<(), Failure> {
    auto_sync(context).await?;
    let with_names = asked.verbose || context.global.json;
    let page = listed(context, &asked.which, with_names).await?;
    if context.global.json {
        return print_json(&page);
    }
    if page.registries.is_empty() {
        return print("nothing is synced; `callsheet files sync` does it\n");
    }
    if !asked.verbose {
        let mut table = Table::new(&["ADDRESS", "MODELS", "EXAMPLES", "FILES", "COMMIT", "FOUND"]);
        for listed in &page.registries {
            let counts = listed.found.counts;
            let commit = listed.found.commit.as_deref().unwrap_or("-");
            table.row([
                listed.address.clone(),
                counts.models.to_string(),
                counts.examples.to_string(),
                counts.files.to_string(),
                commit[..commit.len().min(12)].to_owned(),
                listed.found.mode.replace('_', " "),
            ]);
        }
        return print(&table.to_string());
    }
    let mut text = String::new();
    for listed in &page.registries {
        text.push_str(&format!("{}:\n", listed.address));
        for name in listed.model_names.iter().flatten() {
            text.push_str(&format!("  {name}\n"));
        }
        for (name, models) in listed.example_models.iter().flatten() {
            text.push_str(&format!("  {name} (example): {}\n", models.join(", ")));
        }
    }
    print(&text)?;
    unreadable(&page)
}

/// Says which registries could not be read: 3 where others could, 1 where none could.
pub(super) fn unreadable(page: &FilesPage) -> Result<(), Failure> {
    let problems: Vec<_> =
        page.registries.iter().filter_map(|listed| listed.problem.as_ref()).collect();
    for problem in &problems {
        eprint(&format!("error: {problem}\n"));
    }
    match problems.len() {
        0 => Ok(()),
        all if all == page.registries.len() => Err(Failure::said(1)),
        _ => Err(Failure::said(3)),
    }
}

/// Asks for sources and sizes.
pub(super) async fn informed(
    context: &Context,
    publishes: Option<&str>,
) -> Result<FilesInfo, Failure> {
    let api = Api::find(context, Needs::Files).await?;
    let query = publishes.map(|publishes| format!("?publishes={publishes}")).unwrap_or_default();
    api.send(Method::GET, &format!("/api/v1/files/info{query}"), None::<&()>).await
}

async fn info(context: &Context, of: &Of) -> Result<(), Failure> {
    auto_sync(context).await?;
    let info = informed(context, of.publishes.as_deref()).await?;
    if context.global.json {
        return print_json(&info);
    }
    let mut text = String::new();
    for source in &info.sources {
        let cached: Vec<_> =
            source.cached_refs.iter().map(|found| found.reference.to_string()).collect();
        let missing: Vec<_> = source.missing_refs.iter().map(ToString::to_string).collect();
        text.push_str(&format!("{} ({}, {})\n", source.name, source.place, source.publishes));
        text.push_str(&format!(
            "  synced: {}\n",
            if cached.is_empty() { "none".to_owned() } else { cached.join(", ") }
        ));
        if !missing.is_empty() {
            text.push_str(&format!("  missing: {}\n", missing.join(", ")));
        }
        if source.origin.is_none() {
            text.push_str("  not configured any more\n");
        } else if source.configured_refs.is_empty() {
            text.push_str("  switched off: no refs\n");
        }
    }
    let cache = info.cache;
    text.push_str(&format!(
        "\ncache: {}\n  {} files, {}\n",
        info.cache_dir.display(),
        cache.files,
        ByteSize(cache.bytes)
    ));
    if cache.partial_files > 0 {
        let bytes = ByteSize(cache.partial_bytes);
        text.push_str(&format!("  {} unfinished downloads, {bytes}\n", cache.partial_files));
    }
    print(&text)
}

/// Finds out which files addresses mean; has them in the cache, if that is asked for.
pub(super) async fn resolved(
    context: &Context,
    api: &Api,
    asked: &ResolveAsked,
) -> Result<Vec<FileSet>, Failure> {
    let progress = Progress::start(context, "looking");
    let resolved: Resolved =
        api.work("/api/v1/files/resolve", asked, |step| progress.step(&step)).await?;
    Ok(resolved.sets)
}

async fn show(context: &Context, asked: &ShowFiles) -> Result<(), Failure> {
    let api = Api::find(context, Needs::Files).await?;
    let wanted = ResolveAsked {
        publishes: publishes(&asked.of).unwrap_or_default(),
        addresses: vec![asked.address.clone()],
        ..ResolveAsked::default()
    };
    let sets = resolved(context, &api, &wanted).await?;
    if context.global.json {
        return print_json(&sets);
    }
    let mut text = String::new();
    for set in &sets {
        text.push_str(&format!("{}\n", set.address));
        if let Some(commit) = &set.commit {
            text.push_str(&format!("  commit: {commit}\n"));
        }
        for file in &set.files {
            let digest =
                file.digest.map_or_else(|| "unknown".to_owned(), |digest| digest.to_string());
            let mark = if file.is_verified { "" } else { "  (unverified)" };
            text.push_str(&format!("  {}  {digest}{mark}\n", file.path));
        }
    }
    print(&text)
}

async fn fetch(context: &Context, asked: &FetchFiles) -> Result<(), Failure> {
    let api = Api::find(context, Needs::Files).await?;
    let wanted = ResolveAsked {
        publishes: publishes(&asked.of).unwrap_or_default(),
        addresses: asked.addresses.clone(),
        fetch: true,
        ..ResolveAsked::default()
    };
    let sets = resolved(context, &api, &wanted).await?;
    if context.global.json {
        return print_json(&sets);
    }
    let files: usize = sets.iter().map(|set| set.files.len()).sum();
    if context.global.quiet {
        return Ok(());
    }
    print(&format!("{files} files of {} models are in the cache\n", sets.len()))
}

async fn verify(context: &Context, asked: &Upkeep) -> Result<(), Failure> {
    let api = Api::find(context, Needs::Files).await?;
    let progress = Progress::start(context, "verifying");
    let path = format!("/api/v1/files/verify?dry_run={}", asked.dry_run);
    let verified: Verified = api.work(&path, &(), |step| progress.step(&step)).await?;
    drop(progress);
    if context.global.json {
        print_json(&verified)?;
    } else {
        let (files, bytes) = (verified.looked.files, ByteSize(verified.looked.bytes));
        let mut text = format!("{files} files, {bytes}: {} damaged\n", verified.damaged.len());
        for damaged in &verified.damaged {
            let got =
                damaged.file.got.map_or_else(|| "unreadable".to_owned(), |got| got.to_string());
            text.push_str(&format!("  {} is {got}", damaged.file.expected));
            if let Some(name) = damaged.named_by.first() {
                text.push_str(&format!(": {name}"));
            }
            text.push('\n');
        }
        if !verified.damaged.is_empty() && !asked.dry_run {
            text.push_str("they were removed, and are fetched again when they are wanted\n");
        }
        if !context.global.quiet || !verified.damaged.is_empty() {
            print(&text)?;
        }
    }
    if verified.damaged.is_empty() { Ok(()) } else { Err(Failure::said(1)) }
}

async fn gc(context: &Context, asked: &Upkeep) -> Result<(), Failure> {
    let api = Api::find(context, Needs::Files).await?;
    let path = format!("/api/v1/files/gc?dry_run={}", asked.dry_run);
    let removed: Removed =
        api.send_within(crate::api::PATIENT, Method::POST, &path, None::<&()>).await?;
    if context.global.json {
        return print_json(&removed);
    }
    if context.global.quiet {
        return Ok(());
    }
    let word = if asked.dry_run { "would remove" } else { "removed" };
    print(&format!(
        "{word} {} files, {}; kept {} files, {}\n",
        removed.files,
        ByteSize(removed.bytes),
        removed.kept_files,
        ByteSize(removed.kept_bytes)
    ))
}

/// Clears, or says what would be cleared.
pub(super) async fn cleared(
    context: &Context,
    which: &Which,
    dry_run: bool,
) -> Result<Cleared, Failure> {
    let api = Api::find(context, Needs::Files).await?;
    let path = format!("/api/v1/files{}dry_run={dry_run}", query(which));
    api.send_within(crate::api::PATIENT, Method::DELETE, &path, None::<&()>).await
}

async fn clear(context: &Context, asked: &ClearFiles) -> Result<(), Failure> {
    let which = &asked.which;
    if !asked.dry_run && !asked.yes {
        let would = cleared(context, which, true).await?;
        if !would.registries.is_empty() {
            let text = format!(
                "this forgets {} and {} cached files ({})",
                would.registries.join(", "),
                would.removed.files,
                ByteSize(would.removed.bytes)
            );
            let without = "--yes does it without asking, --dry-run only says what it would do";
            if !confirmed(&text, without)? {
                return Err(Failure::new(anyhow!("nothing was cleared")));
            }
        }
    }
    let cleared = cleared(context, which, asked.dry_run).await?;
    if context.global.json {
        return print_json(&cleared);
    }
    if context.global.quiet {
        return Ok(());
    }
    if cleared.registries.is_empty() {
        return print("nothing is synced that fits: nothing to clear\n");
    }
    let word = if asked.dry_run { "would clear" } else { "cleared" };
    print(&format!(
        "{word} {}: {} files, {}\n",
        cleared.registries.join(", "),
        cleared.removed.files,
        ByteSize(cleared.removed.bytes)
    ))
}

/// Asks a person; where there is none, says how to do without.
pub(super) fn confirmed(what: &str, without: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(anyhow!("{what}, and nobody is there to be asked")).hint(without));
    }
    eprint(&format!("{what}. Go on? [y/N] "));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

async fn usage(context: &Context) -> Result<(), Failure> {
    let api = Api::find(context, Needs::Files).await?;
    let page: UsagePage = api.send(Method::GET, "/api/v1/files/usage", None::<&()>).await?;
    if context.global.json {
        return print_json(&page);
    }
    if page.used.is_empty() {
        return print("no model was copied yet\n");
    }
    let mut table = Table::new(&["ADDRESS", "COPIES", "LAST"]);
    for used in &page.used {
        let last = used.last.strftime("%Y-%m-%d %H:%M:%S").to_string();
        table.row([used.address.clone(), used.copies.to_string(), last]);
    }
    print(&table.to_string())
}
