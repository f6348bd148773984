//! One attempt: a request to one backend, up to the point where its answer has truly begun.

use crate::{
    Policy, Retry,
    body::{ANSWER_TOO_LONG, AnswerStream, Body, Patience, Shape, broken},
    call::Call,
    error::Failure,
    fill::Fill,
    forward,
    resolve::Target,
    scan::Scan,
    sse::{Events, Opening, opening},
};
use bytes::{Bytes, BytesMut};
use callsheet_upstream::{Answer, AnswerBody, Deadlines, Headers, Replay, SendError};
use http::{HeaderMap, Response, StatusCode, header};
use serde::de::IgnoredAny;
use std::time::{Duration, Instant};

/// What a client wants, whoever serves it.
pub(crate) struct Wanted<'a> {
    pub(crate) path: &'static str,
    pub(crate) headers: &'a Headers,
    pub(crate) body: &'a Bytes,
    pub(crate) scan: &'a Scan<'a>,
}

/// How it is tried.
pub(crate) struct Attempt<'a> {
    pub(crate) target: Target<'a>,
    /// What the target's preset adds to the body.
    pub(crate) fill: Option<&'a Fill<'a>>,
    pub(crate) policy: &'a Policy,
    pub(crate) deadline: Instant,
    pub(crate) retry: Retry,
}

/// An answer that is no stream is held back up to this length, so that one which breaks off can
/// still be had elsewhere.
const HELD_BYTES: usize = 1 << 20;

/// What is read of an answer that only explains a failure.
const EXPLANATION_BYTES: usize = 16 << 10;
const EXPLANATION_TIME: Duration = Duration::from_secs(1);

impl Wanted<'_> {
    /// Returns the body with the model's name as the backend knows it, and with what a preset adds;
    /// nothing else is touched.
    fn body_for(&self, model: &str, fill: Option<&Fill<'_>>) -> [Bytes; 3] {
        let range = &self.scan.model_range;
        if let Some(fill) = fill {
            return fill.body(self.body, range, model);
        }
        if self.scan.model == model {
            return [self.body.clone(), Bytes::new(), Bytes::new()];
        }
        let name = serde_json::Value::from(model).to_string();
        [self.body.slice(..range.start), name.into(), self.body.slice(range.end..)]
    }
}

impl Attempt<'_> {
    /// Sends the request to the backend that `call` has begun with, and returns its answer, or the
    /// call and what went wrong.
    pub(crate) async fn run(
        &self,
        mut call: Box<Call>,
        wanted: &Wanted<'_>,
        now: Instant,
    ) -> Result<Response<Body>, (Box<Call>, Failure)> {
        let begun = match self.begin(&mut call, wanted, now).await {
            Ok(begun) => begun,
            Err(failure) => return Err((call, failure)),
        };
        let Begun { status, mut headers, rest } = begun;
        call.status = status.as_u16();
        forward::answer_headers(&mut headers, call.backend_header(), call.attempts);
        let body = match rest {
            Rest::Whole(bytes) => {
                call.sent_bytes = bytes.len() as u64;
                call.answered(Instant::now());
                Body::full(bytes)
            }
            Rest::Coming { ready, answer, shape } => {
                let idle = self.policy.limits.idle_timeout;
                let patience =
                    Patience { idle, deadline: self.deadline, last_read: Instant::now() };
                let stream =
                    AnswerStream::new(call, self.target.model, answer, ready, shape, patience);
                Body::answer(stream)
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    async fn begin(
        &self,
        call: &mut Call,
        wanted: &Wanted<'_>,
        sent_at: Instant,
    ) -> Result<Begun, Failure> {
        let first_byte_by = self.deadline.min(sent_at + self.policy.limits.first_byte_timeout);
        let Answer { status, headers, body } = {
            let link = call.link().ok_or_else(|| Failure::Connect {
                message: "no address is known for it".to_owned(),
            })?;
            let body = wanted.body_for(self.target.model, self.fill);
            let mut request = link.request("POST", wanted.path);
            request.headers(wanted.headers);
            request.body(body);
            let replay = match self.retry {
                Retry::Always => Replay::Always,
                Retry::Safe => Replay::BeforeSent,
            };
            let deadlines = Deadlines { head: first_byte_by.into(), replay };
            let sent = link.upstream().send(&request, deadlines).await;
            sent.map_err(|error| self.unsent(&error))?
        };
        if is_failure(status) {
            return Err(refused_by_backend(status, &headers, body).await);
        }
        let is_events = headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
            kind.as_bytes().trim_ascii_start().starts_with(b"text/event-stream")
        });
        let rest = if is_events && status.is_success() {
            self.first_event(body, first_byte_by).await?
        } else {
            let now = Instant::now();
            let rest = self.plain(status, body, now).await?;
            // Only now: a head alone must not pass for an answer, least of all in a trial.
            call.first_byte(now);
            return Ok(Begun { status, headers, rest });
        };
        call.first_byte(Instant::now());
        Ok(Begun { status, headers, rest })
    }

    /// Reads a stream up to its first whole event: until that has come, another backend can still
    /// serve without anybody noticing.
    async fn first_event(&self, mut body: AnswerBody, by: Instant) -> Result<Rest, Failure> {
        let limit = self.policy.limits.event_bytes;
        let mut events = Events::default();
        let mut ready = BytesMut::new();
        let opened = loop {
            let read = body.data_before(by).await.map_err(|_| self.too_late())?;
            let ended = read.is_none();
            let whole = match read {
                Some(chunk) => {
                    let chunk = chunk.map_err(|error| broken(&error))?;
                    events
                        .push(chunk, limit)
                        .map_err(|error| Failure::Garbage { message: error.to_string() })?
                }
                None => events.finish(),
            };
            // What came before is comments, and is not looked at again.
            match opening(&whole) {
                Opening::Events if !ended || events.is_complete() => {
                    if ready.is_empty() {
                        break whole;
                    }
                    ready.extend_from_slice(&whole);
                    break ready.freeze();
                }
                Opening::Garbage => {
                    return Err(Failure::Garbage { message: "no event stream of JSON".to_owned() });
                }
                Opening::Events | Opening::Comments if ended => {
                    return Err(Failure::Cut {
                        message: "the stream ended without its end marker".to_owned(),
                    });
                }
                Opening::Events | Opening::Comments => ready.extend_from_slice(&whole),
            }
            if ready.len() > limit {
                return Err(Failure::Garbage { message: "comments without end".to_owned() });
            }
        };
        if body.is_end() && events.is_complete() {
            return Ok(Rest::Whole(opened));
        }
        Ok(Rest::Coming { ready: opened, answer: body, shape: Shape::Events { events, limit } })
    }

    /// Reads an answer that is no stream: whole, or as much as is held back.
    async fn plain(
        &self,
        status: StatusCode,
        mut body: AnswerBody,
        mut now: Instant,
    ) -> Result<Rest, Failure> {
        let is_close_delimited = body.is_close_delimited();
        let limit = self.policy.limits.answer_bytes;
        if body.exact_length().is_some_and(|length| length > limit) {
            return Err(Failure::Garbage { message: ANSWER_TOO_LONG.to_owned() });
        }
        let mut held = Bytes::new();
        let mut more = BytesMut::new();
        while !body.is_end() && held.len().max(more.len()) < HELD_BYTES {
            let by = self.deadline.min(now + self.policy.limits.idle_timeout);
            let Some(chunk) = body.data_before(by).await.map_err(|_| self.stalled())? else {
                break;
            };
            if !body.is_end() {
                now = Instant::now();
            }
            let chunk = chunk.map_err(|error| broken(&error))?;
            if held.is_empty() {
                // Most answers come in one piece and are not copied.
                held = chunk;
            } else {
                if more.is_empty() {
                    more.extend_from_slice(&held);
                }
                more.extend_from_slice(&chunk);
            }
            if held.len().max(more.len()) as u64 > limit {
                return Err(Failure::Garbage { message: ANSWER_TOO_LONG.to_owned() });
            }
        }
        if !more.is_empty() {
            held = more.freeze();
        }
        let first = held.trim_ascii_start().first();
        if status.is_success() && !matches!(first, Some(b'{' | b'[')) {
            return Err(Failure::Garbage {
                message: "a successful answer that is not JSON".to_owned(),
            });
        }
        if !body.is_end() {
            let left = limit - held.len() as u64;
            return Ok(Rest::Coming { ready: held, answer: body, shape: Shape::Plain { left } });
        }
        // Nothing but its own syntax tells whether an answer without a length is whole.
        let is_cut = is_close_delimited
            && status.is_success()
            && serde_json::from_slice::<IgnoredAny>(&held).is_err();
        if is_cut {
            return Err(Failure::Cut { message: "the answer is not complete JSON".to_owned() });
        }
        Ok(Rest::Whole(held))
    }

    fn unsent(&self, error: &SendError) -> Failure {
        match error {
            SendError::Connect(cause) => Failure::Connect { message: cause.to_string() },
            SendError::ConnectTimeout => Failure::ConnectTimeout,
            SendError::Tls(cause) => Failure::Tls { message: cause.to_string() },
            SendError::Closed { sent, .. } => Failure::Closed { whole_request_sent: *sent },
            SendError::HeadTimeout => self.too_late(),
            SendError::HeadTooLarge => {
                Failure::Garbage { message: "a head without end".to_owned() }
            }
            SendError::Malformed(malformed) => Failure::Garbage { message: malformed.to_string() },
        }
    }

    fn too_late(&self) -> Failure {
        if Instant::now() >= self.deadline { Failure::OutOfTime } else { Failure::FirstByteTimeout }
    }

    fn stalled(&self) -> Failure {
        if Instant::now() >= self.deadline { Failure::OutOfTime } else { Failure::Stalled }
    }
}

/// An answer that can be passed on.
struct Begun {
    status: StatusCode,
    headers: HeaderMap,
    rest: Rest,
}

enum Rest {
    Whole(Bytes),
    Coming { ready: Bytes, answer: AnswerBody, shape: Shape },
}

/// Returns whether another backend may do better. What is wrong with the request itself (the other
/// 4xx) is the client's to hear.
fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 300..=399 | 401 | 408 | 429 | 500..)
}

async fn refused_by_backend(status: StatusCode, headers: &HeaderMap, body: AnswerBody) -> Failure {
    let code = status.as_u16();
    if status.is_redirection() {
        return Failure::Garbage { message: format!("a redirection, {code}; is its URL right?") };
    }
    let retry_after = match code {
        429 | 503 => forward::retry_after(headers),
        _ => None,
    };
    // Reading it to its end lets the connection be used again.
    let reading = tokio::time::timeout(EXPLANATION_TIME, body.collect(EXPLANATION_BYTES));
    let text = match reading.await {
        Ok(Ok(text)) => text,
        _ => Bytes::new(),
    };
    Failure::Status { code, message: explanation(&text), retry_after }
}

/// Returns the message in a backend's error answer, in whichever of the usual places it stands.
fn explanation(body: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else { return String::new() };
    let places = [&value["error"]["message"], &value["error"], &value["message"], &value["detail"]];
    let message = places.iter().find_map(|place| place.as_str()).unwrap_or_default();
    message.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_is_replaced() {
        let body = Bytes::from_static(br#"{"x": 1.0, "model" : "fast", "y":[ ]}"#);
        let scan = crate::scan::scan(&body).unwrap();
        let headers = Headers::default();
        let wanted = Wanted { path: "/v1/x", headers: &headers, body: &body, scan: &scan };
        let sent = |model| String::from_utf8(wanted.body_for(model, None).concat()).unwrap();
        assert_eq!(sent("fast"), r#"{"x": 1.0, "model" : "fast", "y":[ ]}"#);
        assert_eq!(sent("a\"b"), r#"{"x": 1.0, "model" : "a\"b", "y":[ ]}"#);
    }

    #[test]
    fn a_backends_explanation_is_found_where_backends_put_it() {
        for (body, expected) in [
            (r#"{"error":{"message":"out of memory"}}"#, "out of memory"),
            (r#"{"error":"no such model"}"#, "no such model"),
            (r#"{"detail":"busy"}"#, "busy"),
            ("<html>", ""),
            ("", ""),
        ] {
            assert_eq!(explanation(body.as_bytes()), expected);
        }
    }
}
