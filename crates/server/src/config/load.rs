//! From a file and the environment to a [`Config`], with errors that name the place.

use super::{Config, check::Fault};
use crate::app::read_secret;
use callsheet_types::{SecretError, SecretSource};
use std::path::{Path, PathBuf};
use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the config file {path} cannot be read", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// The text is not what a config file can be.
    #[error("{place}: {message}")]
    Malformed {
        /// File and line.
        place: String,
        /// What is wrong, with the line and what was expected.
        message: String,
    },
    /// An environment variable does not fit its key.
    #[error("the environment variable {variable}: {message}")]
    Variable {
        /// Its name.
        variable: String,
        /// What is wrong with its value.
        message: String,
    },
    /// A secret that the configuration names is not to be had.
    #[error("{place}: `{key}`")]
    Secret {
        /// File and line.
        place: String,
        /// The key that names it, such as `backends[1].api_key_env`.
        key: String,
        /// Why not.
        #[source]
        cause: SecretError,
    },
    /// A value is well-formed and makes no sense.
    #[error("{place}: `{key}` {problem}; expected {expected}")]
    Invalid {
        /// File and line, or the flag or variable that it comes from.
        place: String,
        /// The key, such as `backends[1].name`.
        key: String,
        /// What is wrong.
        problem: String,
        /// What would be right.
        expected: String,
    },
}

/// What goes before the file: `CALLSHEET_SECTION_KEY` variables, and flags.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Environment variables, name and value.
    pub variables: Vec<(String, String)>,
    /// `--listen`.
    pub listen: Option<std::net::SocketAddr>,
}

/// Where a daemon's configuration comes from, to be read again at a reload.
#[derive(Clone, Debug, Default)]
pub struct ConfigSource {
    /// The config file, if there is one.
    pub path: Option<PathBuf>,
    /// What goes before it.
    pub overrides: Overrides,
}

impl ConfigSource {
    /// Reads and checks the configuration, and that its secrets are there.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let config = Config::load(self.path.as_deref(), &self.overrides)?;
        config.check_secrets(self.path.as_deref())?;
        Ok(config)
    }
}

impl Config {
    /// Reads and checks the configuration: flags before variables before the file before defaults.
    pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let text = match path {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?,
        };
        Self::parse(&text, &origin(path), overrides)
    }

    /// Reads and checks a text; `origin` is what errors call it.
    pub fn parse(text: &str, origin: &str, overrides: &Overrides) -> Result<Self, ConfigError> {
        let malformed = |error: &toml::de::Error| malformed(text, origin, error);
        // Read for its errors first: only here do they know their line.
        let mut config: Self = toml::from_str(text).map_err(|error| malformed(&error))?;
        let mut table: Table = text.parse().map_err(|error| malformed(&error))?;
        for (variable, value) in &overrides.variables {
            let Some((section, key)) = config_key(variable) else { continue };
            let mut with = |value| {
                let section = table.entry(&section).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(section) = section {
                    section.insert(key.clone(), value);
                }
                Self::deserialize_table(&table)
            };
            // A text may look like a number; what it is, the key knows.
            let read = with(scalar(value))
                .or_else(|message| with(Value::String(value.clone())).map_err(|_| message));
            config = read
                .map_err(|message| ConfigError::Variable { variable: variable.clone(), message })?;
        }
        if let Some(listen) = overrides.listen {
            config.server.listen = listen;
        }
        let Err(fault) = config.check() else { return Ok(config) };
        let is_its = |variable: &&(String, String)| {
            config_key(&variable.0).is_some_and(|(section, key)| {
                fault.key.strip_prefix(&section).and_then(|rest| rest.strip_prefix('.'))
                    == Some(&key)
            })
        };
        let by_flag = fault.key == "server.listen" && overrides.listen.is_some();
        let place = match overrides.variables.iter().find(is_its) {
            _ if by_flag => "--listen".to_owned(),
            Some((variable, _)) => format!("the environment variable {variable}"),
            None => place_of(text, origin, &fault.key),
        };
        let Fault { key, problem, expected } = fault;
        Err(ConfigError::Invalid { place, key, problem, expected })
    }

    /// Checks that every secret which the configuration names can be read. Only the daemon needs
    /// them: a command that merely speaks to it must not ask for the keys of its backends.
    pub fn check_secrets(&self, path: Option<&Path>) -> Result<(), ConfigError> {
        let server = self.server.admin_token().map(|source| ("server.admin_token".into(), source));
        let backends = self.backends.iter().enumerate().filter_map(|(i, backend)| {
            Some((format!("backends[{i}].api_key"), backend.key_source()?))
        });
        let store = self.store.password().map(|source| ("store.password".into(), source));
        let github = self.github.token().map(|source| ("github.token".into(), source));
        for (key, source) in server.into_iter().chain(store).chain(github).chain(backends) {
            let kind = match source {
                SecretSource::Env(_) => "env",
                SecretSource::File(_) => "file",
            };
            if let Err(cause) = read_secret(source) {
                let key = format!("{key}_{kind}");
                let text = path.and_then(|path| std::fs::read_to_string(path).ok());
                let place = place_of(&text.unwrap_or_default(), &origin(path), &key);
                return Err(ConfigError::Secret { place, key, cause });
            }
        }
        Ok(())
    }

    fn deserialize_table(table: &Table) -> Result<Self, String> {
        table.clone().try_into().map_err(|error: toml::de::Error| error.message().to_owned())
    }
}

/// Returns the section and key of a variable such as `CALLSHEET_ROUTING_STRATEGY`. Tables and
/// lists of tables have no variables, nor has a variable that is about something else.
fn config_key(variable: &str) -> Option<(String, String)> {
    let rest = variable.strip_prefix("CALLSHEET_")?;
    let defaults = Table::try_from(every_key()).ok()?;
    defaults.iter().find_map(|(section, keys)| {
        let key = rest.strip_prefix(&section.to_ascii_uppercase())?.strip_prefix('_')?;
        let key = key.to_ascii_lowercase();
        let keys = keys.as_table()?;
        (keys.get(&key)?.as_table().is_none()).then(|| (section.clone(), key))
    })
}

/// Returns a configuration in which every optional key is set, so that its serialized form names
/// all keys.
fn every_key() -> Config {
    let mut config = Config::default();
    config.server.admin_token_env = Some(String::new());
    config.server.admin_token_file = Some(PathBuf::new());
    config.routing.zone = Some(String::new());
    config.store.url = Some(String::new());
    config.store.password_env = Some(String::new());
    config.store.password_file = Some(PathBuf::new());
    config.models.refresh_every = Some(callsheet_types::HumanDuration::from_secs(1));
    config
}

/// A variable's value: a number, a truth value or a list as in the file, else a text.
fn scalar(text: &str) -> Value {
    let as_toml = format!("value = {text}").parse::<Table>().ok();
    match as_toml.and_then(|mut table| table.remove("value")) {
        Some(
            value @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Array(_)),
        ) => value,
        _ => Value::String(text.to_owned()),
    }
}

fn origin(path: Option<&Path>) -> String {
    path.map_or_else(|| "the configuration".to_owned(), |path| path.display().to_string())
}

/// Says an error with its line and key. The line itself is not shown: it may hold a secret that
/// somebody wrote where only its place should stand.
fn malformed(text: &str, origin: &str, error: &toml::de::Error) -> ConfigError {
    let Some(span) = error.span() else {
        return ConfigError::Malformed {
            place: origin.to_owned(),
            message: error.message().to_owned(),
        };
    };
    let key = DeTable::parse(text).ok().and_then(|table| key_at(table.get_ref(), span.start));
    let message = match key {
        Some(key) => format!("`{key}`: {}", error.message()),
        None => error.message().to_owned(),
    };
    let line = line_at(text, span.start);
    ConfigError::Malformed { place: format!("{origin}:{line}"), message }
}

/// Returns the key, such as `backends[1].name`, of which a byte is part.
fn key_at(table: &DeTable<'_>, offset: usize) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let name = key.get_ref().to_string();
        if key.span().contains(&offset) {
            return Some(name);
        }
        let within = match value.get_ref() {
            DeValue::Table(table) => key_at(table, offset).map(|key| format!("{name}.{key}")),
            DeValue::Array(items) => items.iter().enumerate().find_map(|(i, item)| {
                let within = match item.get_ref() {
                    DeValue::Table(table) => key_at(table, offset),
                    _ => None,
                };
                let here = item.span().contains(&offset);
                match within {
                    Some(key) => Some(format!("{name}[{i}].{key}")),
                    None => here.then(|| format!("{name}[{i}]")),
                }
            }),
            _ => None,
        };
        within.or_else(|| value.span().contains(&offset).then_some(name))
    })
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// Returns file and line of a key, as far as it has them.
fn place_of(text: &str, origin: &str, key: &str) -> String {
    match line_of(text, key) {
        Some(line) => format!("{origin}:{line}"),
        None => origin.to_owned(),
    }
}

/// Returns the line of a key such as `backends[1].name`, or of the table that it would stand in.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut at = None;
    let mut table = Some(document.get_ref());
    for part in key.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let Some(found) = table.and_then(|table| table.get(name)) else { break };
        let mut spanned = found;
        if let Some(index) = index {
            let Some(item) = found.get_ref().as_array().and_then(|items| items.get(index)) else {
                break;
            };
            spanned = item;
        }
        at = Some(spanned.span().start);
        table = spanned.get_ref().as_table();
    }
    at.map(|offset| line_at(text, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, "c.toml", &Overrides::default())
    }

    fn with_variable(text: &str, name: &str, value: &str) -> Result<Config, ConfigError> {
        let variables = vec![(name.to_owned(), value.to_owned())];
        Config::parse(text, "c.toml", &Overrides { variables, listen: None })
    }

    #[test]
    fn nothing_is_a_configuration_and_every_key_survives_being_shown() {
        let default = parse("").unwrap();
        assert_eq!(default, Config::default());
        let shown = toml::to_string(&every_key()).unwrap();
        assert_eq!(toml::from_str::<Config>(&shown).unwrap(), every_key());
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_was_expected() {
        for (text, expected) in [
            (
                "[server]\nlisten_on = 1",
                &["c.toml:2", "listen_on", "expected one of", "`listen`"][..],
            ),
            ("[servers]", &["c.toml:1", "servers", "`server`"]),
            ("[routing]\nstrategy = \"best\"", &["c.toml:2", "best", "adaptive"]),
            ("[health]\ninterval = \"soon\"", &["c.toml:2", "soon", "30s"]),
            ("[health]\nfailure_threshold = 0", &["c.toml:2", "nonzero"]),
            ("[limits]\nbody_bytes = \"big\"", &["c.toml:2", "big", "64KiB"]),
            (
                "[[backends]]\nname = \"a\"\nurl = \"10.0.0.1\"",
                &["c.toml:3", "10.0.0.1", "scheme", "http://"],
            ),
            ("[[backends]]\nname = \"a b\"\nurl = \"http://h\"", &["c.toml:2", "a b", "letters"]),
            ("[[backends]]\nname = \"a\"", &["c.toml:1", "url"]),
            (
                "[[backends]]\nname = \"a\"\nurl = \"http://h\"\ntype = \"gpu\"",
                &["c.toml:4", "gpu", "vllm"],
            ),
            ("listen = ", &["c.toml:1"]),
            (
                "[[backends]]\nname = \"a\"\nurl = \"http://h\"\n\n[[backends]]\nname = \"a\"\nurl = \"http://i\"",
                &["c.toml:6", "backends[1].name", "\"a\"", "unique"],
            ),
            (
                "[routing.aliases]\na = \"b\"\nb = \"a\"",
                &["c.toml:2", "routing.aliases.a", "circle"],
            ),
        ] {
            let error = parse(text).unwrap_err().to_string();
            for part in expected {
                assert!(error.contains(part), "{part:?} is not in {error}");
            }
        }
    }

    #[test]
    fn variables_go_before_the_file() {
        let text = "[routing]\nstrategy = \"weighted\"";
        let config = with_variable(text, "CALLSHEET_ROUTING_STRATEGY", "round_robin").unwrap();
        assert_eq!(config.routing.strategy.as_str(), "round_robin");
        let config = with_variable("", "CALLSHEET_LIMITS_QUEUE_SIZE", "7").unwrap();
        assert_eq!(config.limits.queue_size, 7);
        let config = with_variable("", "CALLSHEET_ROUTING_ZONE", "a").unwrap();
        assert_eq!(config.routing.zone.as_deref(), Some("a"));
        let config = with_variable("", "CALLSHEET_ROUTING_ZONE", "7").unwrap();
        assert_eq!(config.routing.zone.as_deref(), Some("7"), "a text that looks like a number");
        let config = with_variable("", "CALLSHEET_ROUTING_RETRY_RATIO", "1").unwrap();
        assert_eq!(config.routing.retry_ratio.to_string(), "1");
        let config = with_variable("", "CALLSHEET_SERVER_ALLOWED_HOSTS", "[\"a.lan\"]").unwrap();
        assert_eq!(config.server.allowed_hosts, ["a.lan"]);
        let error = with_variable("", "CALLSHEET_LIMITS_QUEUE_SIZE", "many").unwrap_err();
        assert!(error.to_string().contains("CALLSHEET_LIMITS_QUEUE_SIZE"), "{error}");
        assert_eq!(with_variable("", "CALLSHEET_OFFLINE", "1").unwrap(), Config::default());
    }
}
