use serde::{Deserialize, Serialize};
use std::fmt;

/// A backend's address, such as `http://10.0.0.5:8000` or `https://openrouter.ai/api/v1`.
///
/// A path with a version segment (`v1`, `v1beta`, `v4`) is the base of the OpenAI-compatible API
/// and is kept as it stands; any other path is where the server is mounted, and `/v1` is added. So
/// both ways in which people write an address lead to the same place, and never to `/v1/v1`.
#[derive(Clone, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackendUrl {
    tls: bool,
    host: String,
    port: u16,
    /// The path as given, without a slash at its end: empty, or begins with one.
    path: String,
    /// How much of `path` stands before its version segment; all of it where there is none.
    root_len: usize,
}

/// A text that is no backend's address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{url:?} is no backend URL: {reason}; expected one such as \"http://10.0.0.5:8000\" or \"https://openrouter.ai/api/v1\""
)]
pub struct UrlError {
    /// What was given, less a password that it may have held.
    pub url: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl BackendUrl {
    /// Checks an address.
    pub fn new(text: &str) -> Result<Self, UrlError> {
        Self::parse(text).map_err(|reason| UrlError { url: without_userinfo(text), reason })
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err("its scheme is neither http nor https"),
        };
        if !rest.bytes().all(|b| {
            (0x21..0x7f).contains(&b)
                && !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
        }) {
            return Err("it holds a character that a URL cannot have");
        }
        if rest.contains(['?', '#']) {
            return Err("it has a query or a fragment");
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        if authority.contains('@') {
            return Err("it holds a user name or password; use api_key_env");
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(digits) => match digits.parse() {
                Ok(port) if port != 0 && digits.bytes().all(|b| b.is_ascii_digit()) => port,
                _ => return Err("its port is no number from 1 to 65535"),
            },
        };
        let path = path.trim_end_matches('/');
        if path.contains("//") || path.split('/').any(|s| s == "." || s == "..") {
            return Err("its path has an empty, `.` or `..` segment");
        }
        Ok(Self {
            tls,
            host: host.to_ascii_lowercase(),
            port,
            path: path.to_owned(),
            root_len: version_segment(path).unwrap_or(path.len()),
        })
    }

    /// Returns whether the address is `https`.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Returns the host, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns the port, the scheme's own where the address names none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns what belongs in a `Host` header: the host, and the port unless it is the scheme's.
    pub fn authority(&self) -> String {
        match (self.tls, self.port) {
            (false, 80) | (true, 443) => self.host.clone(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// Returns the path for one of OpenAI's endpoints, given as `/v1/…`.
    pub fn v1_path(&self, endpoint: &str) -> String {
        let endpoint = if self.root_len < self.path.len() {
            endpoint.strip_prefix("/v1").unwrap_or(endpoint)
        } else {
            endpoint
        };
        format!("{}{endpoint}", self.path)
    }

    /// Returns the path for an endpoint that stands beside `/v1`, such as `/api/tags` or `/health`.
    pub fn root_path(&self, endpoint: &str) -> String {
        format!("{}{endpoint}", &self.path[..self.root_len])
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    let host_end = if authority.starts_with('[') {
        let close = authority.find(']').ok_or("its IPv6 address is not closed by `]`")?;
        if authority[1..close].parse::<std::net::Ipv6Addr>().is_err() {
            return Err("its host is no IPv6 address");
        }
        close + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(host_end);
    let named = host.starts_with('[')
        || host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    match (host, rest.strip_prefix(':')) {
        ("", _) => Err("it has no host"),
        _ if !named => Err("its host holds a character that no host has"),
        (_, Some(port)) => Ok((host, Some(port))),
        (_, None) if rest.is_empty() => Ok((host, None)),
        _ => Err("something stands between its host and its port"),
    }
}

/// Where the first segment such as `/v1`, `/v1beta` or `/v4` begins.
fn version_segment(path: &str) -> Option<usize> {
    path.match_indices("/v")
        .find(|(at, _)| path[at + 2..].starts_with(|c: char| c.is_ascii_digit()))
        .map(|(at, _)| at)
}

fn without_userinfo(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}://…{}", &text[..scheme], &text[at..])
        }
        _ => text.to_owned(),
    }
}

impl TryFrom<String> for BackendUrl {
    type Error = UrlError;
    fn try_from(text: String) -> Result<Self, UrlError> {
        Self::new(&text)
    }
}

impl std::str::FromStr for BackendUrl {
    type Err = UrlError;
    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::new(text)
    }
}

impl From<BackendUrl> for String {
    fn from(url: BackendUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_join_without_doubling_the_version() {
        for (url, chat, tags) in [
            ("http://h", "/v1/chat/completions", "/api/tags"),
            ("http://h:8000/", "/v1/chat/completions", "/api/tags"),
            ("http://h/v1", "/v1/chat/completions", "/api/tags"),
            ("http://h/v1/", "/v1/chat/completions", "/api/tags"),
            ("http://h/ollama", "/ollama/v1/chat/completions", "/ollama/api/tags"),
            ("https://openrouter.ai/api/v1", "/api/v1/chat/completions", "/api/api/tags"),
            ("https://h/v1beta/openai", "/v1beta/openai/chat/completions", "/api/tags"),
            ("https://h/api/paas/v4", "/api/paas/v4/chat/completions", "/api/paas/api/tags"),
            ("https://h/vllm", "/vllm/v1/chat/completions", "/vllm/api/tags"),
        ] {
            let url = BackendUrl::new(url).unwrap();
            assert_eq!(url.v1_path("/v1/chat/completions"), chat, "{url}");
            assert_eq!(url.root_path("/api/tags"), tags, "{url}");
        }
    }

    #[test]
    fn an_address_is_taken_apart() {
        for (text, shown, host, port, authority) in [
            ("HTTP://Host:80/x/", "http://host/x", "host", 80, "host"),
            ("https://host", "https://host", "host", 443, "host"),
            ("https://host:8443", "https://host:8443", "host", 8443, "host:8443"),
            ("http://[::1]:9/v1", "http://[::1]:9/v1", "::1", 9, "[::1]:9"),
        ] {
            let url = BackendUrl::new(text).unwrap();
            assert_eq!(
                (url.to_string().as_str(), url.host(), url.port(), url.authority().as_str()),
                (shown, host, port, authority)
            );
        }
    }

    #[test]
    fn a_bad_address_is_refused_with_its_reason() {
        for (text, reason) in [
            ("10.0.0.5:8000", "it has no scheme"),
            ("ftp://h", "its scheme is neither http nor https"),
            ("http://", "it has no host"),
            ("http://:80", "it has no host"),
            ("http://h:0", "its port is no number from 1 to 65535"),
            ("http://h:99999", "its port is no number from 1 to 65535"),
            ("http://h:+80", "its port is no number from 1 to 65535"),
            ("http://h:", "its port is no number from 1 to 65535"),
            ("http://h/?q=1", "it has a query or a fragment"),
            ("http://h/a b", "it holds a character that a URL cannot have"),
            ("http://h/\r\nx", "it holds a character that a URL cannot have"),
            ("http://h/a/../b", "its path has an empty, `.` or `..` segment"),
            ("http://[::1", "its IPv6 address is not closed by `]`"),
            ("http://[zz]", "its host is no IPv6 address"),
            ("http://a,b", "its host holds a character that no host has"),
        ] {
            assert_eq!(BackendUrl::new(text).unwrap_err().reason, reason, "{text:?}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_a_password() {
        let shown = BackendUrl::new("http://user:hunter2@h").unwrap_err().to_string();
        assert!(!shown.contains("hunter2") && shown.contains("…@h"), "{shown}");
    }
}
