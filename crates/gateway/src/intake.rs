//! What comes in with a request, before anybody is asked to serve it: which endpoint, what the client
//! wishes of the gateway itself, and the body under its limits.

use crate::{
    Policy, Retry,
    budget::Held,
    error::Refused,
    forward::{self, Heard},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, request::Parts};
use http_body_util::BodyExt;
use std::{
    borrow::Cow,
    fmt::Display,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Instant,
};
use tokio::time::sleep;

/// What is asked for by method and path.
pub(crate) enum Endpoint<'a> {
    Call(&'static str),
    Models,
    Model(&'a str),
}

const CALLS: [&str; 3] = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"];

/// Returns the path for the log, without a copy where it is one that is called all the time.
pub(crate) fn path_of(parts: &Parts) -> Cow<'static, str> {
    let path = parts.uri.path();
    match CALLS.iter().find(|known| **known == path) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(path.to_owned()),
    }
}

/// Returns what a method and a path ask for.
pub(crate) fn endpoint(parts: &Parts) -> Result<Endpoint<'_>, Refused> {
    let path = parts.uri.path();
    if let Some(known) = CALLS.iter().find(|known| **known == path) {
        let is_post = parts.method == Method::POST;
        return if is_post {
            Ok(Endpoint::Call(known))
        } else {
            Err(Refused::MethodNotAllowed { allowed: "POST" })
        };
    }
    let listing = match path.strip_prefix("/v1/models") {
        Some("" | "/") => Endpoint::Models,
        Some(rest) if rest.starts_with('/') => Endpoint::Model(&rest[1..]),
        _ => return Err(Refused::UnknownPath),
    };
    if parts.method == Method::GET {
        Ok(listing)
    } else {
        Err(Refused::MethodNotAllowed { allowed: "GET" })
    }
}

/// What a client asks of the gateway itself.
#[derive(Clone, Copy)]
pub(crate) struct Wishes {
    pub(crate) deadline: Instant,
    pub(crate) retry: Retry,
}

impl Wishes {
    pub(crate) fn read(
        heard: &Heard<'_>,
        policy: &Policy,
        started: Instant,
    ) -> Result<Self, Refused> {
        if heard.is_encoded {
            return Err(Refused::ContentEncoding);
        }
        let mut total = policy.limits.total_timeout;
        if let Some(value) = heard.timeout {
            let asked =
                value.to_str().ok().and_then(forward::duration).ok_or(Refused::BadHeader {
                    name: "x-callsheet-timeout",
                    expected: "a positive number of seconds, or a duration such as \"800ms\"",
                })?;
            total = total.min(asked);
        }
        let retry = match heard.retry.map(HeaderValue::as_bytes) {
            None => policy.retry,
            Some(b"safe") => Retry::Safe,
            Some(b"always") => Retry::Always,
            Some(_) => {
                return Err(Refused::BadHeader {
                    name: "x-callsheet-retry",
                    expected: "\"safe\" or \"always\"",
                });
            }
        };
        Ok(Self { deadline: started + total, retry })
    }
}

/// Collects a request body under its limits.
pub(crate) async fn collect<'a, B>(
    body: B,
    heard: &Heard<'_>,
    policy: &Policy,
    mut held: Held<'a>,
) -> Result<(Bytes, Held<'a>), Refused>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Display,
{
    let limits = &policy.limits;
    let too_large = || Refused::BodyTooLarge { limit: limits.body_bytes };
    let announced = heard.content_length.unwrap_or(0);
    if announced > limits.body_bytes {
        return Err(too_large());
    }
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    let collecting = async {
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Refused::BodyCut)?.into_data() else { continue };
            let length = first.len() + more.len() + data.len();
            if length > limits.body_bytes {
                return Err(too_large());
            }
            if !held.grow(data.len(), limits.total_body_bytes) {
                return Err(Refused::NoMemory);
            }
            if first.is_empty() && more.is_empty() {
                // Most bodies come in one piece and are not copied.
                first = data;
            } else {
                if more.is_empty() {
                    more.reserve(announced.clamp(length, length.max(1 << 20)));
                    more.extend_from_slice(&std::mem::take(&mut first));
                }
                more.extend_from_slice(&data);
            }
        }
        Ok(())
    };
    let mut collecting = pin!(collecting);
    // Most bodies are there already and need no timer.
    let mut alarm = None;
    poll_fn(|cx| {
        if let Poll::Ready(done) = collecting.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        let alarm = alarm.get_or_insert_with(|| Box::pin(sleep(limits.body_timeout)));
        alarm.as_mut().poll(cx).map(|()| Err(Refused::BodyTimeout))
    })
    .await?;
    Ok((if more.is_empty() { first } else { more.freeze() }, held))
}
