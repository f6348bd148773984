//! Where a request is sent on to, and what goes along.

use super::error::{Failure, FetchError, Place};
use http::{HeaderMap, StatusCode, header};
use reqwest::{Response, Url};

/// Returns where a response sends us, unless it is an answer.
pub(super) fn target(
    response: &Response,
    url: &Url,
    has_body: bool,
) -> Result<Option<Url>, Failure> {
    let status = response.status();
    let refuse =
        |reason: String| Err(Failure::last(FetchError::Redirect { url: Place::of(url), reason }));
    if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
        return Ok(None);
    }
    let target = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let Some(next) = target.and_then(|target| url.join(target).ok()) else {
        return refuse(format!("a {} without a usable Location", status.as_u16()));
    };
    let keeps_method = matches!(status.as_u16(), 307 | 308);
    match (url.scheme(), next.scheme()) {
        ("https", "http") => refuse(format!("from https to {}", Place::of(&next))),
        (_, "http" | "https") if has_body && !keeps_method => {
            refuse(format!("a {} of a POST, to {}", status.as_u16(), Place::of(&next)))
        }
        (_, "http" | "https") => Ok(Some(next)),
        (_, scheme) => refuse(format!("to an address of scheme {scheme:?}")),
    }
}

/// Returns the headers that another host may see.
pub(super) fn without_secrets(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_sensitive()) {
        kept.append(name, value.clone());
    }
    // Whoever forgot to mark them as secrets is not to be punished for it.
    for name in [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION] {
        kept.remove(name);
    }
    kept
}
