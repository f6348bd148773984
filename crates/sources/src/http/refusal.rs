//! Answers that are none of what was asked for.

use super::{
    Request,
    error::{self, Failure, FetchError, Place},
    read, retry,
};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use reqwest::{Response, Url};
use std::time::Duration;

/// How much of an error's body is looked at.
const SAID_BYTES: usize = 4096;

/// Returns what is wrong with a web page where none was asked for.
pub(super) fn of_page(response: &Response, url: &Url, request: &Request) -> Option<Failure> {
    let is_refused =
        request.refuses_pages && response.status().is_success() && is_page(response.headers());
    is_refused.then(|| Failure::last(FetchError::WebPage { url: Place::of(url) }))
}

fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    ["text/html", "application/xhtml+xml"].iter().any(|page| kind.eq_ignore_ascii_case(page))
}

/// Returns what an answer without success says.
pub(super) async fn of_status(response: Response, url: &Url, request: &Request) -> Failure {
    let status = response.status();
    let headers = response.headers().clone();
    let now = Timestamp::now();
    let retry_after = text(&headers, "retry-after").and_then(|text| retry::after(text, now));
    if let Some(failure) = of_rate(status, &headers, retry_after, now, url, request) {
        return failure;
    }
    // What it said is worth having; that it could not be read to its end is not worth saying.
    let (said, _) = read(response, url, SAID_BYTES).await;
    // Whoever forbids something and says for how long means it to be asked for again.
    let is_passing =
        retry::is_passing(status) || (status == StatusCode::FORBIDDEN && retry_after.is_some());
    Failure {
        may_retry: is_passing,
        error: FetchError::Status {
            url: Place::of(url),
            status: status.as_u16(),
            said: error::one_line(&said),
            retry_after,
        },
    }
}

fn of_rate(
    status: StatusCode,
    headers: &HeaderMap,
    retry_after: Option<Duration>,
    now: Timestamp,
    url: &Url,
    request: &Request,
) -> Option<Failure> {
    let variable = request.token_variable?;
    let is_used_up = matches!(status.as_u16(), 403 | 429)
        && text(headers, "x-ratelimit-remaining")?.trim() == "0";
    if !is_used_up {
        return None;
    }
    let resets_at = text(headers, "x-ratelimit-reset")
        .and_then(|text| text.trim().parse().ok())
        .and_then(|second| Timestamp::from_second(second).ok());
    let until_reset =
        resets_at.map(|moment| Duration::try_from(moment.duration_since(now)).unwrap_or_default());
    let retry_after = retry_after.or(until_reset);
    let has_token = request.headers.contains_key(header::AUTHORIZATION);
    Some(Failure {
        // Without a word about when, another attempt would only be counted too.
        may_retry: retry_after.is_some(),
        error: FetchError::RateLimited {
            url: Place::of(url),
            retry_after,
            resets_at,
            token_variable: (!has_token).then_some(variable),
        },
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
