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
use callsheet_files::{
    Publishes, Registry,
    edits::{self, Edits},
    publish::{PublishAsked, Published},
};
use callsheet_sources::decompress;
use flate2::{Compression, GzBuilder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde::Serialize;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

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
    let mut made = made.map_err(|error| match error.hint() {
        Some(hint) => Failure::new(error).hint(hint),
        None => Failure::new(error),
    })?;
    let before = match std::fs::read(&path) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(anyhow!("{} cannot be read: {error}", path.display()).into()),
    };
    if asked.difference {
        made.text = edits::offering(&made.text);
    }
    let is_same = before.as_deref() == Some(made.text.as_bytes());
    let mut beside = Beside::look(&path, &made.text, asked)?;
    if !asked.check {
        std::fs::create_dir_all(&asked.output)
            .map_err(|error| anyhow!("{} cannot be made: {error}", asked.output.display()))?;
        // Before the file itself: where this breaks off, the same again does the rest.
        beside.remove()?;
        if !is_same {
            if let (true, Some(before)) = (asked.difference, &before) {
                let before = String::from_utf8_lossy(before);
                let difference = Edits::between(&before, &made.text).write()?;
                write_file(&with_ending(&path, edits::ENDING), difference.as_bytes())?;
            }
            write_file(&path, made.text.as_bytes())?;
        }
        if let Some(ending) = &asked.compress {
            let packed = compressed(made.text.as_bytes(), ending)?;
            write_file(&with_ending(&path, &format!(".{ending}")), &packed)?;
        }
    }
    let is_stale = !is_same || !beside.stale.is_empty();
    if !context.global.quiet {
        for problem in &made.problems {
            eprint(&format!("warning: {} {}\n", problem.place, problem.message));
        }
    }
    if context.global.json {
        if !asked.check {
            beside.stale.clear();
        }
        print_json(&Made { published: &made, beside: &beside })?;
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
        for stale in beside.stale.iter().filter(|_| asked.check) {
            text.push_str(&format!("  {} is stale\n", stale.display()));
        }
        for removed in &beside.removed {
            text.push_str(&format!("  {} was stale, and is removed\n", removed.display()));
        }
        if !is_same {
            text.push_str(&differences(before.as_deref(), &made.registry));
        }
        print(&text)?;
    }
    if asked.check && is_stale { Err(Failure::said(4)) } else { Ok(()) }
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    published: &'a Published,
    #[serde(flatten)]
    beside: &'a Beside,
}

/// What lies beside the registry file. Whoever syncs a release takes a compressed copy first, so
/// that one of an earlier registry must not stay.
#[derive(Default, Serialize)]
struct Beside {
    /// Files that say something else than the registry file does, or are missing.
    stale: Vec<PathBuf>,
    /// Those that were removed.
    removed: Vec<PathBuf>,
    /// Those of them that nobody asks for.
    #[serde(skip)]
    unwanted: Vec<PathBuf>,
}

impl Beside {
    fn look(path: &Path, text: &str, asked: &IndexFiles) -> Result<Self, Failure> {
        let mut beside = Self::default();
        for ending in ["zst", "gz"] {
            let copy = with_ending(path, &format!(".{ending}"));
            let is_wanted = asked.compress.as_deref() == Some(ending);
            let is_right = match std::fs::read(&copy) {
                Ok(bytes) => says(&copy, &bytes, text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => !is_wanted,
                Err(error) => {
                    return Err(anyhow!("{} cannot be read: {error}", copy.display()).into());
                }
            };
            if !is_right {
                beside.stale.push(copy.clone());
                beside.unwanted.extend((!is_wanted).then_some(copy));
            }
        }
        let difference = with_ending(path, edits::ENDING);
        if !asked.difference && difference.exists() {
            beside.stale.push(difference.clone());
            beside.unwanted.push(difference);
        }
        Ok(beside)
    }

    fn remove(&mut self) -> Result<(), Failure> {
        for path in std::mem::take(&mut self.unwanted) {
            std::fs::remove_file(&path)
                .map_err(|error| anyhow!("{} cannot be removed: {error}", path.display()))?;
            self.removed.push(path);
        }
        Ok(())
    }
}

/// Returns whether a compressed file holds this text.
fn says(path: &Path, bytes: &[u8], text: &str) -> bool {
    let name = path.display().to_string();
    decompress(&name, bytes, text.len() as u64).is_ok_and(|content| content == text.as_bytes())
}

/// Returns a file's path with something more at its end.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Compresses so that the same registry gives the same bytes: without a name and a time.
fn compressed(bytes: &[u8], ending: &str) -> std::io::Result<Vec<u8>> {
    if ending == "zst" {
        return Ok(compress_to_vec(bytes, CompressionLevel::Fastest));
    }
    let mut packed = GzBuilder::new().write(Vec::new(), Compression::best());
    packed.write_all(bytes)?;
    packed.finish()
}

/// Says what is other than in the file that was there, where that can be read.
fn differences(before: Option<&[u8]>, now: &Registry) -> String {
    let before = before.and_then(|bytes| Registry::parse(Publishes::Models, bytes).ok());
    let Some(before) = before else { return String::new() };
    super::differences(&before.difference(now), false)
}
