//! `callsheet files index`: makes the registry file that a publisher commits or releases.
//!
//! It works on folders here and on what is published elsewhere, and needs neither a daemon nor
//! anything that was synced.

use crate::{
    args::IndexFiles,
    commands::{eprint, print, print_json, write_file},
    context::Context,
    failure::Failure,
    progress::Progress,
};
use anyhow::anyhow;
use callsheet_files::{Publishes, Registry, publish::PublishAsked};
use flate2::{Compression, GzBuilder};
use std::io::Write;

pub(in crate::commands) async fn run(context: &Context, asked: &IndexFiles) -> Result<(), Failure> {
    let wanted = PublishAsked {
        repo: asked.repo.clone(),
        reference: asked.reference.clone(),
        name: asked.name.clone(),
        path: asked.path.clone(),
        asset: asked.asset_file.clone(),
        namefile: asked.namefile.clone(),
    };
    let path = asked.output.join(Publishes::Models.file_name());
    let progress = Progress::start(context, "indexing");
    let made = context.publisher()?.publish(&wanted, &|step| progress.step(&step)).await;
    drop(progress);
    let made = made.map_err(|error| match error.hint() {
        Some(hint) => Failure::new(error).hint(hint),
        None => Failure::new(error),
    })?;
    let before = match std::fs::read(&path) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(anyhow!("{} cannot be read: {error}", path.display()).into()),
    };
    let is_same = before.as_deref() == Some(made.text.as_bytes());
    if !asked.check {
        std::fs::create_dir_all(&asked.output)
            .map_err(|error| anyhow!("{} cannot be made: {error}", asked.output.display()))?;
        if !is_same {
            write_file(&path, made.text.as_bytes())?;
        }
        if asked.compress.is_some() {
            // Without name and time, so that the same registry gives the same bytes.
            let mut packed = GzBuilder::new().write(Vec::new(), Compression::best());
            packed.write_all(made.text.as_bytes())?;
            write_file(&path.with_extension("toml.gz"), &packed.finish()?)?;
        }
    }
    if !context.global.quiet {
        for problem in &made.problems {
            eprint(&format!("warning: {} {}\n", problem.place, problem.message));
        }
    }
    if context.global.json {
        print_json(&made)?;
    } else if !context.global.quiet {
        let (models, files, shown) = (made.models, made.files, path.display());
        let mut text = match (is_same, asked.check) {
            (true, _) => format!("{shown} is up to date: {models} models, {files} files\n"),
            (false, true) => {
                format!("{shown} is stale: it should have {models} models, {files} files\n")
            }
            (false, false) => format!("{shown}: {models} models, {files} files\n"),
        };
        if asked.verbose {
            text.push_str(&format!(
                "  from {}: {} files read, {} remembered\n",
                made.from, made.hashed, made.remembered
            ));
        }
        if !is_same {
            text.push_str(&differences(before.as_deref(), &made.registry));
        }
        print(&text)?;
    }
    if asked.check && !is_same { Err(Failure::said(4)) } else { Ok(()) }
}

/// Says what is other than in the file that was there, where that can be read.
fn differences(before: Option<&[u8]>, now: &Registry) -> String {
    let before = before.and_then(|bytes| Registry::parse(Publishes::Models, bytes).ok());
    let Some(before) = before else { return String::new() };
    let difference = before.difference(now);
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
            text.push_str(&format!("  {what}: {}\n", super::some(names, false)));
        }
    }
    text
}
