//! An archive on its way into the cache: all that the registry names, verified.

use crate::{
    Cache, CacheError, Registry, fetch::Observed, library::Archive, location::below, registry::File,
};
use callsheet_sources::{Member, MemberKind, TreeError, UnpackLimits, unpack};
use callsheet_types::Digest;
use std::{
    collections::{HashMap, HashSet},
    io,
    sync::Arc,
};

/// What is done with an archive.
pub(crate) struct Unpacking {
    pub(crate) cache: Cache,
    pub(crate) registry: Arc<Registry>,
    /// What it is fetched for: that something else in it is wrong keeps nobody from these.
    pub(crate) missing: HashSet<u32>,
    /// What errors call it.
    pub(crate) name: String,
    /// Whether all of it is in one folder that is none of the repository's.
    pub(crate) has_top_folder: bool,
    /// The folders that keys may start from, the likeliest first.
    pub(crate) folders: Vec<String>,
    pub(crate) max_file_bytes: u64,
}

/// What an archive gave.
#[derive(Default)]
pub(crate) struct Unpacked {
    pub(crate) observed: Observed,
    /// Missing files that are not what was published.
    pub(crate) wrong: Vec<(String, Digest, Digest)>,
    /// Missing files that are links there.
    pub(crate) links: Vec<String>,
}

/// An archive that could not be taken in.
pub(crate) enum UnpackError {
    /// It is broken, or hostile.
    Archive(TreeError),
    /// The cache failed.
    Cache(CacheError),
}

/// Which of the registry's files a member is.
type Places<'a> = HashMap<String, (u32, &'a File)>;

impl Unpacking {
    /// Takes it in. Blocks.
    pub(crate) fn run(self, mut archive: Archive) -> Result<Unpacked, UnpackError> {
        let limits =
            UnpackLimits { max_member_bytes: self.max_file_bytes, ..UnpackLimits::default() };
        let places = self.places(&mut archive, limits)?;
        let mut batch = self.cache.batch();
        let mut unpacked = Unpacked::default();
        let mut failed = None;
        let mut take = |member: Member<'_>| {
            let Some(&(at, file)) = places.get(member.path.as_str()) else { return Ok(()) };
            let is_missing = self.missing.contains(&at);
            if member.kind != MemberKind::File {
                if is_missing {
                    unpacked.links.push(file.key.to_string());
                }
                return Ok(());
            }
            match batch.put(member.content, file.digest, self.max_file_bytes) {
                Ok((digest, _)) => {
                    if file.digest.is_none() {
                        unpacked.observed.insert(file.key.to_string(), digest);
                    }
                    Ok(())
                }
                Err(CacheError::WrongDigest { expected, got }) => {
                    if is_missing {
                        unpacked.wrong.push((file.key.to_string(), expected, got));
                    }
                    Ok(())
                }
                // What the archive itself does wrong is said by whoever reads it.
                Err(CacheError::Content(cause)) => Err(cause),
                Err(other) => {
                    failed = Some(other);
                    Err(io::Error::other("the cache failed"))
                }
            }
        };
        let visited = unpack(&self.name, archive.file(), self.has_top_folder, limits, &mut take);
        if let Some(error) = failed {
            return Err(UnpackError::Cache(error));
        }
        visited.map_err(UnpackError::Archive)?;
        batch.commit().map_err(UnpackError::Cache)?;
        Ok(unpacked)
    }

    /// Finds out which member is which file: of several folders that a key may start from, the first
    /// in which the archive has it.
    fn places(
        &self,
        archive: &mut Archive,
        limits: UnpackLimits,
    ) -> Result<Places<'_>, UnpackError> {
        let files = || (0..).zip(&self.registry.files);
        if let ([folder], true) = (self.folders.as_slice(), self.has_top_folder) {
            return Ok(files()
                .map(|(at, file)| (below(folder, file.key.as_str()), (at, file)))
                .collect());
        }
        let mut members: HashSet<String> = HashSet::new();
        unpack(&self.name, archive.file(), self.has_top_folder, limits, &mut |member| {
            members.insert(member.path.as_str().to_owned());
            Ok(())
        })
        .map_err(UnpackError::Archive)?;
        let folders = self.all_folders(&members);
        let mut places = Places::with_capacity(self.registry.files.len());
        for (at, file) in files() {
            let mut paths = folders.iter().map(|folder| below(folder, file.key.as_str()));
            if let Some(path) = paths.find(|path| members.contains(path)) {
                places.entry(path).or_insert((at, file));
            }
        }
        Ok(places)
    }

    /// Adds what somebody who packed an archive by hand may have made of the folders: one more
    /// around all, or none at all.
    fn all_folders(&self, members: &HashSet<String>) -> Vec<String> {
        let mut folders = self.folders.clone();
        if self.has_top_folder {
            return folders;
        }
        let tops: HashSet<&str> =
            members.iter().map(|path| path.split_once('/').map_or("", |(top, _)| top)).collect();
        if let (Some(top), 1) = (tops.iter().next().filter(|top| !top.is_empty()), tops.len()) {
            let around = self.folders.iter().map(|folder| below(top, folder));
            folders.extend(around.map(|folder| folder.trim_end_matches('/').to_owned()));
            folders.push((*top).to_owned());
        }
        folders.push(String::new());
        folders
    }
}
