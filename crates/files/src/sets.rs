//! From an address to the files that it means.

use crate::{
    FilesError, Library, OnProgress, Registry,
    address::{Address, Split, splits},
    fetch::{digest_of, registry_roots},
    published::FileRef,
    registry::{Model, Publishes},
    source::FileSource,
    sync::{Outcome, SyncAsked},
};
use callsheet_types::{Digest, FilePath, GitRef, Repository};
use globset::GlobBuilder;
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, sync::Arc};

/// The files of one model at one ref.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FileSet {
    /// Its address, in the form that can be read in one way only.
    pub address: String,
    /// What its source publishes.
    pub publishes: Publishes,
    /// The source's key.
    pub source: String,
    /// The ref.
    pub reference: GitRef,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<Repository>,
    /// The commit, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The registry that says so.
    pub registry: String,
    /// The model's name.
    pub model: String,
    /// The folder that its files' paths start from.
    pub folder: String,
    /// The files.
    pub files: Vec<SetFile>,
}

/// A file of a set.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SetFile {
    /// Its path in the model's folder.
    pub path: FilePath,
    /// Its key in the registry.
    pub key: FilePath,
    /// Its digest; unknown of one whose registry says none, until it was fetched.
    pub digest: Option<Digest>,
    /// Whether its registry says the digest, so that it is what was published.
    pub is_verified: bool,
}

/// What is meant.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResolveAsked {
    /// What it is of.
    pub publishes: Publishes,
    /// The addresses; a last part with `*` or `?` in it means all that match.
    pub addresses: Vec<String>,
    /// Has the files in the cache afterwards.
    pub fetch: bool,
    /// Syncs and fetches nothing: a ref that is not synced is an error.
    pub dry_run: bool,
    /// Of a program that is named without a platform, only what is for this one, if there is such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

/// An address whose source and ref are known and synced.
pub(crate) struct Located {
    pub(crate) found: FileRef,
    pub(crate) registry: Arc<Registry>,
    pub(crate) models: Vec<Model>,
}

impl Library {
    /// Returns the sets that addresses mean, in their order, each once. A ref that is not synced yet
    /// is synced, unless this is a dry run.
    pub async fn resolve(
        &self,
        asked: &ResolveAsked,
        actor: &str,
        on_progress: OnProgress<'_>,
    ) -> Result<Vec<FileSet>, FilesError> {
        let mut sets: Vec<FileSet> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        for text in &asked.addresses {
            let syncs_as = (!asked.dry_run).then_some(actor);
            let mut located = self.locate(asked.publishes, text, syncs_as, on_progress).await?;
            if let Some(platform) = asked.platform.as_deref().filter(|_| !is_pattern(text)) {
                keep_platform(&mut located, platform);
            }
            let (found, registry) = (&located.found, &located.registry);
            let mut wanted: Vec<u32> = Vec::new();
            if asked.fetch && !asked.dry_run {
                wanted.extend(located.models.iter().flat_map(|model| model.files.iter().copied()));
                self.ensure(found, registry, &wanted, on_progress).await?;
            }
            let observed = self.observed(found);
            for model in &located.models {
                let set = self.set(found, registry, model, &observed)?;
                if seen.insert(set.address.clone()) {
                    sets.push(set);
                }
            }
        }
        Ok(sets)
    }

    fn set(
        &self,
        found: &FileRef,
        registry: &Registry,
        model: &Model,
        observed: &std::collections::BTreeMap<String, Digest>,
    ) -> Result<FileSet, FilesError> {
        let folder = folder(registry, model);
        let mut files = Vec::with_capacity(model.files.len());
        for file in registry.files_of(model) {
            let path = file.key.below(&folder).unwrap_or(file.key.as_str());
            let path = FilePath::new(path).map_err(|error| FilesError::Registry {
                address: found.address(),
                url: found.url.clone(),
                cause: error.into(),
            })?;
            files.push(SetFile {
                path,
                key: file.key.clone(),
                digest: digest_of(file, observed),
                is_verified: file.digest.is_some(),
            });
        }
        let mut called = found.clone();
        match self.source(found.publishes(), &found.name) {
            // Its name means another source, or nobody knows which.
            Ok(source) if source.key != found.source => called.name.clone_from(&found.source),
            Err(FilesError::Ambiguous { .. }) => called.name.clone_from(&found.source),
            _ => {}
        }
        Ok(FileSet {
            address: called.canonical(short_name(&found.name, &model.name)),
            publishes: found.publishes(),
            source: found.source.clone(),
            reference: found.reference.clone(),
            repo: found.spec.repo.clone(),
            commit: found.found.commit().map(str::to_owned),
            registry: found.registry.clone(),
            model: model.name.to_string(),
            folder,
            files,
        })
    }

    /// Finds source, ref and models of an address. A ref that is not synced is, in somebody's name;
    /// where nobody is named, nothing is.
    pub(crate) async fn locate(
        &self,
        publishes: Publishes,
        text: &str,
        syncs_as: Option<&str>,
        on_progress: OnProgress<'_>,
    ) -> Result<Located, FilesError> {
        match Address::parse(text)? {
            Address::At { source, rest } => {
                if publishes == Publishes::Programs && self.source(publishes, &source).is_err() {
                    return self.program(&source, &rest, syncs_as, on_progress).await;
                }
                let source = self.source_or_synced(publishes, &source).await?;
                self.at(&source, text, splits(&rest), syncs_as, on_progress).await
            }
            Address::Plain(name) => self.plain(publishes, &name, syncs_as, on_progress).await,
        }
    }

    /// A source that is no longer configured, or never was, may still be synced.
    async fn source_or_synced(
        &self,
        publishes: Publishes,
        name: &str,
    ) -> Result<FileSource, FilesError> {
        match self.source(publishes, name) {
            Ok(source) => Ok(source.clone()),
            Err(error @ FilesError::Ambiguous { .. }) => Err(error),
            Err(error) => {
                let refs = self.all_refs(publishes).await?;
                let found =
                    refs.into_iter().find(|found| found.source == name || found.name == name);
                found.map(|found| found.source(None)).ok_or(error)
            }
        }
    }

    async fn all_refs(&self, publishes: Publishes) -> Result<Vec<FileRef>, FilesError> {
        let library = self.clone();
        let refs = tokio::task::spawn_blocking(move || library.refs(Some(publishes)));
        refs.await.map_err(|_| FilesError::CutOff)?
    }

    /// Reads ref and path by what is known of a source.
    async fn at(
        &self,
        source: &FileSource,
        text: &str,
        readings: Vec<Split>,
        syncs_as: Option<&str>,
        on_progress: OnProgress<'_>,
    ) -> Result<Located, FilesError> {
        let publishes = source.spec.publishes;
        let synced = self.all_refs(publishes).await?;
        let is_synced = |reference: &GitRef| {
            synced.iter().any(|found| found.source == source.key && found.reference == *reference)
        };
        let is_known =
            |reference: &GitRef| source.spec.refs.contains(reference) || is_synced(reference);
        let known: Vec<&Split> =
            readings.iter().filter(|split| is_known(&split.reference)).collect();
        let mut hits = Vec::new();
        let mut miss = None;
        for split in &known {
            match self.models_at(source, split, syncs_as, on_progress).await {
                Ok(located) => hits.push((located, split.reference.clone(), split.path.clone())),
                Err(error @ FilesError::NoModel { .. }) if known.len() > 1 => miss = Some(error),
                Err(error) => return Err(error),
            }
        }
        if hits.len() > 1 {
            let readings = hits
                .iter()
                .map(|(_, reference, path)| crate::address::unmistakable(source, reference, path));
            return Err(FilesError::Ambiguous {
                text: text.to_owned(),
                readings: readings.collect(),
            });
        }
        if let Some((located, ..)) = hits.pop() {
            return Ok(located);
        }
        if let Some(miss) = miss {
            return Err(miss);
        }
        // Nobody knows the ref yet: the shortest that there is.
        let mut first = None;
        for split in readings.iter().take(MOST_READINGS) {
            match self.models_at(source, split, syncs_as, on_progress).await {
                Err(
                    error @ (FilesError::NoRef { .. }
                    | FilesError::OfflineNotSynced { .. }
                    | FilesError::NotSynced { .. }
                    | FilesError::NoRegistryFile { .. }),
                ) => {
                    first.get_or_insert(error);
                }
                other => return other,
            }
        }
        Err(first.unwrap_or_else(|| FilesError::NoRefs(source.name.clone())))
    }

    /// Returns what is synced of a source at a ref. At a commit that a synced branch or tag was
    /// found at, that is the same, and nobody has to be asked. Blocks.
    pub(crate) fn known_at(
        &self,
        source: &FileSource,
        reference: &GitRef,
    ) -> Result<Option<FileRef>, FilesError> {
        let publishes = source.spec.publishes;
        let synced = self.synced(publishes, &source.key, reference)?;
        // What the source published before it was configured otherwise is not what it does now.
        if let Some(found) = synced.filter(|found| found.is_of(source)) {
            return Ok(Some(found));
        }
        let is_it = |found: &FileRef| {
            found.source == source.key
                && found.is_of(source)
                && found.found.commit().is_some_and(|commit| {
                    commit.len() == reference.as_str().len()
                        && commit.eq_ignore_ascii_case(reference.as_str())
                })
        };
        let found = self.refs(Some(publishes))?.into_iter().find(is_it);
        Ok(found.map(|found| FileRef { reference: reference.clone(), ..found }))
    }

    async fn models_at(
        &self,
        source: &FileSource,
        split: &Split,
        syncs_as: Option<&str>,
        on_progress: OnProgress<'_>,
    ) -> Result<Located, FilesError> {
        let publishes = source.spec.publishes;
        let (library, wanted, reference) = (self.clone(), source.clone(), split.reference.clone());
        let found = tokio::task::spawn_blocking(move || library.known_at(&wanted, &reference));
        let found = if let Some(found) = found.await.map_err(|_| FilesError::CutOff)?? {
            found
        } else {
            let Some(actor) = syncs_as else {
                let address = format!("{}@{}", source.name, split.reference);
                return Err(FilesError::NotSynced { address, publishes });
            };
            let asked = SyncAsked { publishes: Some(publishes), ..SyncAsked::default() };
            match self.sync_one(source, &split.reference, &asked, actor, on_progress).await? {
                Outcome::Synced(_, found) | Outcome::Skipped(found, _) => *found,
            }
        };
        let registry = self.registry_of(&found).await?;
        let roots = registry_roots(&found, &self.source_of(&found), &registry);
        let models = matching(&registry, &found.name, &roots, &split.path);
        if models.is_empty() {
            let near = near(&registry, &found, &split.path);
            return Err(FilesError::NoModel {
                path: split.path.clone(),
                address: Some(found.address()),
                near,
            });
        }
        Ok(Located { found, registry, models })
    }

    /// Reads a name without a ref: a source's first ref and a path, or whatever is synced under it.
    async fn plain(
        &self,
        publishes: Publishes,
        name: &str,
        syncs_as: Option<&str>,
        on_progress: OnProgress<'_>,
    ) -> Result<Located, FilesError> {
        let path_in = |prefix: &str| {
            let rest = name.strip_prefix(prefix)?;
            (rest.is_empty() || rest.starts_with('/'))
                .then(|| rest.trim_start_matches('/').to_owned())
        };
        let mut sources: Vec<(&FileSource, String, usize)> = Vec::new();
        for source in self.sources_of(Some(publishes)) {
            for prefix in [&source.name, &source.key] {
                if let Some(path) = path_in(prefix) {
                    sources.push((source, path, prefix.len()));
                    break;
                }
            }
        }
        // Of sources where one's name begins with the other's, the longer one is meant.
        sources.sort_by_key(|(_, _, length)| std::cmp::Reverse(*length));
        let alike: Vec<_> = sources
            .iter()
            .take_while(|(_, _, length)| *length == sources[0].2)
            .map(|(source, ..)| *source)
            .collect();
        let meant = crate::library::one_of(name, &alike)?;
        let is_meant = |(source, ..): &&(&FileSource, String, usize)| {
            meant.is_some_and(|meant| meant.key == source.key)
        };
        if let Some((source, path, _)) = sources.iter().find(is_meant) {
            let synced = self.all_refs(publishes).await?;
            let is_synced = |reference: &&GitRef| {
                synced
                    .iter()
                    .any(|found| found.source == source.key && found.reference == **reference)
            };
            let any = synced
                .iter()
                .find(|found| found.source == source.key)
                .map(|found| &found.reference);
            let first = source.spec.refs.first();
            // What is switched off may still be synced, and what is first may not be, offline.
            let offline = self.http.is_offline();
            let reference = match first {
                Some(first) if !offline || is_synced(&first) => Some(first),
                _ => source.spec.refs.iter().find(is_synced).or(any).or(first),
            };
            let reference =
                reference.ok_or_else(|| FilesError::NoRefs(source.name.clone()))?.clone();
            let split = Split { reference, path: path.clone() };
            return self.models_at(source, &split, syncs_as, on_progress).await;
        }
        let mut hits = Vec::new();
        let mut near_names = Vec::new();
        for found in self.all_refs(publishes).await? {
            let registry = self.registry_of(&found).await?;
            let models = matching(&registry, &found.name, &[], name);
            if models.is_empty() {
                near_names.extend(near(&registry, &found, name));
            } else {
                hits.push(Located { found, registry, models });
            }
        }
        let is_one_source = hits.iter().all(|hit| hit.found.source == hits[0].found.source);
        if hits.len() > 1 && !is_one_source {
            let readings = hits
                .iter()
                .map(|hit| hit.found.canonical(short_name(&hit.found.name, &hit.models[0].name)));
            return Err(FilesError::Ambiguous {
                text: name.to_owned(),
                readings: readings.collect(),
            });
        }
        let configured =
            hits.first().and_then(|hit| self.sources.get(&(publishes, hit.found.source.clone())));
        let order = |hit: &Located| {
            let refs = configured.map(|source| source.spec.refs.as_slice()).unwrap_or_default();
            refs.iter()
                .position(|reference| *reference == hit.found.reference)
                .unwrap_or(usize::MAX)
        };
        hits.sort_by_key(order);
        if hits.is_empty() {
            near_names.sort();
            near_names.dedup();
            near_names.truncate(MOST_NEAR);
            return Err(FilesError::NoModel {
                path: name.to_owned(),
                address: None,
                near: near_names,
            });
        }
        Ok(hits.remove(0))
    }

    /// Finds a program by its name, which is the same whoever releases it.
    async fn program(
        &self,
        program: &str,
        version: &str,
        syncs_as: Option<&str>,
        on_progress: OnProgress<'_>,
    ) -> Result<Located, FilesError> {
        let (version, dist) = version.split_once('/').unwrap_or((version, ""));
        let reference =
            GitRef::new(version).map_err(|error| FilesError::Question(error.to_string()))?;
        let path = if dist.is_empty() { program.to_owned() } else { format!("{program}/{dist}") };
        let sources: Vec<_> = self.sources_of(Some(Publishes::Programs)).cloned().collect();
        let mut last = None;
        for source in sources {
            let split = Split { reference: reference.clone(), path: path.clone() };
            match self.models_at(&source, &split, syncs_as, on_progress).await {
                Ok(located) => return Ok(located),
                Err(
                    error @ (FilesError::NoModel { .. }
                    | FilesError::NoRef { .. }
                    | FilesError::OfflineNotSynced { .. }
                    | FilesError::NotSynced { .. }),
                ) => {
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| FilesError::NoSource {
            name: program.to_owned(),
            known: self.known(Publishes::Programs),
        }))
    }
}

const MOST_NEAR: usize = 5;

/// Refs that are asked for because an address may mean them; few have so many slashes.
const MOST_READINGS: usize = 6;

/// Returns the models that a path means, in the order in which they are published.
///
/// The path may be a model's or an example's name, with or without the source's name or the
/// repository's folder before it, a model's folder, or a pattern of these.
pub(crate) fn matching(
    registry: &Registry,
    source: &str,
    roots: &[String],
    path: &str,
) -> Vec<Model> {
    let mut names = vec![path.to_owned(), format!("{source}/{path}")];
    let shorter = |prefix: &str| {
        let rest = path.strip_prefix(prefix)?.strip_prefix('/')?;
        Some(rest.to_owned())
    };
    for prefix in roots.iter().map(String::as_str).filter(|root| !root.is_empty()).chain([source]) {
        if let Some(rest) = shorter(prefix) {
            names.push(format!("{source}/{rest}"));
            names.push(rest);
        }
    }
    // A model may have the name of the example that it is in, and then has the others' files, too.
    if let Some(model) = names.iter().find_map(|name| registry.model(name)) {
        return vec![model.clone()];
    }
    if let Some(example) = names.iter().find_map(|name| registry.example(name)) {
        let models = example.models.iter().filter_map(|model| registry.model(model));
        return models.cloned().collect();
    }
    if is_pattern(path) {
        let globs = names.iter().filter_map(|name| {
            // A star stands for a part of a name, as a shell has it.
            GlobBuilder::new(name)
                .literal_separator(true)
                .build()
                .ok()
                .map(|glob| glob.compile_matcher())
        });
        let globs: Vec<_> = globs.collect();
        let is_hit = |model: &&Model| {
            let folder = folder(registry, model);
            globs.iter().any(|glob| glob.is_match(&*model.name) || glob.is_match(&folder))
        };
        return registry.models.iter().filter(is_hit).cloned().collect();
    }
    // A program without a platform means all of its archives.
    if registry.publishes == Publishes::Programs {
        let of_program = |model: &&Model| {
            model.name.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
        };
        return registry.models.iter().filter(of_program).cloned().collect();
    }
    let in_folder = |model: &&Model| {
        names.iter().any(|name| !name.is_empty() && *name == folder(registry, model))
    };
    registry.models.iter().find(in_folder).cloned().into_iter().collect()
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Of a program's archives, leaves the one for a platform; all of them where it has none.
fn keep_platform(located: &mut Located, platform: &str) {
    let is_for_it =
        |model: &Model| model.name.rsplit_once('/').is_some_and(|(_, dist)| dist == platform);
    if located.registry.publishes == Publishes::Programs && located.models.iter().any(is_for_it) {
        located.models.retain(is_for_it);
    }
}

/// Returns the folder that all files of a model are in.
fn folder(registry: &Registry, model: &Model) -> String {
    let mut files = registry.files_of(model);
    let Some(first) = files.next() else { return String::new() };
    let mut folder = first.key.folder();
    for file in files {
        while !folder.is_empty() && file.key.below(folder).is_none() {
            folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
        }
    }
    folder.to_owned()
}

/// Returns a model's name without that of its source.
pub(crate) fn short_name<'a>(source: &str, model: &'a str) -> &'a str {
    model.strip_prefix(source).and_then(|rest| rest.strip_prefix('/')).unwrap_or(model)
}

fn near(registry: &Registry, found: &FileRef, path: &str) -> Vec<String> {
    let wanted = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut close: Vec<(usize, &str)> = registry
        .models
        .iter()
        .filter_map(|model| {
            let short = short_name(&found.name, &model.name);
            let name = short.rsplit('/').next().unwrap_or(short).to_lowercase();
            let common = name.bytes().zip(wanted.bytes()).take_while(|(a, b)| a == b).count();
            let is_close = name.contains(&*wanted)
                || wanted.contains(&*name)
                || common * 2 > wanted.len().max(6);
            is_close.then_some((common, short))
        })
        .collect();
    close.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    close.into_iter().take(MOST_NEAR).map(|(_, name)| found.canonical(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Registry, matching};
    use crate::registry::Publishes;

    #[test]
    fn a_model_goes_before_the_example_of_its_name() {
        let registry = b"files = {'a/m' = {}, 'a/in/m' = {}, 'b/in/m' = {}}\n\
            [models]\n's/a' = ['a/m', 'a/in/m']\n's/a/in' = ['a/in/m']\n's/b/in' = ['b/in/m']\n\
            [examples]\na = ['s/a', 's/a/in']\nb = ['s/b/in']\n";
        let registry = Registry::parse(Publishes::Models, registry).unwrap();
        let names = |path: &str| -> Vec<String> {
            let found = matching(&registry, "s", &[], path);
            found.into_iter().map(|model| model.name.into()).collect()
        };
        assert_eq!(names("a"), ["s/a"]);
        assert_eq!(names("s/a"), ["s/a"]);
        assert_eq!(names("b"), ["s/b/in"]);
        assert_eq!(names("a/in"), ["s/a/in"]);
    }
}
