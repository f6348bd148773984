//! What cards know of the models that backends offer, for the data plane.

use crate::config::Config;
use callsheet_fleet::{Directory, Known};
use callsheet_gateway::Also;
use callsheet_models::{merge::Card, names::link, providers::ProviderKind};
use callsheet_store::{CardRow, Store, StoreError};
use callsheet_types::{BackendSpec, BackendType, BackendUrl, EntryId, Kind};
use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long the thread waits before it looks whether it is still wanted.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Remembers what cards say, and looks up what it does not know yet.
///
/// The fleet asks on its way, where nobody may wait for a database: once a thread looks things up
/// ([`KnownModels::work`]), what is not known yet is unknown for the moment, and the fleet is told
/// to ask again when it has been found. Without that thread the one who asks looks for himself.
///
/// A backend is the provider of its own models; where it is a known service, that service's cards
/// speak of them too. What is said of the model whoever provides it counts for what it can do, and
/// bounds its context from above: a server may well have cut it shorter.
pub(crate) struct KnownModels {
    store: Store,
    state: Mutex<State>,
    /// Told when something is to be looked up.
    wanted: Condvar,
}

/// Backend and model.
type Offer = (String, String);

/// What was found of an offer.
#[derive(Clone, Default, PartialEq)]
struct Found {
    known: Known,
    /// The service that the backend is.
    provider: Option<String>,
    /// The canonical id as the card writes it.
    canonical: Option<String>,
}

#[derive(Default)]
struct State {
    /// The provider of the models of each backend that is a known service.
    providers: HashMap<String, String>,
    found: HashMap<Offer, Found>,
    wanted: HashSet<Offer>,
    /// Whether somebody other than the thread has found something.
    has_news: bool,
    has_thread: bool,
}

impl KnownModels {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, state: Mutex::default(), wanted: Condvar::new() }
    }

    /// Says which backends are which service.
    pub(crate) fn set_providers(&self, providers: HashMap<String, String>) {
        self.state().providers = providers;
        self.look_again();
    }

    /// Cards have changed: what was found in them is looked up again.
    pub(crate) fn look_again(&self) {
        let mut state = self.state();
        if state.has_thread {
            // It stands until then, so that nothing is unknown in between.
            let found: Vec<_> = state.found.keys().cloned().collect();
            state.wanted.extend(found);
            self.wanted.notify_all();
        } else {
            state.found.clear();
        }
    }

    /// Looks up what is wanted, as it comes, and tells from time to time whether there is news,
    /// until it is told to stop. Blocks.
    pub(crate) fn work(&self, tell: impl Fn(bool) -> ControlFlow<()>) {
        self.state().has_thread = true;
        loop {
            let mut state = self.state();
            if state.wanted.is_empty() && !state.has_news {
                let waited = self.wanted.wait_timeout(state, LOOK_AROUND);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            let wanted = std::mem::take(&mut state.wanted);
            let mut has_news = std::mem::take(&mut state.has_news);
            drop(state);
            for offer in wanted {
                match self.look_up(&offer.0, &offer.1) {
                    Ok(found) => {
                        let before = self.state().found.insert(offer, found.clone());
                        has_news |= before.unwrap_or_default() != found;
                    }
                    // What was known stands until the store answers again.
                    Err(error) => {
                        tracing::debug!(%error, "a card cannot be looked up");
                        let mut state = self.state();
                        state.wanted.insert(offer);
                        drop(self.wanted.wait_timeout(state, LOOK_AROUND));
                    }
                }
            }
            if tell(has_news).is_break() {
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what else the models are called: their canonical ids, as cards write them and in
    /// the form in which they are compared, and `provider:id` where the backend is a service.
    pub(crate) fn names(&self) -> HashMap<String, Vec<Also>> {
        let state = self.state();
        let links: HashMap<&Offer, String> = state
            .found
            .iter()
            .filter_map(|(offer, found)| Some((offer, link(found.canonical.as_deref()?))))
            .collect();
        let mut links_of_id: HashMap<&str, HashSet<&str>> = HashMap::new();
        for ((_, model), link) in &links {
            links_of_id.entry(model).or_default().insert(link);
        }
        let mut names: HashMap<String, Vec<Also>> = HashMap::new();
        let mut add = |name: &str, backend: Option<&String>, model: &String| {
            // By its own id it is found without this.
            if name != model {
                let also = Also { backend: backend.cloned(), model: model.clone() };
                names.entry(name.to_owned()).or_default().push(also);
            }
        };
        for (offer, found) in &state.found {
            let (backend, model) = offer;
            if let Some(provider) = &found.provider {
                add(&format!("{provider}:{model}"), Some(backend), model);
            }
            if let (Some(canonical), Some(link)) = (&found.canonical, links.get(offer)) {
                // Where one id is two models, the backend makes the difference.
                let is_ambiguous = links_of_id.get(&**model).is_some_and(|links| links.len() > 1);
                let backend = is_ambiguous.then_some(backend);
                add(canonical, backend, model);
                add(link, backend, model);
            }
        }
        for called in names.values_mut() {
            called.sort();
            called.dedup();
        }
        names
    }

    fn look_up(&self, backend: &str, model: &str) -> Result<Found, StoreError> {
        let provider = self.state().providers.get(backend).cloned();
        let of_provider = provider.as_ref().map(|name| format!("{name}:{model}"));
        let keys = [Some(format!("{backend}:{model}")), of_provider];
        let mut known = Known::default();
        let mut canonical = None;
        for key in keys.into_iter().flatten() {
            let rows = self.store.cards_of(&[EntryId::new(Kind::model(), &key)])?;
            if let Some(card) = rows.first().and_then(card).filter(|card| card.status != "removed")
            {
                canonical = canonical.or_else(|| card.facts.canonical.clone());
                add(&mut known, &card, true);
            }
        }
        // What is said of the model whoever provides it.
        let rows = self.store.cards_named(&link(canonical.as_deref().unwrap_or(model)))?;
        let row = rows.iter().find(|row| row.kind == Kind::canonical().as_str());
        if let Some(card) = row.and_then(card) {
            add(&mut known, &card, false);
        }
        Ok(Found { known, provider, canonical })
    }
}

fn card(row: &CardRow) -> Option<Card> {
    serde_json::from_str(&row.body).ok()
}

impl Directory for KnownModels {
    fn known(&self, backend: &str, _kind: BackendType, model: &str) -> Known {
        let offer = (backend.to_owned(), model.to_owned());
        let mut state = self.state();
        if let Some(found) = state.found.get(&offer) {
            return found.known.clone();
        }
        if state.has_thread {
            state.wanted.insert(offer);
            self.wanted.notify_all();
            return Known::default();
        }
        drop(state);
        let found = self.look_up(backend, model);
        let found = found.inspect_err(|error| tracing::warn!(%error, "a card cannot be looked up"));
        let found = found.unwrap_or_default();
        let known = found.known.clone();
        let mut state = self.state();
        state.found.insert(offer, found);
        state.has_news = true;
        known
    }
}

/// Returns the service whose models a backend offers, by the host and port at which it answers:
/// one machine may have several servers, and what one of them serves is not the other's.
pub(crate) fn service_of(backend: &BackendSpec, config: &Config) -> Option<String> {
    let place = |url: &BackendUrl| (url.host().to_owned(), url.port());
    let here = place(&backend.url);
    let is_there = |url: &str| BackendUrl::new(url).is_ok_and(|url| place(&url) == here);
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
