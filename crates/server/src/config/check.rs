//! What a well-formed configuration must still not say.

use super::Config;
use callsheet_files::{bootstrap, source::Origin};
use callsheet_models::providers::SpecError;
use callsheet_store::{BlobsUrl, StoreUrl};
use callsheet_types::{UrlError, is_variable_name};
use std::collections::{HashMap, HashSet};

/// A value that makes no sense.
pub(super) struct Fault {
    pub(super) key: String,
    pub(super) problem: String,
    pub(super) expected: String,
}

impl Fault {
    fn new(
        key: impl Into<String>,
        problem: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self { key: key.into(), problem: problem.into(), expected: expected.into() }
    }
}

impl Config {
    /// Returns the first fault.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.check_server()?;
        self.check_backends()?;
        self.check_store()?;
        self.check_providers()?;
        self.check_files()?;
        self.check_names()?;
        self.check_numbers()
    }

    fn check_server(&self) -> Result<(), Fault> {
        let server = &self.server;
        if server.admin_token_env.is_some() && server.admin_token_file.is_some() {
            return Err(Fault::new(
                "server.admin_token_file",
                "stands beside `admin_token_env`",
                "one of the two",
            ));
        }
        check_variable("server.admin_token_env", server.admin_token_env.as_deref())?;
        let is_open = server.admin_token().is_none() && !server.allow_unauthenticated;
        if is_open && !server.listen.ip().is_loopback() {
            return Err(Fault::new(
                "server.listen",
                format!("is {}, which others can reach, and no admin token is set", server.listen),
                "a loopback address such as 127.0.0.1:7117, or `admin_token_env`, or `allow_unauthenticated = true`",
            ));
        }
        for (i, host) in server.allowed_hosts.iter().enumerate() {
            let is_name = !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
            if !is_name {
                return Err(Fault::new(
                    format!("server.allowed_hosts[{i}]"),
                    format!("is {host:?}"),
                    "a host name without scheme or port, such as \"gpu-box.lan\"",
                ));
            }
        }
        for (i, origin) in server.allowed_origins.iter().enumerate() {
            let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            if !host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', '@', ' '])) {
                return Err(Fault::new(
                    format!("server.allowed_origins[{i}]"),
                    format!("is {origin:?}"),
                    "scheme, host and perhaps port, such as \"https://chat.example.com\"",
                ));
            }
        }
        Ok(())
    }

    fn check_backends(&self) -> Result<(), Fault> {
        let mut names = HashSet::new();
        for (i, backend) in self.backends.iter().enumerate() {
            if !names.insert(&backend.name) {
                return Err(Fault::new(
                    format!("backends[{i}].name"),
                    format!("is {:?}, as that of an earlier backend", backend.name.as_str()),
                    "a unique name",
                ));
            }
            if backend.api_key_env.is_some() && backend.api_key_file.is_some() {
                return Err(Fault::new(
                    format!("backends[{i}].api_key_file"),
                    "stands beside `api_key_env`",
                    "one of the two",
                ));
            }
            let key = format!("backends[{i}].api_key_env");
            check_variable(&key, backend.api_key_env.as_deref())?;
        }
        Ok(())
    }

    fn check_store(&self) -> Result<(), Fault> {
        let store = &self.store;
        if store.password_env.is_some() && store.password_file.is_some() {
            let expected = "one of the two";
            return Err(Fault::new(
                "store.password_file",
                "stands beside `password_env`",
                expected,
            ));
        }
        check_variable("store.password_env", store.password_env.as_deref())?;
        match store.url.as_deref().map(str::parse::<StoreUrl>) {
            Some(Err(error)) => Err(Fault::new(
                "store.url",
                format!("cannot be used ({error})"),
                "\"sqlite:///path/to/catalog.db\" or \"postgres://user@host/database\"",
            )),
            Some(Ok(url)) if url.holds_password() => Err(Fault::new(
                "store.url",
                "has a password in it",
                "an address without one, and `password_env` or `password_file` beside it",
            )),
            _ => self.check_blobs(),
        }
    }

    fn check_blobs(&self) -> Result<(), Fault> {
        let store = &self.store;
        let bucket = match store.blobs.as_deref().map(str::parse::<BlobsUrl>) {
            Some(Err(error)) => {
                return Err(Fault::new(
                    "store.blobs",
                    format!("cannot be used ({error})"),
                    "\"/path/to/a/folder\" or \"s3://bucket/prefix\"",
                ));
            }
            Some(Ok(url @ BlobsUrl::S3 { .. })) => Some(url),
            _ => None,
        };
        match (&store.blobs_endpoint, bucket) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Fault::new(
                "store.blobs_endpoint",
                "stands there, and blobs are in a folder",
                "`blobs = \"s3://bucket/prefix\"` beside it",
            )),
            (Some(endpoint), Some(bucket)) => {
                // What is malformed may hold a password that cannot be cut out.
                bucket.with_endpoint(endpoint).map(drop).map_err(|_| {
                    Fault::new(
                        "store.blobs_endpoint",
                        "is no address of a server",
                        "one without user and password, such as \"https://s3.example.com\"",
                    )
                })
            }
        }
    }

    fn check_providers(&self) -> Result<(), Fault> {
        for (name, provider) in &self.providers {
            let key = |key: &str| format!("providers.{name}.{key}");
            if provider.api_key_env.is_some() && provider.api_key_file.is_some() {
                let problem = "stands beside `api_key_env`";
                return Err(Fault::new(key("api_key_file"), problem, "one of the two"));
            }
            check_variable(&key("api_key_env"), provider.api_key_env.as_deref())?;
            if self.backends.iter().any(|backend| backend.name.as_str() == name) {
                return Err(Fault::new(
                    format!("providers.{name}"),
                    "is the name of a backend too",
                    "another name: a backend is the provider of its models",
                ));
            }
            let Err(error) = provider.resolve(name, None) else { continue };
            let (key, expected) = match error {
                SpecError::Url(_) => (key("url"), "one such as \"http://10.0.0.5:8000\""),
                SpecError::NoUrl(_) => (key("url"), "an address, or the `type` of a service"),
                _ => {
                    (format!("providers.{name}"), "another name, such as `openrouter` or `my-box`")
                }
            };
            let problem = match error {
                SpecError::Url(UrlError { url, reason }) => format!("is {url:?}: {reason}"),
                SpecError::NoUrl(kind) => {
                    format!("is missing, and a provider of type `{kind}` may be anywhere")
                }
                error => format!("cannot be used ({error})"),
            };
            return Err(Fault::new(key, problem, expected));
        }
        Ok(())
    }

    fn check_files(&self) -> Result<(), Fault> {
        let github = &self.github;
        let hosts = [("web", &github.web), ("raw", &github.raw), ("api", &github.api)];
        let hosts = hosts.map(|(name, url)| (format!("github.{name}"), url));
        let mirrors = self.files.mirrors.iter().enumerate();
        let mirrors = mirrors.map(|(i, url)| (format!("files.mirrors[{i}]"), url));
        for (key, url) in hosts.into_iter().chain(mirrors) {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            if !rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['@', '?', '#', ' '])) {
                // What is malformed may hold a password that cannot be cut out.
                let shown = if url.contains('@') { "…" } else { url };
                let expected = "an http or https address without user and password";
                return Err(Fault::new(key, format!("is {shown:?}"), expected));
            }
        }
        if github.token_env.is_some() && github.token_file.is_some() {
            let problem = "stands beside `token_env`";
            return Err(Fault::new("github.token_file", problem, "one of the two"));
        }
        check_variable("github.token_env", github.token_env.as_deref())?;
        for (key, value) in [
            ("files.parallel", self.files.parallel),
            ("files.single_files", self.files.single_files),
        ] {
            if !(1..=100_000).contains(&value) {
                return Err(Fault::new(key, format!("is {value}"), "a number from 1 to 100000"));
            }
        }
        let mut sources = bootstrap::shipped();
        for (key, spec) in &self.sources {
            bootstrap::put(&mut sources, key, spec.clone(), Origin::Config).map_err(|error| {
                let name = format!("sources.{key}.{}", error.field);
                Fault::new(name, error.problem, error.expected)
            })?;
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), Fault> {
        let aliases: HashMap<&str, &str> =
            self.routing.aliases.iter().map(|(name, to)| (name.as_str(), to.as_str())).collect();
        for (&alias, &model) in &aliases {
            let key = format!("routing.aliases.{alias}");
            if alias.starts_with('@') || alias.starts_with("callsheet:") || alias.is_empty() {
                return Err(Fault::new(
                    key,
                    "has a reserved name",
                    "a name that begins neither with `@` nor with `callsheet:`",
                ));
            }
            if model.is_empty() {
                return Err(Fault::new(key, "is empty", "a model's name"));
            }
        }
        // In the order of the file's keys, so that the same mistake is always named the same way.
        for alias in self.routing.aliases.keys() {
            let mut name = alias.as_str();
            for _ in 0..aliases.len() {
                let Some(next) = aliases.get(name) else { break };
                name = next;
            }
            if aliases.contains_key(name) {
                return Err(Fault::new(
                    format!("routing.aliases.{alias}"),
                    "leads in a circle",
                    "aliases that end at a model",
                ));
            }
        }
        for (model, fallbacks) in &self.routing.fallbacks {
            if fallbacks.is_empty() || fallbacks.iter().any(String::is_empty) {
                return Err(Fault::new(
                    format!("routing.fallbacks.{model}"),
                    "has no fallback or an empty one",
                    "at least one model's name",
                ));
            }
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), Fault> {
        let (routing, limits) = (&self.routing, &self.limits);
        let not_negative = [
            ("routing.retry_ratio", routing.retry_ratio),
            ("routing.retries_per_second", routing.retries_per_second),
        ];
        for (key, value) in not_negative {
            if !value.is_finite() || value < 0.0 {
                return Err(Fault::new(key, format!("is {value}"), "a number from 0 up"));
            }
        }
        if !routing.bytes_per_token.is_finite() || routing.bytes_per_token <= 0.0 {
            let problem = format!("is {}", routing.bytes_per_token);
            return Err(Fault::new("routing.bytes_per_token", problem, "a number above 0"));
        }
        let durations = [
            ("routing.eject_for", routing.eject_for),
            ("routing.eject_for_at_most", routing.eject_for_at_most),
            ("health.interval", self.health.interval),
            ("health.timeout", self.health.timeout),
            ("limits.header_timeout", limits.header_timeout),
            ("limits.body_timeout", limits.body_timeout),
            ("limits.send_timeout", limits.send_timeout),
            ("limits.connect_timeout", limits.connect_timeout),
            ("limits.first_byte_timeout", limits.first_byte_timeout),
            ("limits.idle_timeout", limits.idle_timeout),
            ("limits.total_timeout", limits.total_timeout),
            ("limits.queue_timeout", limits.queue_timeout),
            ("limits.pool_timeout", limits.pool_timeout),
        ];
        let durations = durations.map(|(key, duration)| (key.to_owned(), duration));
        let every =
            self.models.refresh_every.map(|every| ("models.refresh_every".to_owned(), every));
        let lists = self.providers.iter().filter_map(|(name, provider)| {
            Some((format!("providers.{name}.timeout"), provider.timeout?))
        });
        let keep = [("store.keep".to_owned(), self.store.keep)];
        let durations = durations.into_iter().chain(every).chain(lists).chain(keep);
        for (key, duration) in durations {
            let is_sound = !duration.0.is_zero() && duration.0.as_secs() <= 366 * 86_400;
            if !is_sound {
                return Err(Fault::new(
                    key,
                    format!("is {duration}"),
                    "a duration above 0 and up to a year",
                ));
            }
        }
        let sizes = [
            // The smallest buffer that the HTTP library takes.
            ("limits.header_bytes", limits.header_bytes, 8192),
            ("limits.body_bytes", limits.body_bytes, 1),
            ("limits.total_body_bytes", limits.total_body_bytes, 1),
            ("limits.answer_header_bytes", limits.answer_header_bytes, 1024),
            ("limits.answer_bytes", limits.answer_bytes, 1),
            ("limits.event_bytes", limits.event_bytes, 1),
            ("files.max_file_bytes", self.files.max_file_bytes, 1),
        ];
        for (key, size, least) in sizes {
            if size.0 < least {
                return Err(Fault::new(
                    key,
                    format!("is {size}"),
                    format!("at least {least} bytes"),
                ));
            }
        }
        Ok(())
    }
}

/// Does not repeat the value: where people mix the two up, it is the secret itself.
fn check_variable(key: &str, name: Option<&str>) -> Result<(), Fault> {
    if name.is_none_or(is_variable_name) {
        return Ok(());
    }
    Err(Fault::new(
        key,
        "cannot be the name of an environment variable (it is not shown, in case it is the secret)",
        "a name such as GPU1_KEY, of the variable that holds the secret",
    ))
}
