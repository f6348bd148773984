//! What goes wrong on demand.

use std::time::Duration;

use super::GitHubRequest;
use super::answer::{Answer, Body};
use super::host::{Door, GitHubHost};
use super::routes::decode;
use super::wire::Pace;
use crate::Gate;

/// Something that goes wrong with an answer of a [`FakeGitHub`](super::FakeGitHub).
#[derive(Clone, Debug)]
pub enum GitHubFault {
    /// This answer instead of the right one.
    Status {
        /// The status code.
        code: u16,
        /// Further headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// A page in HTML with status 200, as captive portals answer.
    Html,
    /// The right head, so many bytes of the body, and the end of the connection.
    Truncated {
        /// How much comes.
        after_bytes: usize,
    },
    /// The right head and so many bytes of the body; the rest when the gate opens.
    Stalled {
        /// How much comes before the pause.
        after_bytes: usize,
        /// What ends the pause.
        until: Gate,
    },
    /// Status 200 and a body that never ends.
    Endless,
    /// The right answer but for one byte, under the right entity tag.
    FlippedByte {
        /// Which byte of the whole content; beyond its end, the last.
        at: usize,
    },
    /// A redirect to what was asked for.
    RedirectLoop,
    /// A redirect to this address, whatever it is.
    Redirect(String),
    /// A redirect to [`GitHubHost::Elsewhere`], where the right answer is.
    RedirectElsewhere,
    /// The right answer, later.
    Delayed(Duration),
    /// The end of the connection instead of an answer.
    Closed,
}

impl GitHubFault {
    /// Returns an answer with this status and nothing to say.
    pub fn status(code: u16) -> Self {
        Self::Status { code, headers: Vec::new(), body: format!("stand-in says {code}\n") }
    }

    /// Returns a 429 that asks for a pause.
    pub fn too_many_requests(retry_after_seconds: u64) -> Self {
        let headers = vec![("Retry-After".to_owned(), retry_after_seconds.to_string())];
        Self::Status { code: 429, headers, body: "429: Too Many Requests\n".to_owned() }
    }

    /// Returns the 403 that the API gives when an hour's requests are used up; `reset` is when
    /// there will be more, in seconds since 1970.
    pub fn rate_limited(reset: u64) -> Self {
        let headers = [
            ("X-RateLimit-Limit", "60".to_owned()),
            ("X-RateLimit-Remaining", "0".to_owned()),
            ("X-RateLimit-Used", "60".to_owned()),
            ("X-RateLimit-Resource", "core".to_owned()),
            ("X-RateLimit-Reset", reset.to_string()),
            ("Content-Type", "application/json; charset=utf-8".to_owned()),
        ];
        Self::Status {
            code: 403,
            headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            body: r#"{"message":"API rate limit exceeded for 127.0.0.1.","documentation_url":"https://docs.github.com/rest/rate-limit"}"#
                .to_owned(),
        }
    }

    /// Changes an answer as far as that is possible before it is written.
    pub(super) fn change(&self, answer: Answer, door: Door, request: &GitHubRequest) -> Answer {
        match self {
            Self::Status { code, headers, body } => {
                let has_type =
                    headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
                let mut answer = Answer::text(*code, body);
                if has_type {
                    answer.headers.clear();
                }
                answer.headers.extend(headers.iter().cloned());
                answer
            }
            Self::Html => Answer::html(200, "Sign in to the network"),
            Self::Endless => Answer::new(200, "application/octet-stream", ""),
            Self::RedirectLoop => {
                Answer::redirect(&format!("{}{}", door.url(request.host), request.path))
            }
            Self::Redirect(to) => Answer::redirect(to),
            Self::RedirectElsewhere => Answer::redirect(&format!(
                "{}/{}{}",
                door.url(GitHubHost::Elsewhere),
                request.host.name(),
                request.path
            )),
            Self::Truncated { .. }
            | Self::Stalled { .. }
            | Self::FlippedByte { .. }
            | Self::Delayed(_)
            | Self::Closed => answer,
        }
    }

    /// Changes the whole content of an answer.
    pub(super) fn spoil(&self, content: bytes::Bytes) -> bytes::Bytes {
        match self {
            Self::FlippedByte { at } if !content.is_empty() => {
                let mut spoilt = content.to_vec();
                let at = (*at).min(spoilt.len() - 1);
                spoilt[at] ^= 1;
                spoilt.into()
            }
            _ => content,
        }
    }

    /// Returns how the body is written.
    pub(super) fn pace(&self) -> Pace {
        match self {
            Self::Truncated { after_bytes } => Pace::Truncated(*after_bytes),
            Self::Stalled { after_bytes, until } => Pace::Stalled(*after_bytes, until.clone()),
            Self::Endless => Pace::Endless,
            _ => Pace::Whole,
        }
    }
}

/// Which requests meet a fault.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) host: Option<GitHubHost>,
    pub(super) prefix: String,
    /// How many requests are spared first.
    pub(super) spared: usize,
    /// How many meet it then; all of them without.
    pub(super) left: Option<usize>,
    pub(super) fault: GitHubFault,
}

/// Returns the fault that a request meets: the first that fits.
pub(super) fn choose(rules: &mut Vec<Rule>, request: &GitHubRequest) -> Option<GitHubFault> {
    if rules.is_empty() {
        return None;
    }
    let decoded = decode(&request.path);
    for index in 0..rules.len() {
        let rule = &mut rules[index];
        let is_met = rule.host.is_none_or(|host| host == request.host)
            && (decoded.starts_with(&rule.prefix) || request.path.starts_with(&rule.prefix));
        if !is_met {
            continue;
        }
        if rule.spared > 0 {
            rule.spared -= 1;
            continue;
        }
        let fault = rule.fault.clone();
        if let Some(left) = &mut rule.left {
            *left -= 1;
            if *left == 0 {
                rules.remove(index);
            }
        }
        return Some(fault);
    }
    None
}

/// Returns the bytes of an answer's body, packing an archive where that was not done yet.
pub(super) async fn content(body: Body) -> bytes::Bytes {
    match body {
        Body::Bytes(bytes) => bytes,
        Body::Archive(commit, kind, top) => {
            let packed = tokio::task::spawn_blocking(move || commit.archive(kind, &top)).await;
            packed.expect("an archive that can be packed")
        }
    }
}
