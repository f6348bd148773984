//! What cards know of the models that backends offer, for the data plane.

use crate::config::Config;
use callsheet_fleet::{Directory, Known};
use callsheet_models::{merge::Card, names::link, providers::ProviderKind};
use callsheet_store::Store;
use callsheet_types::{BackendSpec, BackendType, BackendUrl, EntryId, Kind};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

/// Looks cards up and remembers what it found until told that they changed.
///
/// A backend is the provider of its own models; where it is a known service, that service's cards
/// speak of them too. What is said of the model whoever provides it counts for what it can do, and
/// bounds its context from above: a server may well have cut it shorter.
pub(crate) struct KnownModels {
    store: Store,
    /// The provider of the models of each backend that is a known service.
    providers: Mutex<HashMap<String, String>>,
    found: Mutex<HashMap<(String, String), Known>>,
}

impl KnownModels {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, providers: Mutex::default(), found: Mutex::default() }
    }

    /// Says which backends are which service.
    pub(crate) fn set_providers(&self, providers: HashMap<String, String>) {
        *self.providers.lock().unwrap_or_else(PoisonError::into_inner) = providers;
        self.forget();
    }

    /// Forgets what was found: cards have changed.
    pub(crate) fn forget(&self) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn look_up(&self, backend: &str, model: &str) -> Known {
        let provider =
            self.providers.lock().unwrap_or_else(PoisonError::into_inner).get(backend).cloned();
        let keys =
            [Some(format!("{backend}:{model}")), provider.map(|name| format!("{name}:{model}"))];
        let ids: Vec<_> =
            keys.into_iter().flatten().map(|key| EntryId::new(Kind::model(), &key)).collect();
        let mut known = Known::default();
        let mut canonical = None;
        for id in &ids {
            if let Some(card) = self.card(id) {
                canonical = canonical.or_else(|| card.facts.canonical.clone());
                add(&mut known, &card, true);
            }
        }
        if let Some(card) = self.canonical(canonical.as_deref().unwrap_or(model)) {
            add(&mut known, &card, false);
        }
        known
    }

    /// Returns what is said of a model whoever provides it.
    fn canonical(&self, name: &str) -> Option<Card> {
        let rows = self.store.cards_named(&link(name));
        let rows = rows.inspect_err(|error| tracing::warn!(%error, "a card cannot be looked up"));
        let row = rows.ok()?.into_iter().find(|row| row.kind == Kind::canonical().as_str())?;
        serde_json::from_str(&row.body).ok()
    }

    fn card(&self, id: &EntryId) -> Option<Card> {
        let rows = self.store.cards_of(std::slice::from_ref(id));
        let rows = rows.inspect_err(|error| tracing::warn!(%error, "a card cannot be looked up"));
        let row = rows.ok()?.into_iter().next()?;
        serde_json::from_str::<Card>(&row.body).ok().filter(|card| card.status != "removed")
    }
}

impl Directory for KnownModels {
    fn known(&self, backend: &str, _kind: BackendType, model: &str) -> Known {
        let key = (backend.to_owned(), model.to_owned());
        if let Some(known) = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        let known = self.look_up(backend, model);
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(key, known.clone());
        known
    }
}

/// Returns the service whose models a backend offers, by the host at which it answers.
pub(crate) fn service_of(backend: &BackendSpec, config: &Config) -> Option<String> {
    let host = backend.url.host();
    let is_there = |url: &str| BackendUrl::new(url).is_ok_and(|url| url.host() == host);
    let configured = config
        .providers
        .iter()
        .find(|(name, spec)| spec.address(name).is_some_and(|url| is_there(&url)));
    configured.map(|(name, _)| name.clone()).or_else(|| {
        let service = ProviderKind::services().find(|(_, url)| is_there(url));
        service.map(|(name, _)| name.to_owned())
    })
}

/// Adds what a card says to what is known; what is known already stays.
fn add(known: &mut Known, card: &Card, is_of_provider: bool) {
    let facts = &card.facts;
    let tokens = |count: Option<u64>| count.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    if is_of_provider {
        known.context_length = known.context_length.or(tokens(facts.context_window));
        known.max_output_tokens = known.max_output_tokens.or(tokens(facts.max_output_tokens));
        if known.prices.is_none() {
            let prices =
                facts.prices.as_ref().and_then(|prices| serde_json::to_string(prices).ok());
            known.prices = prices.map(Into::into);
        }
    }
    let longest = facts.context_window_trained.max(facts.context_window);
    known.longest_context = known.longest_context.or(tokens(longest));
    known.name = known.name.take().or_else(|| facts.name.clone());
    let words: HashSet<&str> = facts.capabilities.iter().map(String::as_str).collect();
    let takes_images = facts.input_modalities.as_ref().map(|kinds| kinds.contains("image"));
    // A list of capabilities may be short of some; only a "yes" can be read from it.
    let can = |word: &str| words.contains(word).then_some(true);
    known.supports_tools = known.supports_tools.or(can("tools"));
    known.supports_vision = known.supports_vision.or(can("vision")).or(takes_images);
    known.supports_json_mode =
        known.supports_json_mode.or(can("json")).or(can("structured_output"));
}
