//! What is known of models beside what their backends say.

use crate::needs::{Offer, SaidBy};
use crate::registry::Backend;
use callsheet_types::{BackendType, Model};
use std::sync::Arc;

/// Whoever knows more of a model than the backend that offers it, which often says its id only.
///
/// It is asked while the index is made, never while a request is routed. It must answer without
/// asking the registry anything, and is set again when it has come to know better.
pub trait Directory: Send + Sync {
    /// Returns what is known of a model at a backend.
    fn known(&self, backend: &str, kind: BackendType, model_id: &str) -> Known;
}

/// What is known of a model at one backend; `None` is unknown.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Known {
    /// The context window in tokens, prompt and answer together.
    pub context_length: Option<u32>,
    /// What no context window exceeds. A request that needs more is refused; for one that needs
    /// less it proves nothing.
    pub longest_context: Option<u32>,
    /// The most tokens that it generates for one request.
    pub max_output_tokens: Option<u32>,
    /// Whether it calls tools.
    pub supports_tools: Option<bool>,
    /// Whether it takes images.
    pub supports_vision: Option<bool>,
    /// Whether it can be held to JSON.
    pub supports_json_mode: Option<bool>,
    /// A name for people.
    pub name: Option<String>,
    /// What it costs: a JSON array as it is to be shown.
    pub prices: Option<Arc<str>>,
}

/// What the index keeps of a model at one backend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Offered {
    /// What decisions read.
    pub(crate) offer: Offer,
    /// Everything; `None` where nothing is known.
    pub(crate) known: Option<Arc<Known>>,
}

/// The directory in force.
#[derive(Clone, Default)]
pub(crate) struct Cards {
    pub(crate) directory: Option<Arc<dyn Directory>>,
    /// Rises whenever the directory is set.
    pub(crate) generation: u64,
}

/// What a directory said of everything that a backend offers.
pub(crate) struct Asked {
    pub(crate) backend: Arc<Backend>,
    pub(crate) models: Arc<[Model]>,
    /// For each model, in order.
    pub(crate) offered: Vec<Offered>,
}

impl Cards {
    /// Asks for all models of a backend.
    pub(crate) fn ask(&self, backend: &Arc<Backend>) -> Asked {
        let models = backend.models();
        let offered = self.offered(backend, &models);
        Asked { backend: Arc::clone(backend), models, offered }
    }

    /// Returns what each model of a list is offered as, in order.
    pub(crate) fn offered(&self, backend: &Backend, models: &[Model]) -> Vec<Offered> {
        models.iter().map(|model| self.one(backend, model)).collect()
    }

    /// The backend's own word goes first.
    fn one(&self, backend: &Backend, model: &Model) -> Offered {
        let directory = self.directory.as_ref();
        let card = directory.map(|cards| cards.known(&backend.id, backend.backend_type, &model.id));
        let card = card.unwrap_or_default();
        let own_name = (model.name != model.id).then(|| model.name.clone());
        let offer = Offer::new(model, &card);
        let known = Known {
            context_length: model.context_length.or(card.context_length),
            longest_context: card.longest_context,
            max_output_tokens: model.max_output_tokens.or(card.max_output_tokens),
            supports_tools: model.supports_tools.or(card.supports_tools),
            supports_vision: model.supports_vision.or(card.supports_vision),
            supports_json_mode: model.supports_json_mode.or(card.supports_json_mode),
            name: own_name.or(card.name),
            prices: card.prices,
        };
        Offered { offer, known: (known != Known::default()).then(|| Arc::new(known)) }
    }
}

/// Returns the backend's own word, or else the card's, and whose it is.
pub(crate) fn either<T>(own: Option<T>, card: Option<T>) -> Option<(T, SaidBy)> {
    own.map(|fact| (fact, SaidBy::Backend)).or_else(|| card.map(|fact| (fact, SaidBy::Card)))
}
