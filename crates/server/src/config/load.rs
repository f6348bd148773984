//! From a file and the environment to a [`Config`], with errors that name the place.

use super::Config;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

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
    /// A value is well-formed and makes no sense.
    #[error("{place}: `{key}` {problem}; expected {expected}")]
    Invalid {
        /// File and line, or "the configuration" where it is a default or comes from elsewhere.
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

impl Config {
    /// Reads and checks the configuration: flags before variables before the file before defaults.
    pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let text = match path {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?,
        };
        let origin =
            path.map_or_else(|| "the configuration".to_owned(), |p| p.display().to_string());
        Self::parse(&text, &origin, overrides)
    }

    /// Reads and checks a text; `origin` is what errors call it.
    pub fn parse(text: &str, origin: &str, overrides: &Overrides) -> Result<Self, ConfigError> {
        let malformed = |error: &toml::de::Error| ConfigError::Malformed {
            place: match error.span() {
                Some(span) => format!("{origin}:{}", line_at(text, span.start)),
                None => origin.to_owned(),
            },
            message: error.to_string().trim_end().to_owned(),
        };
        // Read for its errors first: only here do they know their line.
        let mut config: Self = toml::from_str(text).map_err(|error| malformed(&error))?;
        let mut table: Table = text.parse().map_err(|error| malformed(&error))?;
        for (variable, value) in &overrides.variables {
            let Some((section, key)) = config_key(variable) else { continue };
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                section.insert(key, scalar(value));
            }
            config = Self::deserialize_table(&table)
                .map_err(|message| ConfigError::Variable { variable: variable.clone(), message })?;
        }
        if let Some(listen) = overrides.listen {
            config.server.listen = listen;
        }
        config.check().map_err(|fault| ConfigError::Invalid {
            place: match line_of(text, &fault.key) {
                Some(line) => format!("{origin}:{line}"),
                None => origin.to_owned(),
            },
            key: fault.key,
            problem: fault.problem,
            expected: fault.expected,
        })?;
        Ok(config)
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

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// Returns the line of a key such as `backends[1].name`, or of the table that it would stand in.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let mut at = None;
    let mut value: Option<&toml::de::DeValue<'_>> = None;
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
        value = Some(spanned.get_ref());
        table = value.and_then(|value| value.as_table());
    }
    let _ = value;
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
        let config = with_variable("", "CALLSHEET_SERVER_ALLOWED_HOSTS", "[\"a.lan\"]").unwrap();
        assert_eq!(config.server.allowed_hosts, ["a.lan"]);
        let error = with_variable("", "CALLSHEET_LIMITS_QUEUE_SIZE", "many").unwrap_err();
        assert!(error.to_string().contains("CALLSHEET_LIMITS_QUEUE_SIZE"), "{error}");
        assert_eq!(with_variable("", "CALLSHEET_OFFLINE", "1").unwrap(), Config::default());
    }
}
