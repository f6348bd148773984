//! `callsheet files copy`: from the cache of whoever answers into a folder here.

use super::{publishes, resolved};
use crate::{
    api::{Api, Needs},
    args::CopyFiles,
    commands::{print, print_json},
    context::Context,
    failure::Failure,
    progress::Progress,
};
use anyhow::anyhow;
use callsheet_files::{
    Cache, CopyError, Existing, FileSet, Placed, Publishes, ResolveAsked, SyncAsked, SyncReport,
    copy_out,
    lock::{Lock, LockedSet},
};
use callsheet_types::{ByteSize, Digest, FilePath};
use serde::Serialize;
use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// What was copied.
#[derive(Serialize)]
pub(in crate::commands) struct Copied {
    pub(in crate::commands) workspace: PathBuf,
    pub(in crate::commands) models: Vec<String>,
    pub(in crate::commands) written: usize,
    pub(in crate::commands) unchanged: usize,
    pub(in crate::commands) bytes: u64,
}

pub(super) async fn run(context: &Context, asked: &CopyFiles) -> Result<(), Failure> {
    let Some((workspace, addresses)) = asked.places.split_last() else {
        return Err(Failure::usage("name a model and a folder"));
    };
    if addresses.is_empty() && asked.locked.is_none() {
        return Err(Failure::usage(
            "name a model and a folder, such as mf6/test@develop/test001a_Tharmonic ./work",
        ));
    }
    let existing = if asked.force { Existing::Replace } else { Existing::Refuse };
    let wanted = Wanted {
        publishes: publishes(&asked.of).unwrap_or_default(),
        addresses,
        locked: asked.locked.as_deref(),
        workspace: Path::new(workspace),
        existing,
        dry_run: asked.dry_run,
    };
    let copied = wanted.copy(context).await?;
    if context.global.json {
        return print_json(&copied);
    }
    if context.global.quiet {
        return Ok(());
    }
    let word = if asked.dry_run { "would copy" } else { "copied" };
    let unchanged = match copied.unchanged {
        0 => String::new(),
        count => format!(", {count} were there already"),
    };
    let (written, bytes) = (copied.written, ByteSize(copied.bytes));
    let models = match copied.models.as_slice() {
        [model] => model.clone(),
        models => format!("{} models", models.len()),
    };
    print(&format!("{word} {models} to {workspace}: {written} files, {bytes}{unchanged}\n"))
}

/// Copies one model as MODFLOW's command does.
pub(in crate::commands) async fn copied(
    context: &Context,
    publishes: Publishes,
    address: &str,
    workspace: &Path,
) -> Result<Copied, Failure> {
    let wanted = Wanted {
        publishes,
        addresses: &[address.to_owned()],
        locked: None,
        workspace,
        existing: Existing::Replace,
        dry_run: false,
    };
    wanted.copy(context).await
}

struct Wanted<'a> {
    publishes: Publishes,
    addresses: &'a [String],
    locked: Option<&'a Path>,
    workspace: &'a Path,
    existing: Existing,
    dry_run: bool,
}

impl Wanted<'_> {
    async fn copy(&self, context: &Context) -> Result<Copied, Failure> {
        let api = Api::find(context, Needs::Files).await?;
        let sets = match self.locked {
            Some(lock) => self.pinned(context, &api, lock).await?,
            None => self.resolve(context, &api, self.publishes, self.addresses.to_vec()).await?,
        };
        let files = placed_files(&sets)?;
        let models = sets.iter().map(|set| set.address.clone()).collect();
        let workspace = self.workspace.to_owned();
        if self.dry_run {
            let (written, unchanged, bytes) = (files.len(), 0, 0);
            return Ok(Copied { workspace, models, written, unchanged, bytes });
        }
        let cache = context.cache()?;
        let Placed { written, unchanged, bytes } = self.place(&api, &cache, files).await?;
        Ok(Copied { workspace, models, written, unchanged, bytes })
    }

    async fn resolve(
        &self,
        context: &Context,
        api: &Api,
        publishes: Publishes,
        addresses: Vec<String>,
    ) -> Result<Vec<FileSet>, Failure> {
        let (fetch, count) = (!self.dry_run, !self.dry_run);
        let platform = (publishes == Publishes::Programs).then(platform).flatten();
        let asked = ResolveAsked { publishes, addresses, fetch, count, platform };
        resolved(context, api, &asked).await
    }

    /// Returns the sets of a lock file, as they are published now, if they are as they were pinned.
    async fn pinned(
        &self,
        context: &Context,
        api: &Api,
        path: &Path,
    ) -> Result<Vec<FileSet>, Failure> {
        let lock = Lock::read(path)?;
        let mut sets = Vec::new();
        for locked in lock.of_address(path, self.addresses)? {
            self.sync_pinned(context, api, locked).await?;
            let address = vec![locked.pinned_address()];
            let found = self.resolve(context, api, locked.publishes, address).await?;
            for mut set in found {
                locked.compare(&set.files)?;
                // The commit is how it was found; what the person asked for is what it is called.
                set.address.clone_from(&locked.address);
                sets.push(set);
            }
        }
        Ok(sets)
    }

    /// Syncs the pinned commit, where it is not known yet, from the repository that was pinned: the
    /// source may have another one here, or be unknown.
    async fn sync_pinned(
        &self,
        context: &Context,
        api: &Api,
        locked: &LockedSet,
    ) -> Result<(), Failure> {
        let (Some(repo), Some(commit)) = (&locked.repo, &locked.commit) else { return Ok(()) };
        let source = locked.address.split_once('@').map_or(&*locked.address, |(name, _)| name);
        let wanted = SyncAsked {
            publishes: Some(locked.publishes),
            sources: vec![source.to_owned()],
            refs: vec![commit.clone()],
            repo: Some(repo.clone()),
            only_missing: true,
            ..SyncAsked::default()
        };
        let progress = Progress::start(context, "syncing");
        let report: SyncReport =
            api.work("/api/v1/files/sync", &wanted, |step| progress.step(&step)).await?;
        drop(progress);
        let Some(failed) = report.failed.into_iter().next() else { return Ok(()) };
        let failure = Failure::new(anyhow!("{}", failed.error));
        Err(match failed.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        })
    }

    /// Copies; what only the daemon's cache has comes here first.
    async fn place(
        &self,
        api: &Api,
        cache: &Cache,
        files: Vec<(FilePath, Digest)>,
    ) -> Result<Placed, Failure> {
        for (_, digest) in &files {
            if !cache.has(digest) {
                take_over(api, cache, digest).await?;
            }
        }
        match self.copy_out(cache, files.clone()).await {
            // One of them was damaged here, and is gone now: it alone comes again.
            Err(CopyError::Missing(_)) => {
                for (_, digest) in &files {
                    if !cache.has(digest) {
                        take_over(api, cache, digest).await?;
                    }
                }
                Ok(self.copy_out(cache, files).await?)
            }
            Err(error @ CopyError::WouldReplace { .. }) => {
                Err(Failure::new(error).hint("nothing was copied; --force replaces them"))
            }
            placed => Ok(placed?),
        }
    }

    async fn copy_out(
        &self,
        cache: &Cache,
        files: Vec<(FilePath, Digest)>,
    ) -> Result<Placed, CopyError> {
        let (cache, workspace, existing) =
            (cache.clone(), self.workspace.to_owned(), self.existing);
        let copied =
            tokio::task::spawn_blocking(move || copy_out(&cache, &files, &workspace, existing));
        copied.await.unwrap_or_else(|_| Err(CopyError::Missing(Vec::new())))
    }
}

/// Returns what those who release MODFLOW's programs call this machine's platform.
fn platform() -> Option<String> {
    let name = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "linux",
        ("macos", "aarch64") => "macarm",
        ("macos", _) => "mac",
        ("windows", "x86") => "win32",
        ("windows", _) => "win64",
        _ => return None,
    };
    Some(name.to_owned())
}

async fn take_over(api: &Api, cache: &Cache, digest: &Digest) -> Result<(), Failure> {
    let (cache, expected) = (cache.clone(), *digest);
    let path = format!("/api/v1/files/blobs/{digest}");
    let keep = move |content: &mut dyn Read| cache.put(content, Some(expected), u64::MAX);
    api.download(&path, keep).await??;
    Ok(())
}

/// Returns what goes where: one model's files directly into the folder, several models' each into
/// one of their own.
fn placed_files(sets: &[FileSet]) -> Result<Vec<(FilePath, Digest)>, Failure> {
    let mut files = Vec::new();
    for set in sets {
        let folder = match sets {
            [_] => String::new(),
            _ => {
                let path = set.address.split_once('@').map_or("", |(_, rest)| rest);
                let path = path.split_once('/').map_or(path, |(_, path)| path);
                format!("{path}/")
            }
        };
        for file in &set.files {
            let digest = file
                .digest
                .ok_or_else(|| anyhow!("{} of {} is not known", file.key, set.address))?;
            files.push((FilePath::new(&format!("{folder}{}", file.path))?, digest));
        }
    }
    Ok(files)
}
