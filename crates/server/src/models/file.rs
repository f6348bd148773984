//! Refreshing a registry file in place.

use super::{ModelError, RefreshAsked, Refreshed, refresh::provider, transfer::Orphan};
use crate::Config;
use callsheet_models::{
    names,
    providers::{self, Listed, Listing, Provider},
    refresh::{ModelReport, Outcome, ProviderReport, Report},
    registry_file::{RegistryFile, RegistryFileError},
};
use callsheet_sources::{Http, HttpSettings};
use callsheet_types::ModelKey;
use futures_util::future::join_all;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Instant,
};

/// How often what was learned is put into a file that others change at the same time.
const TRIES: usize = 20;

/// Stands in the key of a model of which nobody knows the provider.
const NOBODY: &str = "unknown";

/// What each provider answered, by its name.
type Lists = BTreeMap<String, Result<Listing, String>>;

/// Asks the providers of the models that a registry file holds, each once, and merges what they say
/// into the file: presets stay, absent fields erase nothing, models come in the order of their ids.
///
/// Nothing is written where all of them failed, or on a dry run. Where somebody else changes the
/// file meanwhile, what was learned is merged into what it says then.
pub async fn refresh_file(
    config: &Config,
    path: &Path,
    asked: &RefreshAsked,
    is_offline: bool,
) -> Result<Refreshed, ModelError> {
    let file = RegistryFile::read(path)?;
    let wanted = Wanted::of(&file, asked)?;
    let http = Http::new(HttpSettings { is_offline, ..HttpSettings::default() });
    let names: BTreeSet<&str> =
        wanted.models.iter().map(|(provider, _)| provider.as_str()).collect();
    let lists = join_all(names.into_iter().map(async |name| {
        let provider = provider(name, config, &config.backends);
        let listed = listing(&http, provider, name, &wanted.of_provider(name)).await;
        (name.to_owned(), listed)
    }));
    let lists: Lists = lists.await.into_iter().collect();

    let (path, is_dry) = (path.to_owned(), asked.dry_run);
    let settled = tokio::task::spawn_blocking(move || {
        let merged = settle(file, &path, &wanted, &lists, is_dry)?;
        Ok::<_, ModelError>((merged, wanted, lists))
    });
    let settled = settled.await.map_err(|_| ModelError::Question("it broke off".to_owned()))?;
    let (Merged { mut models, changed, presets }, wanted, lists) = settled?;

    models.extend(wanted.strangers);
    models.sort_by(|a, b| a.key.cmp(&b.key));
    let report = Report {
        total: models.len(),
        refreshed: models.iter().filter(|model| !model.outcome.is_failure()).count(),
        changed,
        withdrawn: Vec::new(),
        providers: lists.into_iter().map(|(name, list)| provider_report(name, list)).collect(),
        models,
    };
    let orphans = report.gone().filter_map(|key| orphan(key, &presets, config)).collect();
    Ok(Refreshed { report, orphans })
}

/// Which models of a file are meant.
struct Wanted {
    /// Provider and id of each.
    models: BTreeSet<(String, String)>,
    /// A failure for each that is meant and not in the file.
    strangers: Vec<ModelReport>,
}

impl Wanted {
    fn of(file: &RegistryFile, asked: &RefreshAsked) -> Result<Self, ModelError> {
        let mut all: BTreeSet<_> = file.ids().into_iter().collect();
        if !asked.providers.is_empty() {
            all.retain(|(provider, _)| asked.providers.contains(provider));
        }
        if asked.ids.is_empty() {
            return Ok(Self { models: all, strangers: Vec::new() });
        }
        let mut wanted = Self { models: BTreeSet::new(), strangers: Vec::new() };
        for name in asked.ids.iter().collect::<BTreeSet<_>>() {
            let is_meant = |(provider, id): &&(String, String)| {
                id == name
                    || ModelKey::parse(name)
                        .is_ok_and(|key| key.provider() == provider && key.id() == id)
            };
            let meant: Vec<_> = all.iter().filter(is_meant).cloned().collect();
            if meant.is_empty() {
                let message = Some("is not in the registry file".to_owned());
                let key = ModelKey::parse(name).or_else(|_| key(NOBODY, name))?;
                wanted.strangers.push(ModelReport { key, outcome: Outcome::Failed, message });
            }
            wanted.models.extend(meant);
        }
        Ok(wanted)
    }

    /// Returns the ids that are one provider's.
    fn of_provider(&self, name: &str) -> Vec<String> {
        let ids = self.models.iter().filter(|(provider, _)| provider == name);
        ids.map(|(_, id)| id.clone()).collect()
    }
}

/// Returns the key by which a report speaks of a model, whatever its file has for a provider and an
/// id.
fn key(provider: &str, id: &str) -> Result<ModelKey, ModelError> {
    let plain = || id.chars().filter(|c| !c.is_control()).take(100).collect::<String>();
    ModelKey::new(provider, id)
        .or_else(|_| ModelKey::new(NOBODY, id))
        .or_else(|_| ModelKey::new(NOBODY, plain().trim()))
        .map_err(|error| ModelError::Question(error.to_string()))
}

/// What became of the models of a file.
struct Merged {
    models: Vec<ModelReport>,
    /// How many entries say something else, or would; one where merely their order does.
    changed: usize,
    /// The model of each of the file's presets.
    presets: BTreeMap<String, String>,
}

/// Merges and writes. Blocks.
fn settle(
    mut file: RegistryFile,
    path: &Path,
    wanted: &Wanted,
    lists: &Lists,
    is_dry: bool,
) -> Result<Merged, ModelError> {
    let mut tries = 0;
    loop {
        let mut merged = merge(&mut file, wanted, lists)?;
        let is_any_refreshed = merged.models.iter().any(|model| !model.outcome.is_failure());
        if !is_any_refreshed {
            return Ok(merged);
        }
        if is_dry {
            let is_same = fs::read(path).is_ok_and(|held| held == file.render());
            merged.changed = merged.changed.max(usize::from(!is_same));
            return Ok(merged);
        }
        tries += 1;
        match file.write() {
            Ok(is_written) => {
                merged.changed = merged.changed.max(usize::from(is_written));
                return Ok(merged);
            }
            // What others have put in is kept, and what was learned goes on top of it.
            Err(RegistryFileError::Changed { .. }) if tries < TRIES => {
                file = RegistryFile::read(path)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn merge(file: &mut RegistryFile, wanted: &Wanted, lists: &Lists) -> Result<Merged, ModelError> {
    let there: BTreeSet<_> = file.ids().into_iter().collect();
    let mut changed = 0;
    let mut models = Vec::new();
    for model in &wanted.models {
        let (name, id) = model;
        let (outcome, message) = match &lists[name] {
            _ if !there.contains(model) => {
                let message = "has been taken out of the registry file meanwhile";
                (Outcome::Failed, Some(message.to_owned()))
            }
            Err(error) => (Outcome::Failed, Some(error.clone())),
            Ok(listing) => match listing.models.get(id) {
                Some(facts) => {
                    let merged = file.merge(id, name, facts);
                    changed += usize::from(merged.changed);
                    let outcome = if merged.changed { Outcome::Changed } else { Outcome::Ok };
                    (outcome, (!merged.left.is_empty()).then(|| merged.left.join("; ")))
                }
                None if listing.unread.contains(id) => {
                    let problem = listing.problems.iter().find(|problem| problem.place == *id);
                    let reason = problem.map_or("it could not be read", |p| p.message.as_str());
                    (Outcome::Failed, Some(reason.to_owned()))
                }
                None => (Outcome::Missing, Some(format!("{name} does not list it"))),
            },
        };
        models.push(ModelReport { key: key(name, id)?, outcome, message });
    }
    Ok(Merged { models, changed, presets: presets(file) })
}

/// Returns the models that a file's presets lead to, by `tier/slot`.
fn presets(file: &RegistryFile) -> BTreeMap<String, String> {
    let document: Value = serde_json::from_slice(&file.render()).unwrap_or_default();
    let mut presets = BTreeMap::new();
    for (tier, slots) in document.get("presets").and_then(Value::as_object).into_iter().flatten() {
        for (slot, preset) in slots.as_object().into_iter().flatten() {
            let model = preset.as_str().or_else(|| preset.get("model")?.as_str());
            presets.extend(model.map(|model| (format!("{tier}/{slot}"), model.to_owned())));
        }
    }
    presets
}

/// Returns what leads to a model that is gone, if anything does.
fn orphan(key: &ModelKey, presets: &BTreeMap<String, String>, config: &Config) -> Option<Orphan> {
    let leads_there = |name: &str| {
        let name = names::follow(&config.routing.aliases, name);
        name == key.as_str() || name == key.id()
    };
    let aliases = config.routing.aliases.keys().filter(|name| leads_there(name));
    let aliases = aliases.map(|name| format!("alias {name}"));
    let presets = presets.iter().filter(|(_, model)| leads_there(model));
    let presets = presets.map(|(name, _)| format!("preset {name}"));
    let used_by: Vec<_> = aliases.chain(presets).collect();
    (!used_by.is_empty()).then(|| Orphan { key: key.to_string(), used_by })
}

fn provider_report(name: String, list: Result<Listing, String>) -> ProviderReport {
    let (listed, problems, error) = match list {
        Ok(listing) => (listing.models.len(), listing.problems, None),
        Err(error) => (0, Vec::new(), Some(error)),
    };
    ProviderReport { name, listed, error, not_modified: false, problems }
}

async fn listing(
    http: &Http,
    provider: Option<Result<Provider, ModelError>>,
    name: &str,
    ids: &[String],
) -> Result<Listing, String> {
    let provider = match provider {
        Some(Ok(provider)) => provider,
        Some(Err(error)) => return Err(error.to_string()),
        None if name.is_empty() => return Err("the registry file names no provider".to_owned()),
        None => {
            return Err(format!(
                "there is no provider named {name:?}; [providers.{name}] in the config file says where it is"
            ));
        }
    };
    let deadline = Instant::now() + provider.timeout;
    match providers::list(http, &provider, None, Some(ids), deadline).await {
        Ok(Listed::New(listing)) => Ok(listing),
        Ok(Listed::NotModified) => Err("answered as if it had been asked before".to_owned()),
        Err(error) => Err(error.explain()),
    }
}
