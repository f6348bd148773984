use crate::StoreError;
use callsheet_types::{BackendUrl, Secret};
use std::{env, time::Duration};

/// For how long a server may say nothing, and take nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// How an S3-compatible store is reached: what the address of a bucket does not say.
#[derive(Clone, Debug)]
pub struct S3Access {
    /// Where it answers; Amazon's own address of the region where nothing is said.
    pub endpoint: Option<BackendUrl>,
    /// The region; `us-east-1`, which others than Amazon take for theirs, where nothing is said.
    pub region: Option<String>,
    /// As whom one comes; as whom the machine is known to Amazon where nothing is said.
    pub keys: Option<S3Keys>,
    /// For how long it may say nothing, and take nothing, before it is given up.
    pub silence: Duration,
}

/// As whom one comes to an S3-compatible store.
#[derive(Clone, Debug)]
pub struct S3Keys {
    /// The access key's id.
    pub id: Secret,
    /// The secret access key.
    pub secret: Secret,
    /// What goes with keys that hold for a session only.
    pub session_token: Option<Secret>,
}

impl S3Access {
    /// Reads the usual variables: `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, `AWS_REGION` or
    /// `AWS_DEFAULT_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    pub fn from_environment() -> Result<Self, StoreError> {
        Self::read(|name| env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, StoreError> {
        let set =
            |name: &'static str| Some((name, variable(name).filter(|text| !text.is_empty())?));
        let wrong = |name, expected| StoreError::BadVariable { name, expected };
        let secret = |name: &'static str| {
            let secret = set(name).map(|(_, text)| Secret::new(&text, name));
            secret.transpose().map_err(|_| wrong(name, "a key of printable characters"))
        };
        let endpoint = match set("AWS_ENDPOINT_URL_S3").or_else(|| set("AWS_ENDPOINT_URL")) {
            None => None,
            Some((name, text)) => {
                Some(text.parse().map_err(|_| wrong(name, "one such as https://s3.example.com"))?)
            }
        };
        let region = match set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")) {
            Some((name, text))
                if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') =>
            {
                return Err(wrong(name, "the name of a region, such as eu-central-1"));
            }
            region => region.map(|(_, text)| text),
        };
        let (id, key) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
        let session_token = secret("AWS_SESSION_TOKEN")?;
        let keys = match (secret(id)?, secret(key)?) {
            (Some(id), Some(secret)) => Some(S3Keys { id, secret, session_token }),
            (None, None) => None,
            (None, Some(_)) => return Err(wrong(id, "the id that goes with the secret key")),
            (Some(_), None) => return Err(wrong(key, "the secret that goes with the key's id")),
        };
        Ok(Self { endpoint, region, keys, silence: SILENCE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<S3Access, StoreError> {
        S3Access::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn the_usual_variables_are_read() {
        let access = read(&[]).unwrap();
        assert!(access.endpoint.is_none() && access.region.is_none() && access.keys.is_none());
        let access = read(&[
            ("AWS_ENDPOINT_URL", "https://other.test"),
            ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000/"),
            ("AWS_DEFAULT_REGION", "other"),
            ("AWS_REGION", ""),
            ("AWS_ACCESS_KEY_ID", "hush-id"),
            ("AWS_SECRET_ACCESS_KEY", "hush-secret"),
            ("AWS_SESSION_TOKEN", "hush-token"),
        ])
        .unwrap();
        assert_eq!(access.endpoint.as_ref().unwrap().to_string(), "http://127.0.0.1:9000");
        assert_eq!(access.region.as_deref(), Some("other"));
        let keys = access.keys.as_ref().unwrap();
        let shown = [&keys.id, &keys.secret, keys.session_token.as_ref().unwrap()];
        let exposed = shown.map(Secret::expose);
        assert_eq!(exposed, ["hush-id", "hush-secret", "hush-token"]);
        assert!(!format!("{access:?}").contains("hush"));
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_named_and_not_repeated() {
        for (variables, name) in [
            (&[("AWS_ENDPOINT_URL", "hush")][..], "AWS_ENDPOINT_URL"),
            (&[("AWS_ENDPOINT_URL_S3", "https://me:hush@h")], "AWS_ENDPOINT_URL_S3"),
            (&[("AWS_REGION", "eu/hush")], "AWS_REGION"),
            (&[("AWS_ACCESS_KEY_ID", "hush")], "AWS_SECRET_ACCESS_KEY"),
            (&[("AWS_SECRET_ACCESS_KEY", "hush")], "AWS_ACCESS_KEY_ID"),
            (
                &[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "hu\nsh")],
                "AWS_SECRET_ACCESS_KEY",
            ),
        ] {
            let error = read(variables).unwrap_err().to_string();
            assert!(error.contains(&format!("{name} ")), "{error}");
            assert!(!error.contains("hu"), "{error}");
        }
    }
}
