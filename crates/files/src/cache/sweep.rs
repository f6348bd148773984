//! Going through the whole cache: how much there is, whether it is intact, and what can go.
//!
//! Only files with the names that a cache gives are looked at, and no link is followed: whatever
//! else lies in the folder is somebody else's.

use super::{Cache, CacheError, CacheStats, Damaged, Removed, folder, folder::failed, parallel};
use callsheet_types::Digest;
use std::{
    collections::{BTreeSet, HashSet},
    fs::{self, File, Metadata},
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

const DAY: Duration = Duration::from_hours(24);
/// What was not used for so long is derived again when it is wanted.
const DERIVED_FOR: Duration = Duration::from_hours(30 * 24);

/// A file of the cache.
struct Kept {
    digest: Digest,
    bytes: u64,
}

/// A file beside those of the cache: a temporary, partial or derived one.
struct Aside {
    path: PathBuf,
    metadata: Metadata,
}

impl Cache {
    /// Looks into every file; what is damaged is removed unless this is a dry run. `on_file` is told
    /// how many are done, of how many.
    pub fn verify(
        &self,
        dry_run: bool,
        on_file: &dyn Fn(u64, u64),
    ) -> Result<(CacheStats, Vec<Damaged>), CacheError> {
        let kept = self.kept()?;
        let (partial_files, partial_bytes) = self.partial_stats()?;
        let mut stats = CacheStats { partial_files, partial_bytes, ..CacheStats::default() };
        let mut damaged = Vec::new();
        let mut failure = None;
        let (mut done, total) = (0, kept.len() as u64);
        parallel::for_each(
            &kept,
            |kept| self.examine(&kept.digest, dry_run),
            |_, examined| {
                done += 1;
                on_file(done, total);
                match examined {
                    Ok(Examined::Intact(bytes)) => {
                        stats.files += 1;
                        stats.bytes += bytes;
                    }
                    Ok(Examined::Damaged(found)) => damaged.push(found),
                    Ok(Examined::Gone) => {}
                    Err(error) => {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            },
        );
        damaged.sort_unstable_by_key(|damaged| damaged.expected);
        failure.map_or(Ok((stats, damaged)), Err)
    }

    fn examine(&self, digest: &Digest, dry_run: bool) -> Result<Examined, CacheError> {
        let got = match self.open_kept(digest) {
            Ok(None) => return Ok(Examined::Gone),
            Ok(Some((file, _))) => folder::digest_of(file).ok(),
            Err(_) => None,
        };
        match got {
            Some((got, bytes)) if got == *digest => Ok(Examined::Intact(bytes)),
            got => {
                if !dry_run {
                    self.discard(digest)?;
                }
                let got = got.map(|(got, _)| got);
                Ok(Examined::Damaged(Damaged { expected: *digest, got }))
            }
        }
    }

    /// Removes what is not to be kept, what was derived and not used for a month, and downloads that
    /// nobody went on with for a day. Whoever uses the cache meanwhile finds such a file or finds it
    /// missing. What stayed counts the files of the cache alone.
    pub fn gc(&self, keep: &HashSet<Digest>, dry_run: bool) -> Result<Removed, CacheError> {
        let mut removed = self.remove_where(|digest| !keep.contains(digest), dry_run)?;
        let now = SystemTime::now();
        let is_older = |than: Duration, modified: Option<SystemTime>| {
            modified.and_then(|then| now.duration_since(then).ok()).is_some_and(|age| age > than)
        };
        let mut remove = |aside: &Aside| {
            if dry_run || removed_now(&aside.path)? {
                removed.files += 1;
                removed.bytes += aside.metadata.len();
            }
            Ok::<_, CacheError>(())
        };
        for (folder, life) in [(self.temporaries(), DAY), (self.deriveds(), DERIVED_FOR)] {
            for aside in asides(&folder)? {
                if is_older(life, aside.metadata.modified().ok()) {
                    remove(&aside)?;
                }
            }
        }
        let partials = asides(&self.partials())?;
        for aside in &partials {
            // What is noted about a download is as young as the download.
            let name = download_of(&aside.path);
            let belonging = partials.iter().filter(|other| download_of(&other.path) == name);
            let youngest = belonging.filter_map(|other| other.metadata.modified().ok()).max();
            if is_older(DAY, youngest) && !is_locked(&name) {
                remove(aside)?;
            }
        }
        Ok(removed)
    }

    /// Removes these files, as far as they are there.
    pub fn remove(&self, digests: &HashSet<Digest>, dry_run: bool) -> Result<Removed, CacheError> {
        self.remove_where(|digest| digests.contains(digest), dry_run)
    }

    fn remove_where(
        &self,
        is_to_go: impl Fn(&Digest) -> bool,
        dry_run: bool,
    ) -> Result<Removed, CacheError> {
        let mut removed = Removed::default();
        let mut folders = BTreeSet::new();
        for kept in self.kept()? {
            if !is_to_go(&kept.digest) {
                removed.kept_files += 1;
                removed.kept_bytes += kept.bytes;
                continue;
            }
            let path = self.path_of(&kept.digest);
            if dry_run || removed_now(&path)? {
                removed.files += 1;
                removed.bytes += kept.bytes;
            }
            folders.extend(path.parent().map(Path::to_owned));
        }
        if !dry_run {
            // Fails where a folder is not empty, as it should; putting makes it again.
            for folder in folders {
                let _ = fs::remove_dir(folder);
            }
        }
        Ok(removed)
    }

    /// Returns how much there is.
    pub fn stats(&self) -> Result<CacheStats, CacheError> {
        let kept = self.kept()?;
        let (partial_files, partial_bytes) = self.partial_stats()?;
        Ok(CacheStats {
            files: kept.len() as u64,
            bytes: kept.iter().map(|kept| kept.bytes).sum(),
            partial_files,
            partial_bytes,
        })
    }

    fn partial_stats(&self) -> Result<(u64, u64), CacheError> {
        let partials = asides(&self.partials())?;
        let downloads = partials.iter().filter(|aside| download_of(&aside.path) == aside.path);
        Ok(downloads
            .fold((0, 0), |(files, bytes), aside| (files + 1, bytes + aside.metadata.len())))
    }

    /// Returns the files of the cache.
    fn kept(&self) -> Result<Vec<Kept>, CacheError> {
        let mut kept = Vec::new();
        if !is_folder(&self.root.join("files")) {
            // A missing cache is empty; one that cannot be looked into must not seem so.
            read_folder(&self.root)?;
            return Ok(kept);
        }
        for folder in read_folder(&self.files())? {
            let is_ours = folder.file_name().to_str().is_some_and(is_pair);
            if !is_ours || !folder.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            for file in read_folder(&folder.path())? {
                let (pair, name) = (folder.file_name(), file.file_name());
                let (Some(pair), Some(name)) = (pair.to_str(), name.to_str()) else { continue };
                let Ok(digest) = Digest::parse_hex(&format!("{pair}{name}")) else { continue };
                let is_named_so = !name.bytes().any(|byte| byte.is_ascii_uppercase());
                match file.metadata() {
                    Ok(metadata) if is_named_so && metadata.is_file() => {
                        kept.push(Kept { digest, bytes: metadata.len() });
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(failed(&file.path())(error)),
                }
            }
        }
        Ok(kept)
    }
}

enum Examined {
    Intact(u64),
    Damaged(Damaged),
    Gone,
}

fn is_pair(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Returns what a folder holds; of one that is not there, nothing.
fn read_folder(path: &Path) -> Result<Vec<fs::DirEntry>, CacheError> {
    match fs::read_dir(path).and_then(Iterator::collect) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.map_err(failed(path)),
    }
}

/// Returns the files right in a folder of the cache.
fn asides(folder: &Path) -> Result<Vec<Aside>, CacheError> {
    if !is_folder(folder) {
        return Ok(Vec::new());
    }
    let entries = read_folder(folder)?.into_iter().filter_map(|entry| {
        let metadata = entry.metadata().ok().filter(Metadata::is_file)?;
        Some(Aside { path: entry.path(), metadata })
    });
    Ok(entries.collect())
}

/// Returns which download a file beside it belongs to: a note of it ends with `.json`.
fn download_of(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|extension| extension == "json") {
        path.with_extension("")
    } else {
        path.to_owned()
    }
}

/// Returns whether a process goes on with a download right now.
fn is_locked(path: &Path) -> bool {
    let file = File::open(path);
    file.is_ok_and(|file| matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// Removes a file; `false` where somebody else did.
fn removed_now(path: &Path) -> Result<bool, CacheError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(path)(error)),
    }
}
