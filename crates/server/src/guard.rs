//! Who may call, and by which name: what keeps a web page from reaching the daemon.
//!
//! A page that a browser shows can send requests to any address, and by DNS rebinding read the
//! answers of any address that takes its host name for its own. So a request must name the daemon
//! by an address or by a name that its operator knows, and a page must be of the same origin.

use callsheet_types::{Principal, Secret};
use http::{HeaderMap, HeaderValue, header};
use std::net::{IpAddr, Ipv6Addr};

/// Decides whether a request is let in, and as whom.
#[derive(Debug)]
pub(crate) struct Guard {
    hosts: Vec<String>,
    origins: Vec<String>,
    admin_token: Option<Secret>,
}

/// A request that is not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Denied {
    /// No `Host`, several, or one that is no host.
    BadHost,
    /// A name that the daemon does not go by.
    UnknownHost,
    /// A page of another origin.
    ForeignOrigin,
}

impl Guard {
    pub(crate) fn new(
        hosts: Vec<String>,
        origins: Vec<String>,
        admin_token: Option<Secret>,
    ) -> Self {
        let hosts = hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        let origins = origins.into_iter().map(|origin| origin.to_ascii_lowercase()).collect();
        Self { hosts, origins, admin_token }
    }

    /// Checks by which name a request calls, and from which page.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Denied::BadHost) };
        let host_name = host.to_str().ok().and_then(host_name).ok_or(Denied::BadHost)?;
        if !self.knows(host_name) {
            return Err(Denied::UnknownHost);
        }
        match headers.get(header::ORIGIN) {
            None => Ok(()),
            Some(origin) if self.may_call(origin, host) => Ok(()),
            Some(_) => Err(Denied::ForeignOrigin),
        }
    }

    fn knows(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        // An address cannot be rebound: it is where the browser really went.
        bare.parse::<IpAddr>().is_ok()
            || host.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|known| host.eq_ignore_ascii_case(known))
    }

    fn may_call(&self, origin: &HeaderValue, host: &HeaderValue) -> bool {
        let Ok(text) = origin.to_str() else { return false };
        is_of_host(origin, host)
            || self.origins.iter().any(|known| text.eq_ignore_ascii_case(known))
    }

    /// Returns who is calling. Where no token is set, whoever can reach the daemon is its admin.
    pub(crate) fn principal(&self, headers: &HeaderMap) -> Principal {
        let Some(token) = &self.admin_token else { return Principal::Admin };
        let offered = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let offered = offered.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        match offered {
            Some(offered) if token.matches(offered) => Principal::Admin,
            _ => Principal::Anonymous,
        }
    }
}

/// Returns the host of a `Host` header, without its port; `None` where the header is no host.
fn host_name(header: &str) -> Option<&str> {
    let (host, rest) = match header.find(']') {
        Some(end) if header.starts_with('[') => header.split_at(end + 1),
        _ => header.split_at(header.find(':').unwrap_or(header.len())),
    };
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    let has_port_or_nothing = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_well_formed = match bare {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_host),
    };
    (has_port_or_nothing && is_well_formed).then_some(host)
}

/// Returns the origin of the page that calls, where it is not the daemon's own. Only for a request
/// that was admitted.
pub(crate) fn foreign_page(headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let is_own = headers.get(header::HOST).is_some_and(|host| is_of_host(origin, host));
    (!is_own).then(|| origin.clone())
}

/// Returns whether a page's origin is the host that it calls.
fn is_of_host(origin: &HeaderValue, host: &HeaderValue) -> bool {
    let rest = origin.to_str().ok().and_then(|origin| {
        origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
    });
    rest.is_some_and(|rest| rest.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
}

impl Denied {
    /// Returns code and sentence for the answer.
    pub(crate) fn say(self) -> (&'static str, &'static str) {
        match self {
            Self::BadHost => ("bad_host", "the request needs exactly one valid Host header"),
            Self::UnknownHost => (
                "unknown_host",
                "the daemon is not known by this host name; call it by its address, or add the name to server.allowed_hosts",
            ),
            Self::ForeignOrigin => (
                "foreign_origin",
                "a web page of another origin may not call the daemon; add it to server.allowed_origins if it should",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn guard(token: Option<&str>) -> Guard {
        let token = token.map(|token| Secret::new(token, "TEST").unwrap());
        Guard::new(vec!["Box.lan".to_owned()], vec!["https://chat.example".to_owned()], token)
    }

    #[test]
    fn only_addresses_and_known_names_are_answered() {
        for (host, expected) in [
            ("127.0.0.1:7117", Ok(())),
            ("127.0.0.1", Ok(())),
            ("10.0.0.9:7117", Ok(())),
            ("[::1]:7117", Ok(())),
            ("localhost:7117", Ok(())),
            ("LOCALHOST", Ok(())),
            ("box.lan:7117", Ok(())),
            ("evil.example:7117", Err(Denied::UnknownHost)),
            ("127.0.0.1.evil.example", Err(Denied::UnknownHost)),
            ("localhost.evil.example", Err(Denied::UnknownHost)),
            ("user@127.0.0.1", Err(Denied::BadHost)),
            ("", Err(Denied::BadHost)),
            ("a b", Err(Denied::BadHost)),
            ("localhost:", Ok(())),
            ("localhost:80x", Err(Denied::BadHost)),
            ("[::1", Err(Denied::BadHost)),
            ("[::1]x", Err(Denied::BadHost)),
            ("[evil.example]:80", Err(Denied::BadHost)),
            ("::1", Err(Denied::BadHost)),
        ] {
            assert_eq!(guard(None).admit(&headers(&[("host", host)])), expected, "{host:?}");
        }
        assert_eq!(guard(None).admit(&headers(&[])), Err(Denied::BadHost));
        let two = headers(&[("host", "localhost"), ("host", "evil.example")]);
        assert_eq!(guard(None).admit(&two), Err(Denied::BadHost));
    }

    #[test]
    fn only_pages_of_its_own_or_of_a_known_origin_are_answered() {
        for (origin, expected) in [
            ("http://localhost:7117", Ok(())),
            ("https://localhost:7117", Ok(())),
            ("https://chat.example", Ok(())),
            ("https://evil.example", Err(Denied::ForeignOrigin)),
            ("http://localhost:8000", Err(Denied::ForeignOrigin)),
            ("http://localhost", Err(Denied::ForeignOrigin)),
            ("null", Err(Denied::ForeignOrigin)),
        ] {
            let headers = headers(&[("host", "localhost:7117"), ("origin", origin)]);
            assert_eq!(guard(None).admit(&headers), expected, "{origin:?}");
        }
    }

    #[test]
    fn the_token_makes_the_admin() {
        for (authorization, expected) in [
            ("Bearer secret", Principal::Admin),
            ("bearer  secret", Principal::Admin),
            ("Bearer secret2", Principal::Anonymous),
            ("secret", Principal::Anonymous),
            ("Basic secret", Principal::Anonymous),
        ] {
            let headers = headers(&[("authorization", authorization)]);
            assert_eq!(guard(Some("secret")).principal(&headers), expected, "{authorization:?}");
        }
        assert_eq!(guard(Some("secret")).principal(&headers(&[])), Principal::Anonymous);
        assert_eq!(guard(None).principal(&headers(&[])), Principal::Admin);
    }
}
