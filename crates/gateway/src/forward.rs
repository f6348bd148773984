//! What of a client's request goes on to a backend, and of an answer back to the client.

use bytes::Bytes;
use callsheet_fleet::Link;
use callsheet_upstream::Request;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::time::Duration;

pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) static TIMEOUT: HeaderName = HeaderName::from_static("x-callsheet-timeout");
pub(crate) static RETRY: HeaderName = HeaderName::from_static("x-callsheet-retry");
static BACKEND: HeaderName = HeaderName::from_static("x-callsheet-backend");
static ATTEMPTS: HeaderName = HeaderName::from_static("x-callsheet-attempts");

/// Writes a request for a backend: the client's headers, less those that are between the client
/// and this gateway, and the backend's own key.
pub(crate) fn request(
    link: &Link,
    endpoint: &str,
    headers: &HeaderMap,
    request_id: &str,
    body: [Bytes; 3],
) -> Request {
    let mut request = link.request("POST", endpoint);
    for (name, value) in headers {
        if stays_here(name.as_str()) || is_named_by_connection(headers, name.as_str()) {
            continue;
        }
        request.header(name.as_str(), value.as_bytes());
    }
    // Whatever the client called its body, it has been read as JSON.
    request.header("content-type", b"application/json");
    // A compressed stream could not be forwarded event by event.
    request.header("accept-encoding", b"identity");
    request.header(REQUEST_ID.as_str(), request_id.as_bytes());
    request.body(body);
    request
}

/// Returns whether a header is no backend's business: it concerns this connection, it holds the
/// client's credentials, or it is replaced.
fn stays_here(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "content-length"
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
            | "x-request-id"
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
pub(crate) fn answer_headers(headers: &mut HeaderMap, backend: &str, attempts: usize) {
    // A backend's cookies would be sent to every other backend.
    headers.remove(header::SET_COOKIE);
    if let Ok(backend) = HeaderValue::from_str(backend) {
        headers.insert(BACKEND.clone(), backend);
    }
    let attempts = match attempts {
        1 => HeaderValue::from_static("1"),
        more => HeaderValue::from(more),
    };
    headers.insert(ATTEMPTS.clone(), attempts);
}

/// Returns the id for a request: the client's own where it can stand in a header and a log line,
/// else a random one.
pub(crate) fn request_id(headers: &HeaderMap) -> Box<str> {
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    match given {
        Some(id)
            if !id.is_empty() && id.len() <= 128 && id.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            id.into()
        }
        _ => format!("req-{:016x}", fastrand::u64(..)).into(),
    }
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
            request_id(&headers)
        };
        assert_eq!(&*id_for("abc-1"), "abc-1");
        for bad in ["", "a b", &"x".repeat(200)] {
            assert!(id_for(bad).starts_with("req-"), "{bad:?}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
