//! `callsheet files copy`: from the cache of whoever answers into a folder here.

use super::{
    places::{placed_files, places},
    publishes, resolved,
};
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
    UsageAsked, copy_out,
    lock::{Lock, LockedSet},
};
use callsheet_server::Counted;
use callsheet_types::{ByteSize, Digest, FilePath};
use http::Method;
use serde::Serialize;
use std::{
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

/// Nobody waits long for what is only counted.
const SHORT: Duration = Duration::from_secs(5);

/// What was copied.
#[derive(Serialize)]
pub(in crate::commands) struct Copied {
    pub(in crate::commands) workspace: PathBuf,
    pub(in crate::commands) models: Vec<String>,
    pub(in crate::commands) written: usize,
    pub(in crate::commands) unchanged: usize,
    /// Files that may be there already: of a dry run, where nobody knows what is published.
    #[serde(skip_serializing_if = "is_zero")]
    pub(in crate::commands) unknown: usize,
    /// All bytes; unknown of a dry run whose files are not all at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) bytes: Option<u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
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
    let unknown = match copied.unknown {
        0 => String::new(),
        count => format!(", {count} are there, perhaps with other content"),
    };
    let written = copied.written;
    let bytes = copied.bytes.map(|bytes| format!(", {}", ByteSize(bytes))).unwrap_or_default();
    let models = match copied.models.as_slice() {
        [model] => model.clone(),
        models => format!("{} models", models.len()),
    };
    print(&format!("{word} {models} to {workspace}: {written} files{bytes}{unchanged}{unknown}\n"))
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
        let models: Vec<_> = sets.iter().map(|set| set.address.clone()).collect();
        let workspace = self.workspace.to_owned();
        let cache = context.cache()?;
        if self.dry_run {
            let files = places(&sets)?;
            let (existing, to) = (self.existing, workspace.clone());
            let looked = tokio::task::spawn_blocking(move || would(&cache, files, &to, existing));
            let (Placed { written, unchanged, .. }, unknown, bytes) = looked.await??;
            return Ok(Copied { workspace, models, written, unchanged, unknown, bytes });
        }
        let files = placed_files(&sets)?;
        let Placed { written, unchanged, bytes } = self.place(&api, &cache, files).await?;
        count(&api, &models).await;
        Ok(Copied { workspace, models, written, unchanged, unknown: 0, bytes: Some(bytes) })
    }

    async fn resolve(
        &self,
        context: &Context,
        api: &Api,
        publishes: Publishes,
        addresses: Vec<String>,
    ) -> Result<Vec<FileSet>, Failure> {
        let (fetch, dry_run) = (!self.dry_run, self.dry_run);
        let platform = (publishes == Publishes::Programs).then(platform).flatten();
        let asked = ResolveAsked { publishes, addresses, fetch, dry_run, platform };
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
            if !self.dry_run {
                self.sync_pinned(context, api, locked).await?;
            }
            let address = vec![locked.pinned_address()];
            let found = self.resolve(context, api, locked.publishes, address).await?;
            for mut set in found {
                if self.dry_run {
                    locked.complete(&mut set.files);
                }
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
            placed => Ok(placed.map_err(refused)?),
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

/// Returns what a copy would do: how many files it would write and leave alone, of how many nobody
/// knows, and all bytes where they are known. Nothing is written. Blocks.
fn would(
    cache: &Cache,
    files: Vec<(FilePath, Option<Digest>)>,
    workspace: &Path,
    existing: Existing,
) -> Result<(Placed, usize, Option<u64>), Failure> {
    let (mut known, mut unknown, mut new) = (Vec::new(), 0, 0);
    for (path, digest) in files {
        match digest {
            Some(digest) => known.push((path, digest)),
            None if workspace.join(&path).symlink_metadata().is_ok() => unknown += 1,
            None => new += 1,
        }
    }
    let mut bytes = (unknown + new == 0).then_some(0);
    for (path, digest) in &known {
        let here = || workspace.join(path).symlink_metadata().ok().map(|found| found.len());
        let length = cache.length_of(digest).or_else(here);
        bytes = bytes.zip(length).map(|(sum, length)| sum + length);
    }
    let (mut written, mut unchanged) = (new, 0);
    if !known.is_empty() {
        // Out of a cache that has nothing, a copy looks at everything and names what it misses,
        // before it writes anything.
        let nothing = Cache::open(&cache.root().join("nothing"));
        match copy_out(&nothing, &known, workspace, existing) {
            Ok(placed) => unchanged = placed.unchanged,
            Err(CopyError::Missing(missing)) => {
                written += missing.len();
                known.sort();
                known.dedup();
                unchanged = known.len() - missing.len();
            }
            Err(error) => return Err(refused(error)),
        }
    }
    Ok((Placed { written, unchanged, bytes: bytes.unwrap_or_default() }, unknown, bytes))
}

/// Says what may be done where files of the workspace would be lost.
fn refused(error: CopyError) -> Failure {
    let is_theirs = matches!(error, CopyError::WouldReplace { .. });
    let failure = Failure::new(error);
    if is_theirs { failure.hint("nothing was copied; --force replaces them") } else { failure }
}

/// Says what was copied to whoever counts it. That this fails is no reason to fail the copy.
async fn count(api: &Api, models: &[String]) {
    let copied = UsageAsked { addresses: models.to_vec() };
    let counted: Result<Counted, Failure> =
        api.send_within(SHORT, Method::POST, "/api/v1/files/usage", Some(&copied)).await;
    if let Err(error) = counted {
        tracing::debug!(%error, "the copy is not counted");
    }
}
