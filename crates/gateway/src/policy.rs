//! What the gateway is told to do: one immutable value, replaced as a whole.

use crate::RetryAllowance;
use callsheet_types::Preset;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How the gateway treats requests. Which backend serves one is the fleet's own policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Models with parameters, by `TIER/SLOT`; a request names one `callsheet:TIER/SLOT`. The model
    /// is resolved like any name, but that of another preset is none. A parameter counts where a
    /// request leaves it open; what the request is about, and whether its answer is a stream
    /// (`model`, `messages`, `prompt`, `input`, `stream`, `stream_options`), is never filled.
    pub presets: HashMap<String, Preset>,
    /// Another name for a model; may lead to a further alias, never in a circle.
    pub aliases: HashMap<String, String>,
    /// What else models are called, exactly as a request may write it. It counts only where no
    /// backend offers a model of this name.
    pub also: Arc<HashMap<String, Vec<Also>>>,
    /// The models to try, in order, when none of a model's backends can serve.
    pub fallbacks: HashMap<String, Vec<String>>,
    /// Whether a request that a backend may already have served is sent to another.
    pub retry: Retry,
    /// How many retries there may be.
    pub retries: RetryAllowance,
    /// How many bytes of prompt make a token, for the estimate of the context that is needed.
    pub bytes_per_token: f64,
    /// What is granted to a request, in time and space.
    pub limits: Limits,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            presets: HashMap::new(),
            aliases: HashMap::new(),
            also: Arc::default(),
            fallbacks: HashMap::new(),
            retry: Retry::Always,
            retries: RetryAllowance::default(),
            bytes_per_token: 4.0,
            limits: Limits::default(),
        }
    }
}

/// A model that has a further name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Also {
    /// Its id as backends list it.
    pub model: String,
    /// The only backend whose model of this id it is; `None` where it is that of all.
    pub backend: Option<String>,
}

/// What happens after a reset or a time-out, when the request may already have been served.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retry {
    /// Another backend is asked only where the first has surely not served the request.
    Safe,
    /// Another backend is asked; at worst two generate the same answer.
    #[default]
    Always,
}

/// Bounds in bytes and in time.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest request body.
    pub body_bytes: usize,
    /// All request bodies that are held at once.
    pub total_body_bytes: usize,
    /// The longest answer that is not a stream.
    pub answer_bytes: u64,
    /// The longest single event of a stream.
    pub event_bytes: usize,
    /// For the request body to arrive.
    pub body_timeout: Duration,
    /// From sending the request to the first byte of the answer, or its first whole event.
    pub first_byte_timeout: Duration,
    /// Between two parts of an answer.
    pub idle_timeout: Duration,
    /// For the whole request, retries included.
    pub total_timeout: Duration,
    /// Waiting for a backend with room.
    pub queue_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            total_body_bytes: 512 << 20,
            answer_bytes: 256 << 20,
            event_bytes: 8 << 20,
            body_timeout: Duration::from_secs(30),
            first_byte_timeout: Duration::from_mins(5),
            idle_timeout: Duration::from_mins(2),
            total_timeout: Duration::from_mins(30),
            queue_timeout: Duration::from_secs(30),
        }
    }
}
