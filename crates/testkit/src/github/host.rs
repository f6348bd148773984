//! GitHub's hosts, and where each of them answers.

use std::net::SocketAddr;

/// One of the hosts that a client of GitHub meets.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum GitHubHost {
    /// `github.com`.
    Web,
    /// `raw.githubusercontent.com`.
    Raw,
    /// `api.github.com`.
    Api,
    /// `codeload.github.com`, to which archives are redirected.
    Codeload,
    /// `release-assets.githubusercontent.com`, formerly `objects.…`, to which release assets are
    /// redirected.
    Objects,
    /// A host that is not GitHub's, to which only a fault redirects.
    Elsewhere,
}

impl GitHubHost {
    pub(super) const ALL: [Self; 6] =
        [Self::Web, Self::Raw, Self::Api, Self::Codeload, Self::Objects, Self::Elsewhere];

    /// Returns its real name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Web => "github.com",
            Self::Raw => "raw.githubusercontent.com",
            Self::Api => "api.github.com",
            Self::Codeload => "codeload.github.com",
            Self::Objects => "release-assets.githubusercontent.com",
            Self::Elsewhere => "elsewhere.example",
        }
    }

    /// Returns the host of GitHub's that has this name.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case(FORMER_OBJECTS) {
            return Some(Self::Objects);
        }
        Self::ALL
            .into_iter()
            .find(|host| *host != Self::Elsewhere && host.name().eq_ignore_ascii_case(name))
    }

    /// Returns all names that a certificate must hold.
    pub(super) fn names() -> Vec<String> {
        let all = Self::ALL.into_iter().filter(|host| *host != Self::Elsewhere);
        all.map(Self::name).chain([FORMER_OBJECTS]).map(str::to_owned).collect()
    }
}

const FORMER_OBJECTS: &str = "objects.githubusercontent.com";

/// Through which door a request came; redirects lead back to the same.
#[derive(Clone, Copy, Debug)]
pub(super) enum Door {
    /// Plain HTTP, one port for each host.
    Plain([SocketAddr; 6]),
    /// TLS under the real names.
    Tls,
}

impl Door {
    /// Returns the address of a host, without a slash at its end.
    pub(super) fn url(self, host: GitHubHost) -> String {
        match self {
            Self::Plain(addresses) => format!("http://{}", addresses[host as usize]),
            Self::Tls => format!("https://{}", host.name()),
        }
    }
}
