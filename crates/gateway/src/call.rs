//! One request on its way: what is known of it, from its arrival to the last byte of its answer.

use crate::{Handle, error::Failure, journal::Line, meters::Pair};
use callsheet_fleet::InFlight;
use callsheet_types::{LocalArc, Principal};
use http::HeaderValue;
use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

/// A request that is being served. However it ends – answered, cut, or forgotten because the client
/// went away – dropping it counts it, logs it, and gives the backend's place back.
pub(crate) struct Call {
    pub(crate) gateway: Handle,
    id: HeaderValue,
    pub(crate) principal: Principal,
    pub(crate) method: http::Method,
    pub(crate) path: Cow<'static, str>,
    /// The model's name as the client wrote it.
    pub(crate) model: Box<str>,
    pub(crate) stream: bool,
    pub(crate) started: Instant,
    pub(crate) attempts: usize,
    pub(crate) status: u16,
    pub(crate) sent_bytes: u64,
    serving: Option<Serving>,
    first_byte: Option<Duration>,
    ending: Ending,
    /// When the backend had answered completely.
    ended: Option<Instant>,
}

/// The attempt that is under way.
struct Serving {
    place: InFlight,
    meters: LocalArc<Pair>,
    since: Instant,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    /// It has not: when it is dropped now, the client has gone away.
    Open,
    Answered,
    Cut(&'static str),
    Refused(&'static str),
}

/// The status that logs show for a client that went away before it was answered.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// How long a backend is left alone that answered 429 and did not say for how long.
const BUSY: Duration = Duration::from_secs(1);

impl Call {
    pub(crate) fn new(
        gateway: Handle,
        id: HeaderValue,
        principal: Principal,
        method: http::Method,
        path: Cow<'static, str>,
        started: Instant,
    ) -> Self {
        Self {
            gateway,
            id,
            principal,
            method,
            path,
            model: "".into(),
            stream: false,
            started,
            attempts: 0,
            status: CLIENT_CLOSED_REQUEST,
            sent_bytes: 0,
            serving: None,
            first_byte: None,
            ending: Ending::Open,
            ended: None,
        }
    }

    /// Begins an attempt on the backend whose place this is; an earlier one's place is given back.
    pub(crate) fn begin(&mut self, place: InFlight, model: &str, now: Instant) {
        let id = &place.backend().id;
        let is_there = || self.gateway.fleet.get_backend(id).is_some();
        let meters = self.gateway.meters.pair(id, model, is_there);
        self.attempts += 1;
        self.first_byte = None;
        self.serving = Some(Serving { place, meters, since: now });
    }

    /// Returns the request's id.
    pub(crate) fn id(&self) -> &str {
        // Ids are graphic ASCII, see where they are read.
        self.id.to_str().unwrap_or("-")
    }

    /// Returns the id of the backend that is being asked.
    pub(crate) fn backend(&self) -> &str {
        self.serving.as_ref().map_or("", |serving| &serving.place.backend().id)
    }

    /// Returns that id as a header's value.
    pub(crate) fn backend_header(&self) -> Option<HeaderValue> {
        self.serving.as_ref().map(|serving| serving.meters.backend.clone())
    }

    /// Returns how that backend is reached.
    pub(crate) fn link(&self) -> Option<&callsheet_fleet::Link> {
        self.serving.as_ref()?.place.backend().link().map(|link| &**link)
    }

    /// Notes that the answer has begun.
    pub(crate) fn first_byte(&mut self, now: Instant) {
        let Some(serving) = &self.serving else { return };
        let took = now.saturating_duration_since(serving.since);
        self.first_byte = Some(took);
        serving.place.first_byte(took, now);
        serving.meters.tally.first_byte(took);
        if serving.place.is_trial() {
            // Peers need not wait for the end of a long stream to learn that the backend is back.
            serving.place.succeeded(now);
        }
    }

    /// Notes that the backend has answered completely.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.ending = Ending::Answered;
        self.ended = Some(now);
        if let Some(serving) = &self.serving {
            serving.place.finished(now.saturating_duration_since(serving.since));
            serving.place.succeeded(now);
        }
    }

    /// Notes that the backend failed, which may take it out of routing for a while.
    pub(crate) fn failed(&mut self, failure: &Failure, model: &str) {
        let Some(serving) = &self.serving else { return };
        let now = Instant::now();
        let backend = serving.place.backend();
        let class = failure.class();
        let ejected = match (failure, failure.retry_after()) {
            (Failure::OutOfTime, _) => None,
            (_, Some(rest)) => serving.place.rest(rest, now),
            (Failure::Status { code: 429, .. }, None) => serving.place.rest(BUSY, now),
            (_, None) => serving.place.failed(now),
        };
        self.gateway.meters.failed(&backend.id, model, class);
        if let Some(duration) = ejected {
            self.gateway.meters.ejected(&backend.id);
            tracing::warn!(
                backend = &*backend.id,
                class,
                for_ms = duration.as_millis() as u64,
                "backend is out of routing"
            );
        }
        self.gateway.forget_if_gone(&backend.id);
    }

    /// Notes that the answer was cut after it had begun.
    pub(crate) fn cut(&mut self, failure: &Failure, model: &str) {
        self.failed(failure, model);
        self.ending = Ending::Cut(failure.class());
    }

    /// Gives back the place of an attempt that failed, so that nobody waits for it.
    pub(crate) fn release(&mut self) -> Option<Arc<callsheet_fleet::registry::Backend>> {
        self.serving.take().map(|serving| Arc::clone(serving.place.backend()))
    }

    pub(crate) fn refused(&mut self, code: &'static str, status: u16) {
        self.ending = Ending::Refused(code);
        self.status = status;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let total = self.ended.unwrap_or_else(Instant::now).duration_since(self.started);
        let (outcome, detail) = match (self.ending, self.status) {
            (Ending::Open, _) => ("client_gone", "client_gone"),
            (Ending::Cut(class), _) => ("cut", class),
            (Ending::Refused(code), _) => ("refused", code),
            (Ending::Answered, 400..500) => ("client_error", "client_error"),
            (Ending::Answered, 500..) => ("server_error", "server_error"),
            (Ending::Answered, _) => ("ok", "ok"),
        };
        match &self.serving {
            Some(serving) => {
                serving.meters.tally.ended(outcome, total);
            }
            None if outcome == "ok" => self.gateway.meters.answered_here(total),
            None => self.gateway.meters.refused(detail, total),
        }
        self.gateway.journal.write(&Line {
            request_id: self.id(),
            principal: self.principal.as_str(),
            method: self.method.as_str(),
            path: &self.path,
            model: &self.model,
            served_model: self.serving.as_ref().map(|serving| &*serving.meters.model),
            backend: self.backend(),
            status: self.status,
            outcome: detail,
            stream: self.stream,
            attempts: self.attempts,
            first_byte: self.first_byte,
            total,
            sent_bytes: self.sent_bytes,
        });
    }
}
