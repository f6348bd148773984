//! What a request needs of a model, and what an offer of it can do.

use crate::directory::{Known, either};
use crate::policy::UnknownCapabilities;
use crate::registry::Backend;
use callsheet_types::Model;
use serde::{Deserialize, Serialize};
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

/// What is known of a model at one backend, as far as a decision looks at it. Small, since many of
/// them lie side by side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Offer {
    context: Context,
    tools: Option<(bool, SaidBy)>,
    vision: Option<(bool, SaidBy)>,
    json_mode: Option<(bool, SaidBy)>,
}

/// Whose word a fact is.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaidBy {
    /// The backend's own, or that of whoever declared its models.
    #[default]
    Backend,
    /// That of a [`crate::Directory`].
    Card,
}

impl SaidBy {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
    pub(crate) fn is_backend(&self) -> bool {
        *self == Self::Backend
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Context {
    Unknown,
    Of(u32, SaidBy),
    /// By its card it is not longer, and may be shorter.
    AtMost(u32),
}

impl Offer {
    /// The backend's own word goes first.
    pub(crate) fn new(own: &Model, card: &Known) -> Self {
        let context = match (either(own.context_length, card.context_length), card.longest_context)
        {
            (Some((length, by)), _) => Context::Of(length, by),
            (None, Some(longest)) => Context::AtMost(longest),
            (None, None) => Context::Unknown,
        };
        Self {
            context,
            tools: either(own.supports_tools, card.supports_tools),
            vision: either(own.supports_vision, card.supports_vision),
            json_mode: either(own.supports_json_mode, card.supports_json_mode),
        }
    }

    /// Returns the first need that the offer does not meet, or `None` if it meets all.
    pub(crate) fn unmet(&self, needs: &Needs<'_>, unknown: UnknownCapabilities) -> Option<Unmet> {
        if !needs.any() {
            // Most requests: spares them the look at the offer, which is a cache miss.
            return None;
        }
        let strict = unknown == UnknownCapabilities::Refuse;
        let lacks =
            |needed: bool, has: Option<(bool, SaidBy)>, lacks: fn(SaidBy) -> Unmet, unknown| {
                match has {
                    _ if !needed => None,
                    Some((true, _)) => None,
                    Some((false, by)) => Some(lacks(by)),
                    None => strict.then_some(unknown),
                }
            };
        lacks(needs.tools, self.tools, Unmet::LacksTools, Unmet::UnknownTools)
            .or_else(|| lacks(needs.vision, self.vision, Unmet::LacksVision, Unmet::UnknownVision))
            .or_else(|| {
                let (lack, unknown) = (Unmet::LacksJsonMode, Unmet::UnknownJsonMode);
                lacks(needs.json_mode, self.json_mode, lack, unknown)
            })
            .or_else(|| match (needs.min_context?, self.context) {
                (least, Context::Of(has, by)) => {
                    (has < least).then_some(Unmet::ContextTooShort { has, by })
                }
                (least, Context::AtMost(has)) if has < least => Some(Unmet::ContextAtMost { has }),
                _ => strict.then_some(Unmet::UnknownContext),
            })
    }
}

/// The first need that an offer does not meet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unmet {
    LacksTools(SaidBy),
    LacksVision(SaidBy),
    LacksJsonMode(SaidBy),
    UnknownTools,
    UnknownVision,
    UnknownJsonMode,
    UnknownContext,
    ContextTooShort { has: u32, by: SaidBy },
    ContextAtMost { has: u32 },
}
