//! What providers say of the models that they serve.
//!
//! Each provider's list is fetched once and whole ([`list`]), then read by a function of bytes.
//! What is odd about one model is a problem of that model; an answer that is no list, or only a
//! part of one, is refused. Start with [`ProviderSpec`], which is what a config file says.

mod anthropic;
mod ask;
mod error;
mod generic;
mod google;
mod huggingface;
mod kind;
mod list;
mod llamacpp;
mod ollama;
mod openai;
mod openrouter;
mod parse;
mod read;
mod replicate;
mod spec;
mod vllm;

pub use error::{ListError, ProviderError};
pub use kind::ProviderKind;
pub use list::list;
pub use parse::parse;
pub use spec::{Provider, ProviderSpec, SpecError};

use crate::Facts;
use callsheet_types::Problem;
use std::collections::{BTreeMap, BTreeSet};

/// What a provider answered with.
#[derive(Clone, Debug)]
pub enum Listed {
    /// Its list.
    New(Listing),
    /// It is as it was.
    NotModified,
}

/// A provider's models.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// What it says of each, by the id that it has there.
    pub models: BTreeMap<String, Facts>,
    /// What could not be used.
    pub problems: Vec<Problem>,
    /// Models that it has, and of which nothing could be learned this time; each has a problem.
    pub unread: BTreeSet<String>,
    /// The list's entity tag, where one answer was all of it.
    pub revision: Option<String>,
}
