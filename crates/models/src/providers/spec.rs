//! A provider as people describe it, and as it is asked.

use super::ProviderKind;
use callsheet_types::{BackendUrl, HumanDuration, ModelKey, Secret, SecretSource, UrlError};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// `[providers.NAME]`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSpec {
    /// How it lists its models; by its name where nothing is said, else as `OpenAI` does.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ProviderKind>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The variable that holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// The file that holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<PathBuf>,
    /// Which models to take, by their ids there; all on its list where nothing is said. Replicate,
    /// which has no list, and Hugging Face's hub are asked for these: `owner/name`, and of the hub
    /// also an author's name or `search:words`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// How long its whole list may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
}

/// A description that no provider can be made of.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// Models' keys begin with the name.
    #[error("{0:?} is no provider's name: expected 1 to 64 letters, digits, `.`, `_` or `-`")]
    Name(String),
    /// Nobody knows where it is.
    #[error("`url` is missing: a provider of type `{0}` may be anywhere")]
    NoUrl(ProviderKind),
    /// Its address is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// There are two keys.
    #[error("`api_key_env` and `api_key_file` are both set; expected one of them")]
    TwoKeys,
}

const TIMEOUT: Duration = Duration::from_mins(1);

/// A provider that can be asked. Its `Debug` does not show the key.
#[derive(Clone, Debug)]
pub struct Provider {
    /// What its models' keys begin with.
    pub name: String,
    /// How it lists them.
    pub kind: ProviderKind,
    /// Where it is.
    pub url: BackendUrl,
    /// What it is asked with.
    pub key: Option<Secret>,
    /// Where the key was looked for, for whoever misses it.
    pub key_place: Option<String>,
    /// Whether it is not asked without a key: a place for one is named, or the service lists nothing
    /// to those who have none.
    pub must_have_key: bool,
    /// Which models to take; see [`ProviderSpec::models`].
    pub models: Option<Vec<String>>,
    /// How long its whole list may take.
    pub timeout: Duration,
}

impl ProviderSpec {
    /// Returns how the provider of this name lists its models.
    pub fn kind(&self, name: &str) -> ProviderKind {
        self.kind.unwrap_or_else(|| ProviderKind::of_name(name))
    }

    /// Returns where the provider of this name is, unless nobody knows.
    pub fn address(&self, name: &str) -> Option<String> {
        let default = || self.kind(name).default_url().map(str::to_owned);
        self.url.clone().or_else(default)
    }

    /// Returns where its key is kept: where it says, else in the variable that is usual for the
    /// service, if it is at that service's own address. A server elsewhere that speaks the same API
    /// is not shown a key that was not meant for it.
    pub fn key_source(&self, name: &str) -> Option<SecretSource> {
        match (&self.api_key_env, &self.api_key_file) {
            (Some(variable), _) => Some(SecretSource::Env(variable.clone())),
            (None, Some(file)) => Some(SecretSource::File(file.clone())),
            (None, None) if self.is_at_home(name) => {
                self.kind(name).key_variable().map(|name| SecretSource::Env(name.to_owned()))
            }
            (None, None) => None,
        }
    }

    /// Returns whether it is at the address of the service whose API it speaks.
    fn is_at_home(&self, name: &str) -> bool {
        let home = self.kind(name).default_url().and_then(|url| BackendUrl::new(url).ok());
        let address = self.address(name).and_then(|url| BackendUrl::new(&url).ok());
        let (Some(home), Some(address)) = (home, address) else { return false };
        address.is_tls() && home.is_tls() && address.authority() == home.authority()
    }

    fn names_a_key(&self) -> bool {
        self.api_key_env.is_some() || self.api_key_file.is_some()
    }

    /// Makes a provider of the description. Whether it needs a key shows when it is asked.
    pub fn resolve(&self, name: &str, key: Option<Secret>) -> Result<Provider, SpecError> {
        if ModelKey::new(name, "x").is_err() {
            return Err(SpecError::Name(name.to_owned()));
        }
        if self.api_key_env.is_some() && self.api_key_file.is_some() {
            return Err(SpecError::TwoKeys);
        }
        let kind = self.kind(name);
        let url = self.address(name).ok_or(SpecError::NoUrl(kind))?;
        Ok(Provider {
            name: name.to_owned(),
            kind,
            url: BackendUrl::new(&url)?,
            key,
            key_place: self.key_source(name).map(|source| match source {
                SecretSource::Env(variable) => variable,
                SecretSource::File(file) => file.display().to_string(),
            }),
            must_have_key: self.names_a_key() || kind.needs_key() && self.is_at_home(name),
            models: self.models.clone(),
            timeout: self.timeout.map_or(TIMEOUT, |timeout| timeout.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<ProviderSpec, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_known_name_says_all_that_is_needed() {
        let provider = spec("").unwrap().resolve("openrouter", None).unwrap();
        assert_eq!(provider.kind, ProviderKind::OpenRouter);
        assert_eq!(provider.url.to_string(), "https://openrouter.ai/api/v1");
        assert_eq!(provider.key_place.as_deref(), Some("OPENROUTER_API_KEY"));
        let mine = spec("type = \"openai\"\nurl = \"http://h:1\"\napi_key_env = \"MINE\"").unwrap();
        let provider = mine.resolve("mine", None).unwrap();
        assert_eq!(provider.kind, ProviderKind::OpenAi);
        assert_eq!(mine.key_source("mine"), Some(SecretSource::Env("MINE".to_owned())));
    }

    #[test]
    fn a_usual_key_is_for_the_services_own_address_alone() {
        for (name, text, variable) in [
            ("openai", "", Some("OPENAI_API_KEY")),
            ("openai", "url = \"https://api.openai.com\"", Some("OPENAI_API_KEY")),
            ("openai", "url = \"HTTPS://API.openai.com:443/v1/\"", Some("OPENAI_API_KEY")),
            ("mine", "type = \"openai\"", Some("OPENAI_API_KEY")),
            ("mine", "type = \"openai\"\nurl = \"http://my-box\"", None),
            ("openai", "url = \"https://my-box/v1\"", None),
            ("openai", "url = \"http://api.openai.com/v1\"", None),
            ("openai", "url = \"https://api.openai.com:8443/v1\"", None),
            ("openai", "url = \"https://api.openai.com.my-box/v1\"", None),
            ("openai", "type = \"openai\"\nurl = \"https://openrouter.ai/api/v1\"", None),
            ("anthropic", "url = \"http://127.0.0.1:1\"", None),
            ("huggingface", "url = \"https://hub.my-box\"", None),
            ("ollama", "", None),
        ] {
            let spec = spec(text).unwrap();
            let expected = variable.map(|name| SecretSource::Env(name.to_owned()));
            assert_eq!(spec.key_source(name), expected, "{name} {text}");
            let provider = spec.resolve(name, None).unwrap();
            assert_eq!(provider.must_have_key, expected.is_some(), "{name} {text}");
        }
        let named = spec("api_key_env = \"MINE\"\nurl = \"http://my-box\"").unwrap();
        assert_eq!(named.key_source("vllm"), Some(SecretSource::Env("MINE".to_owned())));
        assert!(named.resolve("vllm", None).unwrap().must_have_key);
        assert!(!spec("").unwrap().resolve("openrouter", None).unwrap().must_have_key);
    }

    #[test]
    fn a_mistake_is_named() {
        assert_eq!(
            spec("").unwrap().resolve("mine", None).unwrap_err(),
            SpecError::NoUrl(ProviderKind::Generic)
        );
        let bad = spec("url = \"ftp://h\"").unwrap().resolve("openai", None).unwrap_err();
        assert!(matches!(bad, SpecError::Url(_)));
        let two = spec("api_key_env = \"A\"\napi_key_file = \"b\"").unwrap();
        assert_eq!(two.resolve("openai", None).unwrap_err(), SpecError::TwoKeys);
        assert!(matches!(spec("").unwrap().resolve("a b", None), Err(SpecError::Name(_))));
        for (text, part) in
            [("kind = \"openai\"", "unknown field"), ("type = \"bard\"", "unknown variant")]
        {
            assert!(spec(text).unwrap_err().to_string().contains(part));
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = Secret::new("sk-123", "TEST").unwrap();
        let provider = spec("").unwrap().resolve("openai", Some(key)).unwrap();
        assert!(!format!("{provider:?}").contains("sk-123"));
    }
}
