//! Refreshing a registry file in place.

use super::{ModelError, RefreshAsked, Refreshed, refresh::provider};
use crate::Config;
use callsheet_models::{
    Facts,
    providers::{self, Listed, Listing, Provider},
    refresh::{ModelReport, Outcome, ProviderReport, Report},
    registry_file::RegistryFile,
};
use callsheet_sources::{Http, HttpSettings};
use callsheet_types::ModelKey;
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Instant,
};

/// Asks the providers of the models that a registry file holds, each once, and merges what they say
/// into the file: presets stay, absent fields erase nothing, models come in the order of their ids.
///
/// Nothing is written where all of them failed, or on a dry run.
pub async fn refresh_file(
    config: &Config,
    path: &Path,
    asked: &RefreshAsked,
    is_offline: bool,
) -> Result<Refreshed, ModelError> {
    let mut file = RegistryFile::read(path)?;
    let (wanted, mut models) = wanted(&file, asked)?;
    let http = Http::new(HttpSettings { is_offline, ..HttpSettings::default() });
    let names: BTreeSet<&str> = wanted.iter().map(|(provider, _)| provider.as_str()).collect();
    let asked_of = |name: &str| {
        let ids = wanted.iter().filter(|(provider, _)| provider == name);
        ids.map(|(_, id)| id.clone()).collect::<Vec<_>>()
    };
    let lists = join_all(names.into_iter().map(async |name| {
        (
            name.to_owned(),
            listing(&http, provider(name, config, &config.backends), name, &asked_of(name)).await,
        )
    }));
    let lists: BTreeMap<String, Result<Listing, String>> = lists.await.into_iter().collect();

    let mut changed = 0;
    for (name, id) in &wanted {
        let (outcome, message) = match &lists[name] {
            Err(error) => (Outcome::Failed, Some(error.clone())),
            Ok(listing) => match listing.models.get(id) {
                Some(facts) => {
                    let (is_changed, left) = merge(&mut file, id, name, facts);
                    changed += usize::from(is_changed);
                    let outcome = if is_changed { Outcome::Changed } else { Outcome::Ok };
                    (outcome, (!left.is_empty()).then(|| left.join("; ")))
                }
                None if listing.unread.contains(id) => {
                    let problem = listing.problems.iter().find(|problem| problem.place == *id);
                    let reason = problem.map(|problem| problem.message.clone());
                    (
                        Outcome::Failed,
                        Some(reason.unwrap_or_else(|| "nothing could be learned of it".to_owned())),
                    )
                }
                None => (Outcome::Missing, Some(format!("is not on the list of {name}"))),
            },
        };
        models.push(ModelReport { key: key(name, id)?, outcome, message });
    }
    models.sort_by(|a, b| a.key.cmp(&b.key));
    let refreshed = models.iter().filter(|model| !model.outcome.is_failure()).count();
    if refreshed > 0 && !asked.dry_run {
        let written = tokio::task::spawn_blocking(move || file.write()).await;
        written.map_err(|_| ModelError::Question("it broke off".to_owned()))??;
    }
    let providers = lists.into_iter().map(|(name, list)| match list {
        Ok(listing) => ProviderReport {
            name,
            listed: listing.models.len(),
            problems: listing.problems,
            error: None,
            not_modified: false,
        },
        Err(error) => ProviderReport {
            name,
            listed: 0,
            problems: Vec::new(),
            error: Some(error),
            not_modified: false,
        },
    });
    let report = Report {
        total: models.len(),
        refreshed,
        changed,
        withdrawn: Vec::new(),
        providers: providers.collect(),
        models,
    };
    Ok(Refreshed { report, orphans: Vec::new() })
}

/// Returns the models of the file that are meant, and a failure for each that is meant and not in
/// the file.
#[allow(clippy::type_complexity, reason = "a pair of lists that are used at once")]
fn wanted(
    file: &RegistryFile,
    asked: &RefreshAsked,
) -> Result<(Vec<(String, String)>, Vec<ModelReport>), ModelError> {
    let mut all = file.ids();
    if !asked.providers.is_empty() {
        all.retain(|(provider, _)| asked.providers.contains(provider));
    }
    if asked.ids.is_empty() {
        return Ok((all, Vec::new()));
    }
    let mut missing = Vec::new();
    let mut wanted = BTreeSet::new();
    for name in &asked.ids {
        let is_meant = |(provider, id): &&(String, String)| {
            id == name
                || ModelKey::parse(name)
                    .is_ok_and(|key| key.provider() == provider && key.id() == id)
        };
        let meant: Vec<_> = all.iter().filter(is_meant).cloned().collect();
        if meant.is_empty() {
            let message = Some("is not in the registry file".to_owned());
            let key = ModelKey::parse(name).or_else(|_| key(NOBODY, name))?;
            missing.push(ModelReport { key, outcome: Outcome::Failed, message });
        }
        wanted.extend(meant);
    }
    Ok((wanted.into_iter().collect(), missing))
}

/// Stands in the key of a model of which nobody knows the provider.
const NOBODY: &str = "unknown";

fn key(provider: &str, id: &str) -> Result<ModelKey, ModelError> {
    ModelKey::new(provider, id).map_err(|error| ModelError::Question(error.to_string()))
}

fn merge(file: &mut RegistryFile, id: &str, provider: &str, facts: &Facts) -> (bool, Vec<String>) {
    let merged = file.merge(id, provider, facts);
    (merged.changed, merged.left)
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
        Err(error) => Err(crate::api::with_causes(&error)),
    }
}
