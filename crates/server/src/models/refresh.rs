//! Asking providers, because somebody wants it, because it is time, or because a backend's list
//! changed.

use super::{Corrected, ModelError};
use crate::{App, app::read_secret, config::Config};
use callsheet_models::{
    Cards,
    providers::{Provider, ProviderKind, ProviderSpec},
    refresh::{self, Report, Request},
};
use callsheet_store::Intent;
use callsheet_types::{BackendSpec, BackendType, BackendUrl, ModelKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is to be refreshed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RefreshAsked {
    /// The models, by any of their names; all that the providers have where there is none.
    pub ids: Vec<String>,
    /// The providers; all that are configured where there is none.
    pub providers: Vec<String>,
    /// Takes a list that has lost most of its models.
    pub allow_shrink: bool,
    /// Says what would happen and does nothing.
    pub dry_run: bool,
}

/// What became of a refresh.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refreshed {
    /// What became of each model and provider.
    #[serde(flatten)]
    pub report: Report,
    /// Models that are gone, and what still leads to them.
    pub orphans: Vec<super::transfer::Orphan>,
}

impl App {
    /// Refreshes what is known of models.
    pub async fn refresh_models(
        self: &Arc<Self>,
        asked: RefreshAsked,
        actor: &str,
    ) -> Result<Refreshed, ModelError> {
        let app = Arc::clone(self);
        let names = asked.clone();
        let wanted = tokio::task::spawn_blocking(move || app.wanted(&names)).await;
        let (ids, providers) = wanted.map_err(|_| broken_off())??;
        let request = Request {
            ids,
            allow_shrink: asked.allow_shrink,
            dry_run: asked.dry_run,
            actor: actor.to_owned(),
            at: Timestamp::now(),
        };
        let store = self.catalog.store();
        let report =
            refresh::refresh(store, &self.http, &providers, &request, Arc::new(Cards), &|_| {})
                .await;
        let gone: Vec<String> = report.gone().map(ToString::to_string).collect();
        let app = Arc::clone(self);
        let orphans = tokio::task::spawn_blocking(move || {
            let gone = gone.into_iter().map(|key| (app.users_of(&key), key));
            gone.filter(|(used_by, _)| !used_by.is_empty())
                .map(|(used_by, key)| super::transfer::Orphan { key, used_by })
                .collect()
        });
        let orphans = orphans.await.map_err(|_| broken_off())?;
        Ok(Refreshed { report, orphans })
    }

    /// Makes a model known: fetches it from its provider, and lets it be seen if it was removed.
    pub(crate) async fn add_model(
        self: &Arc<Self>,
        name: &str,
        intent: Intent,
    ) -> Result<Corrected, ModelError> {
        let key = ModelKey::parse(name).map_err(|error| ModelError::Question(error.to_string()))?;
        let asked = RefreshAsked {
            ids: vec![key.to_string()],
            dry_run: intent.dry_run,
            ..RefreshAsked::default()
        };
        let refreshed = self.refresh_models(asked, &intent.actor).await?;
        if let Some(reason) = refreshed.report.failure(&key) {
            return Err(ModelError::NotFetched { key: key.to_string(), reason });
        }
        let app = Arc::clone(self);
        let restored = tokio::task::spawn_blocking(move || app.restore_model(&key, &intent)).await;
        restored.map_err(|_| broken_off())?
    }

    /// Returns whose lists must be read, and which of their models are meant.
    fn wanted(&self, asked: &RefreshAsked) -> Result<(Vec<ModelKey>, Vec<Provider>), ModelError> {
        let mut ids = Vec::new();
        for name in &asked.ids {
            // One that nobody knows yet may still be on its provider's list.
            let key = match self.one_model(name) {
                Ok(row) => row.key,
                Err(ModelError::NotFound { .. }) if name.contains(':') => name.clone(),
                Err(error) => return Err(error),
            };
            let key =
                ModelKey::parse(&key).map_err(|error| ModelError::Question(error.to_string()))?;
            let is_theirs = |name: &String| name == key.provider();
            if !asked.providers.is_empty() && !asked.providers.iter().any(is_theirs) {
                let names = asked.providers.join(", ");
                return Err(ModelError::Question(format!("{key} is no model of {names}")));
            }
            ids.push(key);
        }
        let mut names = asked.providers.clone();
        names.extend(ids.iter().map(|key| key.provider().to_owned()));
        names.sort();
        names.dedup();
        let (config, backends) = {
            let owned = self.in_force();
            let specs = owned.specs(&owned.config, &owned.saved);
            let specs = specs.into_iter().map(|(spec, _)| spec);
            let specs = specs.filter(|spec| !owned.is_built_in(spec.name.as_str()));
            (owned.config.clone(), specs.collect::<Vec<_>>())
        };
        if names.is_empty() {
            names = config.providers.keys().cloned().collect();
            let asked = backends.iter().filter(|spec| spec.models.is_none());
            names.extend(asked.map(|spec| spec.name.to_string()));
        }
        let mut providers = Vec::new();
        for name in names {
            match provider(&name, &config, &backends) {
                Some(provider) => providers.push(provider?),
                // Of models that are asked for by id, the report says that nobody can be asked.
                None if !asked.providers.contains(&name) => {}
                None => {
                    let mut known: Vec<_> = config.providers.keys().cloned().collect();
                    known.extend(backends.iter().map(|spec| spec.name.to_string()));
                    return Err(ModelError::NoProvider { name, known });
                }
            }
        }
        Ok((ids, providers))
    }
}

fn broken_off() -> ModelError {
    ModelError::Question("it broke off".to_owned())
}

/// Returns whoever provides models under a name: one that is configured, a backend, or a service
/// that needs no configuration.
pub(crate) fn provider(
    name: &str,
    config: &Config,
    backends: &[BackendSpec],
) -> Option<Result<Provider, ModelError>> {
    let spec = match config.providers.get(name) {
        Some(spec) => spec.clone(),
        None => match backends.iter().find(|spec| spec.name.as_str() == name) {
            Some(backend) => of_backend(backend),
            None => ProviderKind::of_service(name)
                .map(|kind| ProviderSpec { kind: Some(kind), ..ProviderSpec::default() })?,
        },
    };
    // A key that is not to be had is missed by those who need one, and they say so.
    let key = spec.key_source(name).and_then(|source| read_secret(source).ok());
    let resolved = spec.resolve(name, key);
    Some(resolved.map_err(|error| ModelError::Question(format!("provider {name}: {error}"))))
}

fn of_backend(backend: &BackendSpec) -> ProviderSpec {
    let is_at = |kind: ProviderKind| {
        let url = kind.default_url().and_then(|url| BackendUrl::new(url).ok());
        url.is_some_and(|url| url.host() == backend.url.host())
    };
    let kind = match backend.backend_type {
        BackendType::Ollama => ProviderKind::Ollama,
        BackendType::VLLM => ProviderKind::Vllm,
        BackendType::LlamaCpp => ProviderKind::LlamaCpp,
        BackendType::OpenAI if is_at(ProviderKind::OpenAi) => ProviderKind::OpenAi,
        BackendType::Anthropic if is_at(ProviderKind::Anthropic) => ProviderKind::Anthropic,
        // Whoever answers as they do may say more in its list than they.
        _ => ProviderKind::Generic,
    };
    ProviderSpec {
        kind: Some(kind),
        url: Some(backend.url.to_string()),
        api_key_env: backend.api_key_env.clone(),
        api_key_file: backend.api_key_file.clone(),
        ..ProviderSpec::default()
    }
}
