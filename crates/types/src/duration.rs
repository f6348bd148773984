use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// A duration as people write it: `250ms`, `30s`, `2m`, `1h 30m`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// Returns that many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Returns that many milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }
}

impl TryFrom<String> for HumanDuration {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::str::FromStr for HumanDuration {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map(Self).map_err(|cause| {
            format!("{text:?} is no duration ({cause}); expected one such as \"250ms\", \"30s\" or \"2m\"")
        })
    }
}

impl From<HumanDuration> for String {
    fn from(duration: HumanDuration) -> Self {
        duration.to_string()
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.as_secs() / 86_400;
        if days > 0 && self.0 == Duration::from_secs(days * 86_400) {
            // Months of 30.44 days help nobody.
            return write!(f, "{days}d");
        }
        humantime::format_duration(self.0).fmt(f)
    }
}
