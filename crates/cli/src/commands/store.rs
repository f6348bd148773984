//! `callsheet store`: the database itself. These commands open it where the config file says that
//! it is, whether a daemon runs on it or not: they are for whoever keeps it.

use super::{print, print_json};
use crate::{args::Store as Command, context::Context, failure::Failure, progress::Progress};
use anyhow::{Context as _, anyhow};
use callsheet_models::Cards;
use callsheet_server::catalog::location;
use callsheet_store::{Counts, Store, StoreUrl, gather_export};
use jiff::Timestamp;
use serde_json::json;
use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, IntoInnerError, Write},
    path::Path,
};
use tempfile::NamedTempFile;

pub(super) fn run(context: &Context, command: Command) -> Result<(), Failure> {
    if context.global.server.is_some() {
        return Err(Failure::usage("store commands work on the database itself, not through a daemon")
            .hint("run it where the database is, without --server; [store] in the config file says where that is"));
    }
    let config = context.config()?;
    let url = location(&config, &context.data_dir)?;
    if context.global.offline && matches!(url, StoreUrl::Postgres(..)) {
        return Err(Failure::usage(
            "--offline opens no connection, and the store is a PostgreSQL server",
        ));
    }
    if config.store.url.is_none() && matches!(command, Command::Migrate | Command::Import { .. }) {
        // A place that somebody named should be there; the data directory is ours.
        let dir = &context.data_dir;
        std::fs::create_dir_all(dir)
            .with_context(|| format!("the data directory {} cannot be made", dir.display()))?;
    }
    match command {
        Command::Migrate => migrate(context, &url),
        Command::Check { repair } => check(context, &url, repair),
        Command::Backup { file } => backup(context, &url, &file),
        Command::Export { output } => export(context, &url, output.as_deref()),
        Command::Import { file } => import(context, &url, &file),
        Command::Purge { older_than, dry_run } => {
            let older_than = older_than.unwrap_or(config.store.keep);
            let before = Timestamp::now().checked_sub(older_than.0)?;
            let purged = existing(&url)?.purge(before, dry_run)?;
            said(
                context,
                &json!({ "revisions": purged.revisions, "changes": purged.changes, "dry_run": dry_run }),
                &format!(
                    "{}{} and {} older than {older_than}\n",
                    if dry_run { "would forget " } else { "forgot " },
                    things(purged.changes, "change", "changes"),
                    things(purged.revisions, "revision", "revisions"),
                ),
            )
        }
    }
}

fn said(context: &Context, json: &serde_json::Value, text: &str) -> Result<(), Failure> {
    if context.global.json {
        print_json(json)
    } else if context.global.quiet {
        Ok(())
    } else {
        print(text)
    }
}

/// Opens a store that is there already: whoever misspells its place should not get a new one.
fn existing(url: &StoreUrl) -> Result<Store, Failure> {
    if let StoreUrl::Sqlite(path) = url
        && !path.exists()
    {
        return Err(Failure::new(anyhow!("there is no database at {}", path.display()))
            .hint("`callsheet store migrate` makes one; [store] in the config file says where"));
    }
    Ok(Store::open(url)?)
}

fn migrate(context: &Context, url: &StoreUrl) -> Result<(), Failure> {
    let store = Store::open(url)?;
    let version = store.stats()?.schema;
    said(
        context,
        &json!({ "store": url.to_string(), "schema": version }),
        &format!("{url} has schema {version}, the newest that this version knows\n"),
    )
}

fn check(context: &Context, url: &StoreUrl, repair: bool) -> Result<(), Failure> {
    let store = existing(url)?;
    let progress = Progress::start(context, "checking");
    let rebuilt = if repair { Some(store.rebuild(&Cards)?) } else { None };
    let problems = store.check(&Cards)?;
    let digest = store.digest()?;
    drop(progress);
    let mut text = String::new();
    if let Some(rows) = rebuilt {
        text.push_str(&format!("{} made anew\n", things(rows as u64, "card", "cards")));
    }
    for problem in &problems {
        text.push_str(&format!("{}: {}\n", problem.place, problem.message));
    }
    if problems.is_empty() {
        text.push_str(&format!("ok: {url}, {digest}\n"));
    }
    let json =
        json!({ "ok": problems.is_empty(), "problems": problems, "digest": digest.to_string() });
    said(context, &json, &text)?;
    match problems.len() {
        0 => Ok(()),
        count => {
            Err(Failure::new(anyhow!("{url} has {}", things(count as u64, "problem", "problems")))
                .hint("`store check --repair` makes cards anew; anything else wants a backup"))
        }
    }
}

fn backup(context: &Context, url: &StoreUrl, file: &Path) -> Result<(), Failure> {
    let store = existing(url)?;
    let progress = Progress::start(context, "copying");
    store.backup(file)?;
    drop(progress);
    let bytes = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    let json = json!({ "file": file, "bytes": bytes });
    said(context, &json, &format!("{} written, {bytes} bytes\n", file.display()))
}

fn export(context: &Context, url: &StoreUrl, output: Option<&Path>) -> Result<(), Failure> {
    let store = existing(url)?;
    let Some(file) = output else {
        let mut out = BufWriter::new(std::io::stdout().lock());
        store.export(&mut out)?;
        return Ok(out.flush()?);
    };
    let progress = Progress::start(context, "writing");
    let counts = write_export(&store, file)?;
    drop(progress);
    let json = json!({ "file": file, "counts": counts });
    said(context, &json, &format!("{} written: {}\n", file.display(), counted(&counts)))
}

/// What has the wanted name is whole.
fn write_export(store: &Store, file: &Path) -> Result<Counts, Failure> {
    let cannot = || format!("{} cannot be written", file.display());
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !dir.is_dir() {
        return Err(Failure::new(anyhow!("{}: {} is no folder", cannot(), dir.display())));
    }
    let mut out = BufWriter::new(NamedTempFile::new_in(dir).with_context(cannot)?);
    let counts = store.export(&mut out)?;
    let written = out.into_inner().map_err(IntoInnerError::into_error).and_then(|written| {
        written.as_file().sync_all()?;
        Ok(written.persist(file)?)
    });
    written.with_context(cannot)?;
    Ok(counts)
}

fn import(context: &Context, url: &StoreUrl, file: &Path) -> Result<(), Failure> {
    let store = Store::open(url)?;
    let progress = Progress::start(context, "reading");
    let counts = if file == Path::new("-") {
        import_slow(&store, std::io::stdin().lock())?
    } else {
        let open =
            File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
        if open.metadata().is_ok_and(|metadata| metadata.is_file()) {
            store.import(&mut BufReader::new(open), &Cards)?
        } else {
            import_slow(&store, BufReader::new(open))?
        }
    };
    drop(progress);
    let digest = store.digest()?;
    let json = json!({ "store": url.to_string(), "counts": counts, "digest": digest.to_string() });
    said(context, &json, &format!("{url} filled: {}, {digest}\n", counted(&counts)))
}

/// Whoever writes into a pipe may take long; until it is all there, others can write to the store.
fn import_slow(store: &Store, mut input: impl BufRead) -> Result<Counts, Failure> {
    let gathered = gather_export(&mut input)?;
    Ok(store.import(&mut BufReader::new(gathered), &Cards)?)
}

fn counted(counts: &Counts) -> String {
    let Counts { entries, revisions, changes, .. } = counts;
    format!(
        "{}, {}, {}",
        things(*entries, "entry", "entries"),
        things(*revisions, "revision", "revisions"),
        things(*changes, "change", "changes")
    )
}

fn things(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}
