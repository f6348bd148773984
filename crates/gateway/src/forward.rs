//! What of a client's request goes on to a backend, and of an answer back to the client.

use callsheet_upstream::Headers;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::time::Duration;

pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static BACKEND: HeaderName = HeaderName::from_static("x-callsheet-backend");
static ATTEMPTS: HeaderName = HeaderName::from_static("x-callsheet-attempts");

/// What a request's headers say, read in one pass.
pub(crate) struct Heard<'a> {
    pub(crate) request_id: HeaderValue,
    pub(crate) timeout: Option<&'a HeaderValue>,
    pub(crate) retry: Option<&'a HeaderValue>,
    /// Whether the body is compressed, or whatever else is not identity.
    pub(crate) is_encoded: bool,
    pub(crate) content_length: Option<usize>,
    /// What goes on to every backend that is tried.
    pub(crate) forwarded: Headers,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

impl<'a> Heard<'a> {
    pub(crate) fn read(headers: &'a HeaderMap) -> Self {
        let mut heard = Self {
            request_id: HeaderValue::from_static(""),
            timeout: None,
            retry: None,
            is_encoded: false,
            content_length: None,
            forwarded: Headers::with_capacity(512),
        };
        let mut request_id = None;
        for (name, value) in headers {
            match name.as_str() {
                "x-request-id" => request_id = Some(value),
                "x-callsheet-timeout" => heard.timeout = Some(value),
                "x-callsheet-retry" => heard.retry = Some(value),
                "content-encoding" => {
                    heard.is_encoded |= !value.as_bytes().eq_ignore_ascii_case(b"identity");
                }
                "content-length" => {
                    heard.content_length = value.to_str().ok().and_then(|text| text.parse().ok());
                }
                name if stays_here(name) || is_named_by_connection(headers, name) => {}
                name => heard.forwarded.add(name, value.as_bytes()),
            }
        }
        // Whatever the client called its body, it is read as JSON.
        heard.forwarded.add_parsed(&header::CONTENT_TYPE, &JSON);
        // A compressed stream could not be forwarded event by event.
        heard.forwarded.add_parsed(&header::ACCEPT_ENCODING, &IDENTITY);
        heard.request_id = usable_id(request_id).cloned().unwrap_or_else(random_id);
        heard.forwarded.add_parsed(&REQUEST_ID, &heard.request_id);
        heard
    }
}

/// Returns an id that can stand in a header and a log line.
fn usable_id(given: Option<&HeaderValue>) -> Option<&HeaderValue> {
    given.filter(|id| matches!(id.len(), 1..=128) && id.as_bytes().iter().all(u8::is_ascii_graphic))
}

/// Returns whether a header is no backend's business: it concerns this connection, it holds the
/// client's credentials, or it is replaced.
fn stays_here(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "content-type"
            | "transfer-encoding"
            | "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "upgrade"
            | "expect"
            | "authorization"
            | "proxy-authorization"
            | "cookie"
            | "api-key"
            | "x-api-key"
            | "accept-encoding"
            | "origin"
            | "referer"
    ) || name.starts_with("x-callsheet-")
}

/// Returns whether the client called a header one of this connection only.
fn is_named_by_connection(headers: &HeaderMap, name: &str) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|list| {
        let mut items = list.as_bytes().split(|byte| *byte == b',');
        items.any(|item| item.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    })
}

/// Completes the headers of a backend's answer for the client.
pub(crate) fn answer_headers(
    headers: &mut HeaderMap,
    backend: Option<HeaderValue>,
    attempts: usize,
) {
    // A backend's cookies would be sent to every other backend.
    headers.remove(header::SET_COOKIE);
    if let Some(backend) = backend {
        headers.insert(BACKEND.clone(), backend);
    }
    let attempts = match attempts {
        1 => HeaderValue::from_static("1"),
        more => HeaderValue::from(more),
    };
    headers.insert(ATTEMPTS.clone(), attempts);
}

/// Returns a new id: a random UUID (RFC 9562, version 4), since llama-cpp-python refuses requests
/// with any other.
fn random_id() -> HeaderValue {
    let mut random = fastrand::u128(..).to_be_bytes();
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    // By hand, because every request passes here and formatting is slow.
    let mut text = *b"00000000-0000-0000-0000-000000000000";
    let mut at = 0;
    for byte in random {
        at += usize::from(text[at] == b'-');
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("-"))
}

const HEX: [u8; 16] = *b"0123456789abcdef";

/// Reads a duration from a header: `2.5` seconds, or with a unit, `800ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok().filter(|d| !d.is_zero()),
        Err(_) => humantime::parse_duration(text).ok().filter(|d| !d.is_zero()),
    }
}

/// Reads `Retry-After`: seconds, or a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds.min(86_400)));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let left = date.duration_since(jiff::Timestamp::now());
    Duration::try_from(left).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_seconds_or_has_a_unit() {
        for (text, expected) in [
            ("2", Some(2000)),
            ("0.25", Some(250)),
            ("800ms", Some(800)),
            (" 1m ", Some(60_000)),
            ("0", None),
            ("-1", None),
            ("NaN", None),
            ("1e400", None),
            ("soon", None),
        ] {
            assert_eq!(duration(text).map(|d| d.as_millis()), expected, "{text:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(value).unwrap());
            retry_after(&headers)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("99999999"), Some(Duration::from_hours(24)));
        assert!(read("Tue, 31 Dec 2999 23:59:59 GMT").unwrap() > Duration::from_secs(1 << 30));
        assert_eq!(read("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(read("tomorrow"), None);
    }

    #[test]
    fn a_request_id_that_no_log_line_can_hold_is_replaced() {
        let id_for = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID.clone(), HeaderValue::from_str(value).unwrap());
            Heard::read(&headers).request_id
        };
        assert_eq!(id_for("abc-1"), "abc-1");
        for bad in ["", "a b", &"x".repeat(200)] {
            let id = id_for(bad);
            let bytes = id.as_bytes();
            let dashes = (0..id.len()).filter(|at| bytes[*at] == b'-');
            assert!(dashes.eq([8, 13, 18, 23]), "{bad:?}: {id:?}");
            assert!(bytes[14] == b'4' && b"89ab".contains(&bytes[19]), "{bad:?}: {id:?}");
        }
        assert_ne!(random_id(), random_id());
    }
}
