use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// One line of a price list: what is charged for, how much, and when it holds.
///
/// What no line speaks of is unknown, which is not free.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// What is charged for.
    pub what: Charge,
    /// What the amount buys.
    pub per: Unit,
    /// How much.
    pub amount: Amount,
    /// Holds for requests whose context has more than so many tokens; `None` holds for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above_context: Option<u64>,
    /// Whether it holds for requests in a batch only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub batch: bool,
    /// The first day on which it holds, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PartialDate>,
    /// The last day on which it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<PartialDate>,
}

impl Price {
    /// A price that holds always.
    pub fn new(what: Charge, per: Unit, amount: Amount) -> Self {
        Self { what, per, amount, above_context: None, batch: false, from: None, until: None }
    }
}

/// How much: dollars, or what nobody knows before the request. Unknown is no amount.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Amount {
    /// US dollars; 0 is free.
    Usd(Decimal),
    /// It depends on the request, as with a router that chooses among models.
    Dynamic,
}

impl Amount {
    /// Returns the dollars, unless it is dynamic.
    pub fn usd(self) -> Option<Decimal> {
        match self {
            Self::Usd(amount) => Some(amount),
            Self::Dynamic => None,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usd(amount) => write!(f, "{}", amount.normalize()),
            Self::Dynamic => f.write_str("dynamic"),
        }
    }
}

/// A text that is no amount.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is no amount: expected a decimal number from 0 up, such as \"0.25\", or \"dynamic\""
)]
pub struct AmountError(pub String);

impl FromStr for Amount {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Self, AmountError> {
        if text == "dynamic" {
            return Ok(Self::Dynamic);
        }
        let number = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
        // What is too small for a decimal must not become free.
        let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
        let says_nothing = !mantissa.contains(|digit: char| ('1'..='9').contains(&digit));
        match number {
            Ok(number) if number.is_zero() && says_nothing => Ok(Self::Usd(Decimal::ZERO)),
            Ok(number) if !number.is_zero() && !number.is_sign_negative() => {
                Ok(Self::Usd(number.normalize()))
            }
            _ => Err(AmountError(text.to_owned())),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Writes an enum whose unknown names are kept.
macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A name that this version does not know.
            Other(String),
        }

        impl $name {
            /// Returns the name.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(name) => name,
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$variant,)+
                    _ => Self::Other(text),
                }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
open_enum! {
    /// What is charged for.
    Charge {
        /// Tokens of the request.
        Prompt = "prompt",
        /// Tokens of the answer.
        Completion = "completion",
        /// Tokens of the request that were found in a cache.
        CacheRead = "cache_read",
        /// Tokens of the request that were put into a cache.
        CacheWrite = "cache_write",
        /// Tokens that the model thinks in.
        Reasoning = "reasoning",
        /// Sound in the request.
        AudioInput = "audio_input",
        /// Sound in the answer.
        AudioOutput = "audio_output",
        /// Images in the request.
        ImageInput = "image_input",
        /// Images in the answer.
        ImageOutput = "image_output",
        /// The request itself.
        Request = "request",
        /// A search of the web.
        Search = "search",
        /// Time on a machine.
        Compute = "compute",
    }
}

open_enum! {
    /// What an amount buys.
    Unit {
        /// A million tokens.
        MillionTokens = "mtok",
        /// One image.
        Image = "image",
        /// One request.
        Request = "request",
        /// One second.
        Second = "second",
        /// One character.
        Character = "character",
    }
}

/// A day, a month or a year: `2025-01-31`, `2025-01`, `2025`. Sorts by time.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartialDate(String);

/// A text that is no date.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no date: expected YYYY-MM-DD, YYYY-MM or YYYY")]
pub struct DateError(pub String);

impl PartialDate {
    /// Checks a date.
    pub fn new(text: &str) -> Result<Self, DateError> {
        let padded = match text.len() {
            4 => format!("{text}-01-01"),
            7 => format!("{text}-01"),
            _ => text.to_owned(),
        };
        let is_date = padded.len() == 10
            && padded.bytes().all(|b| b.is_ascii_digit() || b == b'-')
            && padded.parse::<jiff::civil::Date>().is_ok();
        if is_date { Ok(Self(text.to_owned())) } else { Err(DateError(text.to_owned())) }
    }

    /// Returns the day of a moment, in UTC.
    pub fn of(moment: jiff::Timestamp) -> Self {
        Self(moment.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
    }

    /// Returns the date as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PartialDate {
    type Error = DateError;
    fn try_from(text: String) -> Result<Self, DateError> {
        Self::new(&text)
    }
}

impl From<PartialDate> for String {
    fn from(date: PartialDate) -> Self {
        date.0
    }
}

impl fmt::Display for PartialDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PartialDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_three_things_differ() {
        for (text, written) in [
            ("0.000003", "0.000003"),
            ("2.5500", "2.55"),
            ("5e-8", "0.00000005"),
            ("0", "0"),
            ("dynamic", "dynamic"),
        ] {
            let amount: Amount = text.parse().unwrap();
            assert_eq!(amount.to_string(), written);
        }
        let tiny = format!("0.{}1", "0".repeat(40));
        for bad in ["", "-1", "free", "1,5", "NaN", "-0.5", "1e-40", &tiny] {
            assert_eq!(bad.parse::<Amount>(), Err(AmountError(bad.to_owned())));
        }
    }

    #[test]
    fn names_that_nobody_knows_are_kept() {
        let charge: Charge = serde_json::from_str(r#""video_second""#).unwrap();
        assert_eq!(charge, Charge::Other("video_second".to_owned()));
        assert_eq!(serde_json::to_string(&charge).unwrap(), r#""video_second""#);
        assert_eq!(Charge::from("cache_read".to_owned()), Charge::CacheRead);
    }

    #[test]
    fn dates_may_be_partial_and_must_be_dates() {
        for good in ["2025", "2025-01", "2025-01-31"] {
            assert_eq!(PartialDate::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "25", "2025-13", "2025-02-30", "2025-1-1", "yesterday", "2025-01-01T00"] {
            assert_eq!(PartialDate::new(bad), Err(DateError(bad.to_owned())));
        }
    }
}
