//! What a request needs of a model, and what an offer of it can do.

use crate::policy::UnknownCapabilities;
use crate::registry::Backend;
use callsheet_types::Model;
use std::sync::Arc;

/// What a request needs of whoever serves it.
#[derive(Clone, Copy, Default)]
pub struct Needs<'a> {
    /// It brings tools.
    pub tools: bool,
    /// It brings images.
    pub vision: bool,
    /// It asks for JSON.
    pub json_mode: bool,
    /// It fills at least this many tokens of context.
    pub min_context: Option<u32>,
    /// It named one backend, by id; no other will do.
    pub only: Option<&'a str>,
    /// Those that it was sent to before. It is not given to them again; rather does it wait for
    /// another one that is busy.
    pub tried: &'a [Arc<Backend>],
}

impl Needs<'_> {
    fn any(&self) -> bool {
        self.tools || self.vision || self.json_mode || self.min_context.is_some()
    }

    pub(crate) fn was_sent_to(&self, backend: &Backend) -> bool {
        self.tried.iter().any(|tried| std::ptr::eq(&raw const **tried, backend))
    }
}

/// The needs of a request that waits and therefore owns them.
pub(crate) struct OwnedNeeds {
    tools: bool,
    vision: bool,
    json_mode: bool,
    min_context: Option<u32>,
    only: Option<Box<str>>,
    tried: Box<[Arc<Backend>]>,
}

impl OwnedNeeds {
    pub(crate) fn borrow(&self) -> Needs<'_> {
        Needs {
            tools: self.tools,
            vision: self.vision,
            json_mode: self.json_mode,
            min_context: self.min_context,
            only: self.only.as_deref(),
            tried: &self.tried,
        }
    }
}

impl From<&Needs<'_>> for OwnedNeeds {
    fn from(needs: &Needs<'_>) -> Self {
        Self {
            tools: needs.tools,
            vision: needs.vision,
            json_mode: needs.json_mode,
            min_context: needs.min_context,
            only: needs.only.map(Box::from),
            tried: needs.tried.into(),
        }
    }
}

/// What is known of a model at one backend, as far as a decision looks at it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Offer {
    context_length: Option<u32>,
    tools: Option<bool>,
    vision: Option<bool>,
    json_mode: Option<bool>,
}

impl From<&Model> for Offer {
    fn from(model: &Model) -> Self {
        Self {
            context_length: model.context_length,
            tools: model.supports_tools,
            vision: model.supports_vision,
            json_mode: model.supports_json_mode,
        }
    }
}

/// The first need that an offer does not meet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unmet {
    LacksTools,
    LacksVision,
    LacksJsonMode,
    UnknownTools,
    UnknownVision,
    UnknownJsonMode,
    UnknownContext,
    ContextTooShort { has: u32 },
}

impl Offer {
    /// Returns the first need that the offer does not meet, or `None` if it meets all.
    pub(crate) fn unmet(&self, needs: &Needs<'_>, unknown: UnknownCapabilities) -> Option<Unmet> {
        if !needs.any() {
            // Most requests: spares them the look at the offer, which is a cache miss.
            return None;
        }
        let strict = unknown == UnknownCapabilities::Refuse;
        let lacks = |needed: bool, has: Option<bool>, lacks, unknown| match has {
            _ if !needed => None,
            Some(true) => None,
            Some(false) => Some(lacks),
            None => strict.then_some(unknown),
        };
        lacks(needs.tools, self.tools, Unmet::LacksTools, Unmet::UnknownTools)
            .or_else(|| lacks(needs.vision, self.vision, Unmet::LacksVision, Unmet::UnknownVision))
            .or_else(|| {
                let (lack, unknown) = (Unmet::LacksJsonMode, Unmet::UnknownJsonMode);
                lacks(needs.json_mode, self.json_mode, lack, unknown)
            })
            .or_else(|| match (needs.min_context?, self.context_length) {
                (least, Some(has)) => (has < least).then_some(Unmet::ContextTooShort { has }),
                (_, None) => strict.then_some(Unmet::UnknownContext),
            })
    }
}
