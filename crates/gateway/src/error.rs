//! Why a request got no answer of a backend, and how that is said: in OpenAI's shape, with a stable
//! code, the request's id and the remedy.

use crate::{body::Body, scan::ScanError};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use std::{fmt, time::Duration};

/// A request that was not answered by a backend.
#[derive(Debug)]
pub(crate) enum Refused {
    UnknownPath,
    MethodNotAllowed { allowed: &'static str },
    BadHeader { name: &'static str, expected: &'static str },
    ContentEncoding,
    BodyTooLarge { limit: usize },
    BodyTimeout,
    BodyCut,
    NoMemory,
    Unreadable { message: String, param: Option<&'static str> },
    UnknownModel { model: String, leads_to: Option<String> },
    UnknownPreset { model: String, presets: Vec<String> },
    Starting { model: String },
    NoneAvailable { model: String, why: String, retry_after: Option<Duration> },
    NeedsUnmet { model: String, why: String },
    QueueFull { model: String },
    QueueTimeout { model: String, waited: Duration },
    Deadline { spent: Duration },
    Failed { model: String, attempts: Vec<(String, Failure)> },
}

impl From<ScanError> for Refused {
    fn from(error: ScanError) -> Self {
        Self::Unreadable { param: error.param(), message: error.to_string() }
    }
}

/// Why one backend did not serve a request.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// No connection came about.
    Connect {
        message: String,
    },
    ConnectTimeout,
    Tls {
        message: String,
    },
    /// The connection ended before the answer began.
    Closed {
        whole_request_sent: bool,
    },
    FirstByteTimeout,
    /// The answer is no HTTP, or not what such an endpoint answers.
    Garbage {
        message: String,
    },
    /// The answer stopped before anything of it was passed on.
    Cut {
        message: String,
    },
    Stalled,
    /// The time that the request had in all is over, which is not the backend's fault.
    OutOfTime,
    Status {
        code: u16,
        message: String,
        retry_after: Option<Duration>,
    },
}

impl Failure {
    /// Returns whether the backend may have done the work already.
    pub(crate) fn may_have_been_served(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::ConnectTimeout
            | Self::Tls { .. }
            | Self::Status { .. } => false,
            Self::Closed { whole_request_sent } => *whole_request_sent,
            Self::FirstByteTimeout
            | Self::Garbage { .. }
            | Self::Cut { .. }
            | Self::Stalled
            | Self::OutOfTime => true,
        }
    }

    /// Returns the word that metrics use.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls { .. } => "tls",
            Self::Closed { .. } => "reset",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::Garbage { .. } => "garbage",
            Self::Cut { .. } => "cut",
            Self::Stalled => "stalled",
            Self::OutOfTime => "deadline",
            Self::Status { code: 401, .. } => "unauthorized",
            Self::Status { code: 429, .. } => "rate_limited",
            Self::Status { .. } => "status_5xx",
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { message } => write!(f, "did not accept the connection ({message})"),
            Self::ConnectTimeout => f.write_str("did not accept the connection in time"),
            Self::Tls { message } => write!(f, "failed the TLS handshake ({message})"),
            Self::Closed { .. } => f.write_str("closed the connection before it answered"),
            Self::FirstByteTimeout => f.write_str("did not begin to answer in time"),
            Self::Garbage { message } => write!(f, "answered garbage ({message})"),
            Self::Cut { message } => write!(f, "stopped in the middle of its answer ({message})"),
            Self::Stalled => f.write_str("stalled in the middle of its answer"),
            Self::OutOfTime => f.write_str("was still answering when the request's time was over"),
            Self::Status { code: 401, .. } => {
                f.write_str("refused the key that Callsheet holds for it (401)")
            }
            Self::Status { code, message, .. } if message.is_empty() => {
                write!(f, "answered {code}")
            }
            Self::Status { code, message, .. } => write!(f, "answered {code}: {message}"),
        }
    }
}

/// How a refusal is said.
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) code: &'static str,
    pub(crate) param: Option<&'static str>,
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
}

impl Refused {
    /// Returns the one place where refusals become a status, a stable code and a sentence.
    pub(crate) fn say(&self) -> Said {
        let (status, code, message) = match self {
            Self::UnknownPath => (404, "unknown_endpoint", "there is no such endpoint; Callsheet serves /v1/chat/completions, /v1/completions, /v1/embeddings and /v1/models".to_owned()),
            Self::MethodNotAllowed { allowed } => (405, "method_not_allowed", format!("this endpoint takes {allowed}")),
            Self::BadHeader { name, expected } => (400, "invalid_header", format!("the header {name} must be {expected}")),
            Self::ContentEncoding => (415, "unsupported_content_encoding", "the request body is compressed; send it with identity encoding".to_owned()),
            Self::BodyTooLarge { limit } => (413, "body_too_large", format!("the request body is longer than {limit} bytes; send less, or raise limits.body_bytes")),
            Self::BodyTimeout => (408, "body_timeout", "the request body did not arrive in time; send it faster, or raise limits.body_timeout".to_owned()),
            Self::BodyCut => (400, "body_incomplete", "the request body ended early".to_owned()),
            Self::NoMemory => (503, "overloaded", "too many request bodies are being held; try again, or raise limits.total_body_bytes".to_owned()),
            Self::Unreadable { message, .. } => (400, "invalid_body", message.clone()),
            Self::UnknownModel { model, leads_to: None } => (404, "model_not_found", format!("no backend offers the model {model:?} and no alias has this name; GET /v1/models lists what can be called")),
            Self::UnknownModel { model, leads_to: Some(leads_to) } => (404, "model_not_found", format!("{model:?} stands for {leads_to:?}, which no backend offers; GET /v1/models lists what can be called")),
            Self::UnknownPreset { model, presets } => (404, "model_not_found", format!("there is no preset {model:?}; {}", there_are(presets))),
            Self::Starting { model } => (503, "starting", format!("the backends have not all been asked for their models yet, {model:?} may be among them; try again")),
            Self::NoneAvailable { model, why, .. } => (503, "no_backend_available", format!("no backend can serve {model:?} now: {why}")),
            Self::NeedsUnmet { model, why } => (400, "capability_unavailable", format!("no backend can serve this request to {model:?}: {why}")),
            Self::QueueFull { model } => (503, "queue_full", format!("every backend of {model:?} is busy and the queue is full; try again, or raise limits.queue_size")),
            Self::QueueTimeout { model, waited } => (503, "queue_timeout", format!("every backend of {model:?} stayed busy for {}; try again, or raise limits.queue_timeout", human(*waited))),
            Self::Deadline { spent } => (504, "deadline_exceeded", format!("the request was not answered within {}; raise x-callsheet-timeout or limits.total_timeout", human(*spent))),
            Self::Failed { model, attempts } => {
                let status = match attempts.last() {
                    Some((_, Failure::Status { code: 429, .. })) => 429,
                    Some((_, Failure::Status { code: 503, .. })) => 503,
                    Some((_, Failure::FirstByteTimeout | Failure::ConnectTimeout)) => 504,
                    _ => 502,
                };
                let code = attempts.last().map_or("backend_failed", |(_, failure)| match failure {
                    Failure::Status { code: 429, .. } => "backend_rate_limited",
                    Failure::Status { code: 401, .. } => "backend_unauthorized",
                    Failure::FirstByteTimeout | Failure::ConnectTimeout => "backend_timeout",
                    _ => "backend_failed",
                });
                let tried: Vec<_> = attempts.iter().map(|(name, failure)| format!("{name} {failure}")).collect();
                (status, code, format!("the request to {model:?} failed: {}; `callsheet backend list` shows each backend's health", tried.join("; ")))
            }
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = match status.as_u16() {
            429 => "rate_limit_error",
            400..500 => "invalid_request_error",
            502 => "upstream_error",
            504 => "timeout_error",
            _ => "server_error",
        };
        let param = match self {
            Self::Unreadable { param, .. } => *param,
            Self::UnknownModel { .. } | Self::UnknownPreset { .. } | Self::NeedsUnmet { .. } => {
                Some("model")
            }
            _ => None,
        };
        let second = Some(Duration::from_secs(1));
        let retry_after = match self {
            Self::NoneAvailable { retry_after, .. } => retry_after.or(second),
            Self::NoMemory
            | Self::Starting { .. }
            | Self::QueueFull { .. }
            | Self::QueueTimeout { .. } => second,
            Self::Failed { attempts, .. } => {
                attempts.iter().filter_map(|(_, failure)| failure.retry_after()).min()
            }
            _ => None,
        };
        Said { status, kind, code, param, message, retry_after }
    }

    /// Returns the answer to the client.
    pub(crate) fn response(&self, request_id: &str) -> Response<Body> {
        let said = self.say();
        let mut response = Response::new(Body::full(said.json(request_id)));
        *response.status_mut() = said.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = said.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Self::MethodNotAllowed { allowed } = self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}

impl Said {
    /// Returns the body of an error answer.
    pub(crate) fn json(&self, request_id: &str) -> Bytes {
        let error = serde_json::json!({ "error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
            "request_id": request_id,
        }});
        Bytes::from(error.to_string())
    }
}

/// Returns the event that ends a stream which could not be completed.
pub(crate) fn cut_event(
    backend: &str,
    failure: &Failure,
    code: &'static str,
    request_id: &str,
) -> Bytes {
    let said = Said {
        status: StatusCode::BAD_GATEWAY,
        kind: "upstream_error",
        code,
        param: None,
        message: format!("the answer is incomplete: {backend} {failure}; send the request again"),
        retry_after: None,
    };
    let json = said.json(request_id);
    let mut event = Vec::with_capacity(json.len() + 8);
    event.extend_from_slice(b"data: ");
    event.extend_from_slice(&json);
    event.extend_from_slice(b"\n\n");
    Bytes::from(event)
}

/// Names a few presets.
fn there_are(presets: &[String]) -> String {
    const FEW: usize = 8;
    let few: Vec<_> = presets.iter().take(FEW).map(|name| format!("callsheet:{name}")).collect();
    match presets.len() {
        0 => "no presets are defined".to_owned(),
        all if all > FEW => format!("there are {all}, {} and others", few.join(", ")),
        _ => format!("there are {}", few.join(", ")),
    }
}

fn human(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_millis(duration.as_millis() as u64))
}
