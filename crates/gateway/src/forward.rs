//! What of a client's request goes on to a backend, and of an answer back to the client.

use callsheet_upstream::Headers;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::time::Duration;

pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static BACKEND: HeaderName = HeaderName::from_static("x-callsheet-backend");
static ATTEMPTS: HeaderName = HeaderName::from_static("x-callsheet-attempts");

/// What a request's headers say, read in one pass.
pub(crate) struct Heard<'a> {
    pub(crate) request_id: Box<str>,
    pub(crate) timeout: Option<&'a HeaderValue>,
    pub(crate) retry: Option<&'a HeaderValue>,
    /// Whether the body is compressed, or whatever else is not identity.
    pub(crate) is_encoded: bool,
    pub(crate) content_length: Option<usize>,
    /// What goes on to every backend that is tried.
    pub(crate) forwarded: Headers,
}

impl<'a> Heard<'a> {
    pub(crate) fn read(headers: &'a HeaderMap) -> Self {
        let mut heard = Self {
            request_id: "".into(),
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
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        heard.forwarded.add_parsed(&header::CONTENT_TYPE, &JSON);
        // A compressed stream could not be forwarded event by event.
        const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
        heard.forwarded.add_parsed(&header::ACCEPT_ENCODING, &IDENTITY);
        heard.request_id = usable_id(request_id).map_or_else(random_id, Into::into);
        heard.forwarded.add(REQUEST_ID.as_str(), heard.request_id.as_bytes());
        heard
    }
}

/// Returns an id that can stand in a header and a log line.
fn usable_id(given: Option<&HeaderValue>) -> Option<&str> {
    let id = given?.to_str().ok()?;
    let is_usable = !id.is_empty() && id.len() <= 128 && id.bytes().all(|b| b.is_ascii_graphic());
    is_usable.then_some(id)
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
fn random_id() -> Box<str> {
    const VERSION: u128 = 4 << 76;
    const VARIANT: u128 = 2 << 62;
    let random = fastrand::u128(..) & !(0xf << 76) & !(3 << 62) | VERSION | VARIANT;
    let mut id = String::with_capacity(36);
    // By hand, because every request passes here and formatting is slow.
    for digit in 0..32 {
        if matches!(digit, 8 | 12 | 16 | 20) {
            id.push('-');
        }
        let nibble = (random >> (124 - 4 * digit)) as u8 & 15;
        id.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
    }
    id.into()
}

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
        assert_eq!(&*id_for("abc-1"), "abc-1");
        for bad in ["", "a b", &"x".repeat(200)] {
            let id = id_for(bad);
            let bytes = id.as_bytes();
            let dashes = id.match_indices('-').map(|(at, _)| at);
            assert!(dashes.eq([8, 13, 18, 23]), "{bad:?}: {id}");
            assert!(bytes[14] == b'4' && b"89ab".contains(&bytes[19]), "{bad:?}: {id}");
        }
        assert_ne!(random_id(), random_id());
    }
}
