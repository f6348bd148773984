//! A repository: commits, refs and releases, all of which a test may change at any time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::archive::{self, ArchiveKind};
use super::tree::{FakeTree, sha256};
use super::{Shared, State};

/// A repository of a [`FakeGitHub`](super::FakeGitHub); clones are the same repository.
#[derive(Clone, Debug)]
pub struct FakeRepository {
    pub(super) shared: Arc<Shared>,
    pub(super) name: String,
}

impl FakeRepository {
    /// Returns `owner/name`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes a commit of exactly these files and returns its id: 40 hex digits that follow from the
    /// files and the commit that was made before. No ref points to it yet.
    pub fn commit<P: Into<String>, C: Into<Bytes>>(
        &self,
        files: impl IntoIterator<Item = (P, C)>,
    ) -> String {
        self.commit_tree(files.into_iter().collect())
    }

    /// Makes a commit of everything in a real folder, below `prefix` (which may be empty).
    ///
    /// # Panics
    /// When the folder cannot be read.
    pub fn commit_from_dir(&self, prefix: &str, folder: &Path) -> String {
        self.commit_tree(FakeTree::new().dir(prefix, folder))
    }

    /// Makes a commit of a tree; see [`FakeRepository::tree`] for one to start from.
    pub fn commit_tree(&self, tree: FakeTree) -> String {
        self.change(|repository, _| repository.commit(tree))
    }

    /// Returns the files of a commit.
    ///
    /// # Panics
    /// When there is no such commit.
    pub fn tree(&self, commit: &str) -> FakeTree {
        self.change(|repository, _| FakeTree::clone(&repository.known(commit).tree))
    }

    /// Makes or moves a branch.
    ///
    /// # Panics
    /// When there is no such commit.
    pub fn branch(&self, name: &str, commit: &str) {
        self.change(|repository, _| {
            let commit = repository.known(commit).id.clone();
            repository.branches.insert(name.to_owned(), commit);
        });
    }

    /// Deletes a branch.
    pub fn delete_branch(&self, name: &str) {
        self.change(|repository, _| repository.branches.remove(name));
    }

    /// Makes or moves a lightweight tag.
    ///
    /// # Panics
    /// When there is no such commit.
    pub fn tag(&self, name: &str, commit: &str) {
        self.change(|repository, _| {
            let commit = repository.known(commit).id.clone();
            repository.tags.insert(name.to_owned(), Tag { commit, object: None });
        });
    }

    /// Makes or moves an annotated tag, which is an object of its own that names the commit.
    ///
    /// # Panics
    /// When there is no such commit.
    pub fn annotated_tag(&self, name: &str, commit: &str) {
        self.change(|repository, _| {
            let commit = repository.known(commit).id.clone();
            let object = sha256(format!("tag {name} {commit}").as_bytes())[..40].to_owned();
            repository.tags.insert(name.to_owned(), Tag { commit, object: Some(object) });
        });
    }

    /// Deletes a tag; a release of that name stays.
    pub fn delete_tag(&self, name: &str) {
        self.change(|repository, _| repository.tags.remove(name));
    }

    /// Publishes a release with these assets. One that exists is deleted first, so that all ids are
    /// new. As GitHub does, this tags the latest commit where there is no such tag yet.
    pub fn release<N: Into<String>, C: Into<Bytes>>(
        &self,
        tag: &str,
        assets: impl IntoIterator<Item = (N, C)>,
    ) {
        self.change(|repository, clock| {
            let id = clock.tick();
            let mut release = Release { id, assets: BTreeMap::new() };
            for (name, content) in assets {
                release.assets.insert(name.into(), Asset::new(clock, content.into()));
            }
            repository.releases.insert(tag.to_owned(), release);
            if let Some(commit) = repository.latest.clone() {
                let tags = &mut repository.tags;
                tags.entry(tag.to_owned()).or_insert(Tag { commit, object: None });
            }
        });
    }

    /// Adds an asset to a release, or replaces it by one with another id.
    ///
    /// # Panics
    /// When there is no such release.
    pub fn asset(&self, tag: &str, name: &str, content: impl Into<Bytes>) {
        let content = content.into();
        self.change(|repository, clock| {
            let release = repository.releases.get_mut(tag).expect("a release of this tag");
            release.assets.insert(name.to_owned(), Asset::new(clock, content));
        });
    }

    /// Deletes an asset.
    pub fn delete_asset(&self, tag: &str, name: &str) {
        self.change(|repository, _| {
            repository.releases.get_mut(tag).and_then(|release| release.assets.remove(name))
        });
    }

    /// Deletes a release; its tag stays.
    pub fn delete_release(&self, tag: &str) {
        self.change(|repository, _| repository.releases.remove(tag));
    }

    /// Hides the repository from whoever does not bring this token.
    pub fn set_private(&self, token: &str) {
        self.change(|repository, _| repository.token = Some(token.to_owned()));
    }

    /// Shows the repository to everybody.
    pub fn set_public(&self) {
        self.change(|repository, _| repository.token = None);
    }

    /// Serves these bytes as an archive of a commit, whatever they are.
    ///
    /// # Panics
    /// When there is no such commit.
    pub fn set_archive(&self, commit: &str, kind: ArchiveKind, content: impl Into<Bytes>) {
        let content = content.into();
        self.change(|repository, _| {
            let id = repository.known(commit).id.clone();
            if let Some(commit) = repository.commits.get_mut(&id) {
                let mut changed = Commit::clone(commit);
                changed.overrides[kind as usize] = Some(content);
                *commit = Arc::new(changed);
            }
        });
    }

    /// Packs an archive of a commit now instead of with the first request for it.
    ///
    /// # Panics
    /// When there is no such commit.
    pub fn archive(&self, commit: &str, kind: ArchiveKind) -> Bytes {
        let (commit, top) = self.change(|repository, _| {
            let commit = Arc::clone(repository.known(commit));
            let top = repository.top(&commit);
            (commit, top)
        });
        commit.archive(kind, &top)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Repository, &mut Clock) -> T) -> T {
        self.shared.change(|state| {
            let State { repositories, clock, .. } = state;
            let repository = repositories.entry(self.name.to_ascii_lowercase()).or_default();
            change(repository, clock)
        })
    }
}

/// Gives ids and times that only ever go up.
#[derive(Debug, Default)]
pub(super) struct Clock(u64);

impl Clock {
    pub(super) fn tick(&mut self) -> u64 {
        self.0 += 1;
        1_000 + self.0
    }
}

#[derive(Debug, Default)]
pub(super) struct Repository {
    /// `owner/name` as it was made.
    pub(super) name: String,
    /// What a request must bring; `None` for a public repository.
    pub(super) token: Option<String>,
    pub(super) branches: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, Tag>,
    pub(super) releases: BTreeMap<String, Release>,
    commits: BTreeMap<String, Arc<Commit>>,
    latest: Option<String>,
}

#[derive(Debug)]
pub(super) struct Tag {
    pub(super) commit: String,
    /// The id of an annotated tag's own object.
    pub(super) object: Option<String>,
}

#[derive(Debug)]
pub(super) struct Release {
    pub(super) id: u64,
    pub(super) assets: BTreeMap<String, Asset>,
}

#[derive(Debug)]
pub(super) struct Asset {
    pub(super) id: u64,
    pub(super) updated_at: String,
    pub(super) content: Bytes,
    pub(super) digest: String,
}

impl Asset {
    fn new(clock: &mut Clock, content: Bytes) -> Self {
        let id = clock.tick();
        let (minutes, seconds) = (id / 60, id % 60);
        let (hours, minutes) = (minutes / 60, minutes % 60);
        let (days, hours) = (hours / 24, hours % 24);
        let updated_at = format!("2026-01-{:02}T{hours:02}:{minutes:02}:{seconds:02}Z", 1 + days);
        let digest = sha256(&content);
        Self { id, updated_at, content, digest }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) id: String,
    pub(super) tree: Arc<FakeTree>,
    /// Packed when first asked for, one place for each kind.
    archives: [Arc<OnceLock<Bytes>>; 2],
    /// What is served instead.
    overrides: [Option<Bytes>; 2],
}

impl Commit {
    /// Returns an archive; packing one takes a while.
    pub(super) fn archive(&self, kind: ArchiveKind, top: &str) -> Bytes {
        if let Some(content) = &self.overrides[kind as usize] {
            return content.clone();
        }
        let packed = &self.archives[kind as usize];
        packed.get_or_init(|| archive::pack(&self.tree, kind, top, Some(&self.id))).clone()
    }

    /// Returns the entity tag of an archive, which is known before it is packed.
    pub(super) fn archive_etag(&self, kind: ArchiveKind) -> String {
        match &self.overrides[kind as usize] {
            Some(content) => sha256(content),
            None => sha256(format!("{kind:?} {}", self.id).as_bytes()),
        }
    }
}

impl Repository {
    fn commit(&mut self, tree: FakeTree) -> String {
        let mut text = format!("parent {}\n", self.latest.as_deref().unwrap_or_default());
        for (path, entry) in &tree.entries {
            text.push_str(&format!("{:?} {} {path}\n", entry.kind, entry.digest));
        }
        let id = sha256(text.as_bytes())[..40].to_owned();
        let commit = Commit {
            id: id.clone(),
            tree: Arc::new(tree),
            archives: Default::default(),
            overrides: Default::default(),
        };
        self.commits.insert(id.clone(), Arc::new(commit));
        self.latest = Some(id.clone());
        id
    }

    fn known(&self, commit: &str) -> &Arc<Commit> {
        self.commits.get(commit).unwrap_or_else(|| panic!("{} has no commit {commit}", self.name))
    }

    /// Returns the name of the one folder at the top of an archive.
    pub(super) fn top(&self, commit: &Commit) -> String {
        format!("{}-{}", self.name.replace('/', "-"), &commit.id[..7])
    }

    /// Returns what a name stands for, in git's order: a whole hash, a ref by its path, a tag, a
    /// branch, the beginning of a hash.
    pub(super) fn resolve(&self, name: &str) -> Option<&Arc<Commit>> {
        if let Some(commit) = self.commits.get(name) {
            return Some(commit);
        }
        let path = name.strip_prefix("refs/").unwrap_or(name);
        let by_path = match path.split_once('/') {
            Some(("tags", tag)) => self.tags.get(tag).map(|tag| &tag.commit),
            Some(("heads", branch)) => self.branches.get(branch),
            _ => None,
        };
        let id = by_path
            .or_else(|| self.tags.get(name).map(|tag| &tag.commit))
            .or_else(|| self.branches.get(name));
        match id {
            Some(id) => self.commits.get(id),
            None => self.by_prefix(name),
        }
    }

    /// Returns whether a name is the whole path of a ref already.
    pub(super) fn is_path(&self, name: &str) -> bool {
        let branch = name.strip_prefix("refs/heads/").map(|name| self.branches.contains_key(name));
        let tag = name.strip_prefix("refs/tags/").map(|name| self.tags.contains_key(name));
        branch.or(tag).unwrap_or(false)
    }

    /// Returns whether nothing was ever committed.
    pub(super) fn is_empty(&self) -> bool {
        self.latest.is_none()
    }

    /// Returns the one commit whose hash begins so.
    fn by_prefix(&self, prefix: &str) -> Option<&Arc<Commit>> {
        if prefix.len() < 4 || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let prefix = prefix.to_ascii_lowercase();
        let mut found = self
            .commits
            .range(prefix.clone()..)
            .take_while(|(id, _)| id.starts_with(&prefix))
            .map(|(_, commit)| commit);
        found.next().filter(|_| found.next().is_none())
    }
}
