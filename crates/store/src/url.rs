use callsheet_types::Secret;
use std::{
    fmt::{self, Write as _},
    path::PathBuf,
    str::FromStr,
};
use tokio_postgres::config::{Host, SslMode};

/// Where the database is: a file of SQLite, or a PostgreSQL server. Neither `Display` nor `Debug`
/// shows a password.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:///path/catalog.db`, or `sqlite:PATH`.
    Sqlite(PathBuf),
    /// `postgres://user@host/database`
    Postgres(PostgresUrl),
}

/// How a PostgreSQL server is reached. `sslmode=` is `disable`, `prefer` (the default: encrypted
/// where the server can, except on this machine) or `require`; a certificate is always verified.
/// `connect_timeout=` is how long a server may take to let one in (5 seconds), and
/// `tcp_user_timeout=` for how long it may say nothing to a question (30 seconds).
#[derive(Clone)]
pub struct PostgresUrl {
    /// The address as it was given, and the password that was set beside it.
    given: (String, Option<Secret>),
    config: Box<tokio_postgres::Config>,
}

impl PartialEq for PostgresUrl {
    fn eq(&self, other: &Self) -> bool {
        self.given == other.given
    }
}

impl Eq for PostgresUrl {}

/// A text that is no such place; it is not repeated, because it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreUrlError(pub String);

impl StoreUrl {
    /// Returns whether the address itself has a password in it.
    pub fn holds_password(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(url) => url.given.1.is_none() && url.config.get_password().is_some(),
        }
    }

    /// Sets the password of a server, in place of one in the address. SQLite has none.
    #[must_use]
    pub fn with_password(mut self, password: &Secret) -> Self {
        if let Self::Postgres(url) = &mut self {
            url.config.password(password.expose());
            url.given.1 = Some(password.clone());
        }
        self
    }
}

impl PostgresUrl {
    pub(crate) fn config(&self) -> &tokio_postgres::Config {
        &self.config
    }

    /// On this machine there is nobody between the two.
    pub(crate) fn is_local(&self) -> bool {
        let is_local = |host: &Host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => {
                name == "localhost"
                    || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        };
        self.config.get_hosts().iter().all(is_local)
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = match path.strip_prefix("//") {
                Some(absolute) if absolute.starts_with('/') => absolute,
                Some(_) => {
                    let expected = "after sqlite:// comes an absolute path, as in sqlite:///path";
                    return Err(StoreUrlError(expected.to_owned()));
                }
                None => path,
            };
            if path.is_empty() || path.contains('\0') || path == ":memory:" {
                return Err(StoreUrlError("sqlite: needs the path of a file".to_owned()));
            }
            return Ok(Self::Sqlite(path.into()));
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            let expected = "expected sqlite:///path or postgres://user@host/database";
            return Err(StoreUrlError(expected.to_owned()));
        }
        // What the parser says of a bad address may quote it.
        let config = text.parse::<tokio_postgres::Config>().map_err(|_| {
            StoreUrlError(
                "it is no address of PostgreSQL: expected postgres://user@host:port/database, and after `?` only its parameters, such as sslmode=disable, prefer or require"
                    .to_owned(),
            )
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(StoreUrlError("the address names no host".to_owned()));
        }
        Ok(Self::Postgres(PostgresUrl { given: (text.to_owned(), None), config: Box::new(config) }))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) if path.is_absolute() => write!(f, "sqlite://{}", path.display()),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        for (i, host) in self.config.get_hosts().iter().enumerate() {
            if i > 0 {
                f.write_char(',')?;
            }
            match host {
                Host::Tcp(name) => f.write_str(name)?,
                Host::Unix(path) => {
                    f.write_str(&path.display().to_string().replace('/', "%2F"))?;
                }
            }
            let ports = self.config.get_ports();
            if let Some(port) = ports.get(i).or(ports.first()).filter(|port| **port != 5432) {
                write!(f, ":{port}")?;
            }
        }
        if let Some(name) = self.config.get_dbname() {
            write!(f, "/{name}")?;
        }
        match self.config.get_ssl_mode() {
            SslMode::Disable => f.write_str("?sslmode=disable"),
            SslMode::Require => f.write_str("?sslmode=require"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_whether_it_holds_a_password() {
        for (text, holds) in [
            ("postgres://me:hush@h/x", true),
            ("postgres://h/x?user=me&password=hush", true),
            ("postgres://me@h/x", false),
            ("sqlite:///a", false),
        ] {
            assert_eq!(text.parse::<StoreUrl>().unwrap().holds_password(), holds, "{text}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (text, shown) in [
            ("sqlite:///var/lib/catalog.db", "sqlite:///var/lib/catalog.db"),
            ("sqlite:catalog.db", "sqlite:catalog.db"),
            ("sqlite:/a/b.db", "sqlite:///a/b.db"),
            ("postgres://me:hush@db.test/callsheet", "postgres://me@db.test/callsheet"),
            (
                "postgresql://me@db.test:5433/x?sslmode=require&password=hush",
                "postgres://me@db.test:5433/x?sslmode=require",
            ),
            ("postgres://me@%2Ftmp%2Fpg/x", "postgres://me@%2Ftmp%2Fpg/x"),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
            let secret = Secret::new("hush", "TEST").unwrap();
            assert_eq!(url.with_password(&secret).to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for bad in [
            "",
            "catalog.db",
            "sqlite:",
            "sqlite://relative",
            "sqlite::memory:",
            "mysql://me:hush@db/x",
            "postgres://me:hush@db.test/x?sslmode=sometimes",
            "postgres:///x",
        ] {
            let error = bad.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(!error.contains("hush"), "{bad}: {error}");
        }
    }
}
