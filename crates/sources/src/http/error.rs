//! Why nothing came back.

use jiff::Timestamp;
use reqwest::Url;
use std::{error::Error, fmt, io, path::PathBuf, time::Duration};

/// An address as it may be shown: without user name, password, query and fragment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Place(String);

impl Place {
    pub(super) fn of(url: &Url) -> Self {
        let mut shown = url.clone();
        // Neither can fail for an address that has a host, and others are refused before.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        shown.set_fragment(None);
        let has_query = shown.query().is_some();
        shown.set_query(None);
        Self(if has_query { format!("{shown}?…") } else { shown.to_string() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What went wrong, by what the caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection may be opened.
    #[error("{url} was not asked: this is offline mode")]
    Offline {
        /// The address.
        url: Place,
    },
    /// The address is none.
    #[error("{text:?} is no HTTP address: {reason}")]
    NoUrl {
        /// What was given, as far as it can be shown.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection came about, or it broke off.
    #[error("{url} cannot be reached")]
    Unreachable {
        /// The address.
        url: Place,
        /// Why not.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The other side cannot prove who it is, or does not speak TLS.
    #[error("{url} cannot be trusted")]
    Tls {
        /// The address.
        url: Place,
        /// Why not.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It answered, and not with what was asked for.
    #[error("{url} answered {status}{}{}", Said(.said), Asked(.retry_after))]
    Status {
        /// The address.
        url: Place,
        /// The status code.
        status: u16,
        /// The beginning of the body, in one line.
        said: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// It has answered too often for now.
    #[error("{url} allows no further request for now{}", Until(.resets_at))]
    RateLimited {
        /// The address.
        url: Place,
        /// How long that lasts.
        retry_after: Option<Duration>,
        /// When it ends.
        resets_at: Option<Timestamp>,
        /// The variable whose token would allow more, unless one was sent.
        token_variable: Option<&'static str>,
    },
    /// It answered with a web page, as whoever stands in between and wants a login does.
    #[error("{url} answered with a web page instead of what was asked for")]
    WebPage {
        /// The address.
        url: Place,
    },
    /// It answered with what makes no sense here.
    #[error("{url} answered with something else than was asked for: {reason}")]
    Unusable {
        /// The address.
        url: Place,
        /// What is wrong with it.
        reason: String,
    },
    /// It leads elsewhere, to where we do not follow.
    #[error("{url} redirects where it is not followed: {reason}")]
    Redirect {
        /// The address.
        url: Place,
        /// Where, and why not.
        reason: String,
    },
    /// The body has no end within its limit.
    #[error("{url} answered with more than {max_bytes} bytes")]
    TooLong {
        /// The address.
        url: Place,
        /// The limit.
        max_bytes: usize,
    },
    /// The time is over.
    #[error("{url} did not answer within {deadline:?}")]
    Deadline {
        /// The address.
        url: Place,
        /// How long it had.
        deadline: Duration,
        /// How the attempt before failed, where there was one.
        #[source]
        last: Option<Box<FetchError>>,
    },
    /// It began to answer, or was to begin, and then nothing came.
    #[error("{url} sent nothing for {patience:?}")]
    Stalled {
        /// The address.
        url: Place,
        /// How long was waited.
        patience: Duration,
    },
    /// It went on sending, and too slowly for that to come to an end.
    #[error("{url} sent only {bytes} bytes in {}s", .over.as_secs())]
    TooSlow {
        /// The address.
        url: Place,
        /// How many bytes came at last.
        bytes: u64,
        /// In what time.
        over: Duration,
    },
    /// What came cannot be written.
    #[error("{path} cannot be written", path = .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl FetchError {
    /// Says that an answer makes no sense.
    pub(crate) fn unusable(url: &str, reason: String) -> Self {
        match checked(url) {
            Ok(url) => Self::Unusable { url: Place::of(&url), reason },
            Err(error) => error,
        }
    }

    /// Returns what might help, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Offline { .. } => "leave out --offline".to_owned(),
            Self::NoUrl { .. } => "give one such as https://openrouter.ai/api/v1".to_owned(),
            Self::Unreachable { .. } => match proxy_variable() {
                Some(name) => format!("is the server running, and the proxy in {name} right?"),
                None => "is the server running, and the address right?".to_owned(),
            },
            Self::Tls { .. } => {
                "if the certificate is your own, name the file of its root in SSL_CERT_FILE"
                    .to_owned()
            }
            Self::Status { status: 401 | 403, .. } => "check the API key".to_owned(),
            Self::TooLong { .. } | Self::Status { status: 404 | 405, .. } => {
                "check the address".to_owned()
            }
            Self::Status { status: 407, .. } => "check the proxy's user and password".to_owned(),
            Self::Status { status: 429, .. } => "wait, and try again".to_owned(),
            Self::Status { status: 500.., .. } => "try again later".to_owned(),
            Self::Status { .. } | Self::Unusable { .. } => return None,
            Self::RateLimited { token_variable: Some(name), .. } => {
                format!("set {name}, with which more is allowed, or try again later")
            }
            Self::RateLimited { .. } | Self::Stalled { .. } | Self::TooSlow { .. } => {
                "try again later".to_owned()
            }
            Self::WebPage { .. } => {
                "is a login needed to get out of this network, and the address right?".to_owned()
            }
            Self::Unwritable { .. } => "is there room, and the right to write there?".to_owned(),
            Self::Redirect { .. } => "use the address that it leads to, if you trust it".to_owned(),
            Self::Deadline { .. } => "raise the timeout, or try again later".to_owned(),
        })
    }

    /// Returns all that there is to say in one line: what, why, and what might help.
    pub fn explain(&self) -> String {
        let text = callsheet_types::with_causes(self);
        match self.hint() {
            Some(hint) => format!("{text} ({hint})"),
            None => text,
        }
    }
}

fn proxy_variable() -> Option<&'static str> {
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

struct Asked<'a>(&'a Option<Duration>);

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pause) => write!(f, "; it asks to wait {}s", pause.as_secs()),
            None => Ok(()),
        }
    }
}

struct Until<'a>(&'a Option<Timestamp>);

impl fmt::Display for Until<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(moment) => write!(f, ", until {moment:.0}"),
            None => Ok(()),
        }
    }
}

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: FetchError,
    /// Whether another attempt may go better.
    pub(super) may_retry: bool,
}

impl Failure {
    /// A failure that no further attempt changes.
    pub(super) fn last(error: FetchError) -> Self {
        Self { error, may_retry: false }
    }

    /// Sorts what the client reports; its own text would repeat the whole address.
    pub(super) fn of_transport(url: &Url, cause: reqwest::Error) -> Self {
        let cause = cause.without_url();
        let url = Place::of(url);
        if cause.is_builder() || cause.is_request() && cause.source().is_none() {
            return Self::last(FetchError::NoUrl { text: url.0, reason: cause.to_string() });
        }
        if is_about_tls(&cause) {
            Self::last(FetchError::Tls { url, source: cause.into() })
        } else {
            let error = FetchError::Unreachable { url, source: cause.into() };
            Self { error, may_retry: true }
        }
    }
}

fn is_about_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if inner.is_some_and(|inner| is_about_tls(inner)) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Checks an address.
pub(super) fn checked(text: &str) -> Result<Url, FetchError> {
    let wrong = |reason: String| {
        // What cannot be read as an address cannot be cleaned of its password either.
        let text = if text.contains('@') { "…".to_owned() } else { text.to_owned() };
        FetchError::NoUrl { text, reason }
    };
    let url = Url::parse(text).map_err(|cause| wrong(cause.to_string()))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(wrong("its scheme is neither http nor https".to_owned())),
    }
}

/// Returns the first 200 characters of what a server said, in one line.
pub(super) fn one_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty());
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > 800 {
            break;
        }
    }
    match line.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        for (text, shown) in [
            ("https://user:hunter2@h/a?key=hunter2#x", "https://h/a?…"),
            ("http://h:8000/v1/models", "http://h:8000/v1/models"),
        ] {
            assert_eq!(Place::of(&checked(text).unwrap()).to_string(), shown);
        }
        for bad in ["", "h/v1", "file:///etc/passwd", "ftp://h", "http://", "http://u:hunter2@"] {
            let error = checked(bad).unwrap_err().to_string();
            assert!(error.contains("no HTTP address") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_a_server_said_is_one_short_line() {
        assert_eq!(one_line(b"<html>\r\n  <b>no\x07</b>\n"), "<html> <b>no </b>");
        assert_eq!(one_line(&[b'x'; 5000]).chars().count(), 201);
        assert_eq!(one_line("ä ".repeat(3000).as_bytes()).chars().count(), 201);
        assert_eq!(one_line(b""), "");
    }
}
