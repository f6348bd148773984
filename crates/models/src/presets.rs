//! Presets: their names, their parameters, and what does not fit the model.

use crate::{Card, Parameter, merge::fields::decimal, names::near};
use callsheet_types::Preset;
use serde_json::{Map, Number, Value};
use std::fmt;

/// A preset's name, `TIER/SLOT`, such as `budget/chat`: two times 1 to 64 letters, digits, `.`, `_`
/// or `-`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PresetName {
    text: String,
    slash: usize,
}

/// What is wrong with a preset.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PresetError {
    /// Its name cannot be one.
    #[error(
        "{0:?} is no preset: expected TIER/SLOT, such as budget/chat, each 1 to 64 letters, digits, `.`, `_` or `-`"
    )]
    Name(String),
    /// It does not say what is to become of which parameter.
    #[error("{0:?} sets nothing: expected PARAMETER=VALUE, such as temperature=0.3")]
    NoAssignment(String),
    /// The parameter cannot have the value.
    #[error("{parameter} cannot be {value}: expected {expected}")]
    Value {
        /// The parameter.
        parameter: String,
        /// The value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Its model cannot be called so.
    #[error("a preset's model has a name of 1 to {LONGEST_MODEL} bytes, not {0}")]
    Model(usize),
    /// The request itself says it.
    #[error("{0} is not for a preset to set: every request has its own")]
    OfRequest(String),
}

impl PresetName {
    /// Reads `TIER/SLOT`.
    pub fn parse(text: &str) -> Result<Self, PresetError> {
        let is_word = |word: &str| {
            (1..=64).contains(&word.len())
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        match text.split_once('/') {
            Some((tier, slot)) if is_word(tier) && is_word(slot) => {
                Ok(Self { slash: tier.len(), text: text.to_owned() })
            }
            _ => Err(PresetError::Name(text.to_owned())),
        }
    }

    /// Returns the tier, such as `budget`.
    pub fn tier(&self) -> &str {
        &self.text[..self.slash]
    }

    /// Returns the slot, such as `chat`.
    pub fn slot(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// Returns the whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl std::str::FromStr for PresetName {
    type Err = PresetError;
    fn from_str(text: &str) -> Result<Self, PresetError> {
        Self::parse(text)
    }
}

impl fmt::Display for PresetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a parameter takes.
#[derive(Clone, Copy)]
enum Takes {
    /// A number between two, both included.
    Between(i64, i64, &'static str),
    /// A whole number from this up.
    From(i64, &'static str),
    /// Any whole number.
    Whole,
    /// `true` or `false`.
    Flag,
    /// Whatever the provider takes.
    Anything,
}

const PENALTY: Takes = Takes::Between(-2, 2, "a number from -2 to 2");
const PARAMETERS: [(&str, Takes); 19] = [
    ("cache_prompt", Takes::Anything),
    ("frequency_penalty", PENALTY),
    ("logprobs", Takes::Anything),
    ("max_completion_tokens", Takes::From(1, "a whole number from 1 up")),
    ("max_tokens", Takes::From(1, "a whole number from 1 up")),
    ("min_p", Takes::Between(0, 1, "a number from 0 to 1")),
    ("parallel_tool_calls", Takes::Flag),
    ("presence_penalty", PENALTY),
    ("reasoning", Takes::Anything),
    ("reasoning_effort", Takes::Anything),
    ("repetition_penalty", Takes::Anything),
    ("response_format", Takes::Anything),
    ("seed", Takes::Whole),
    ("stop", Takes::Anything),
    ("temperature", Takes::Between(0, 2, "a number from 0 to 2")),
    ("tool_choice", Takes::Anything),
    ("top_k", Takes::From(0, "a whole number from 0 up")),
    ("top_p", Takes::Between(0, 1, "a number from 0 to 1")),
    ("verbosity", Takes::Anything),
];
/// What a preset cannot fill in, since it is what the request is about.
const OF_REQUEST: [&str; 6] = ["model", "messages", "prompt", "input", "stream", "stream_options"];

/// Reads `PARAMETER=VALUE`; a value that is no JSON is a text.
pub fn parameter(assignment: &str) -> Result<(String, Value), PresetError> {
    let Some((name, text)) = assignment.split_once('=') else {
        return Err(PresetError::NoAssignment(assignment.to_owned()));
    };
    let (name, text) = (name.trim(), text.trim());
    if name.is_empty() {
        return Err(PresetError::NoAssignment(assignment.to_owned()));
    }
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    check(name, &value)?;
    Ok((name.to_owned(), value))
}

/// The most bytes of a model's name, as of the id in a key.
const LONGEST_MODEL: usize = 512;

/// Checks a preset: the name of its model and every parameter.
pub fn check_preset(preset: &Preset) -> Result<(), PresetError> {
    if preset.model.trim().is_empty() || preset.model.len() > LONGEST_MODEL {
        return Err(PresetError::Model(preset.model.len()));
    }
    check_parameters(&preset.parameters)
}

/// Checks every parameter of a preset.
pub fn check_parameters(parameters: &Map<String, Value>) -> Result<(), PresetError> {
    parameters.iter().try_for_each(|(name, value)| check(name, value))
}

fn check(name: &str, value: &Value) -> Result<(), PresetError> {
    if OF_REQUEST.contains(&name) {
        return Err(PresetError::OfRequest(name.to_owned()));
    }
    let takes = PARAMETERS.iter().find(|(known, _)| *known == name).map(|(_, takes)| *takes);
    let number = || if let Value::Number(number) = value { decimal(number) } else { None };
    let is_whole = value.is_i64() || value.is_u64();
    let (is_right, expected) = match takes {
        None | Some(Takes::Anything) => (!value.is_null(), "a value"),
        Some(Takes::Flag) => (value.is_boolean(), "true or false"),
        Some(Takes::Whole) => (is_whole, "a whole number"),
        Some(Takes::From(min, expected)) => {
            (is_whole && number().is_some_and(|n| n >= min.into()), expected)
        }
        Some(Takes::Between(min, max, expected)) => {
            (number().is_some_and(|n| n >= min.into() && n <= max.into()), expected)
        }
    };
    if is_right {
        return Ok(());
    }
    Err(PresetError::Value { parameter: name.to_owned(), value: value.to_string(), expected })
}

/// What may be wrong with a preset, though it can be kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PresetWarning {
    /// Nothing is known of its model.
    UnknownModel {
        /// The name.
        model: String,
    },
    /// Its model is not what one should call.
    ModelStatus {
        /// The name.
        model: String,
        /// `withdrawn`, `deprecated`, …
        status: String,
    },
    /// No parameter is known by this name.
    UnknownParameter {
        /// The name.
        parameter: String,
        /// What is written nearly so.
        near: Vec<String>,
    },
    /// The model does not take the parameter.
    Unsupported {
        /// The parameter.
        parameter: String,
    },
    /// The model has another value, which cannot be set.
    ReadOnly {
        /// The parameter.
        parameter: String,
        /// The model's value.
        value: Value,
    },
    /// The model takes less, or more.
    OutOfRange {
        /// The parameter.
        parameter: String,
        /// The preset's value.
        value: Value,
        /// The least that the model takes.
        min: Option<Number>,
        /// The greatest that it takes.
        max: Option<Number>,
    },
}

impl fmt::Display for PresetWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownModel { model } => write!(f, "no model is known as {model}"),
            Self::ModelStatus { model, status } => write!(f, "{model} is {status}"),
            Self::UnknownParameter { parameter, near } => {
                let meant = crate::merge::fields::did_you_mean(near);
                write!(f, "no parameter is known as {parameter}{meant}")
            }
            Self::Unsupported { parameter } => write!(f, "the model does not take {parameter}"),
            Self::ReadOnly { parameter, value } => {
                write!(f, "{parameter} of the model is always {value}")
            }
            Self::OutOfRange { parameter, value, min, max } => {
                write!(f, "{parameter} of {value} is outside of what the model takes:")?;
                match (min, max) {
                    (Some(min), Some(max)) => write!(f, " {min} to {max}"),
                    (Some(min), None) => write!(f, " {min} and more"),
                    (None, Some(max)) => write!(f, " {max} and less"),
                    (None, None) => f.write_str(" nothing"),
                }
            }
        }
    }
}

/// Says what may be wrong with a preset, given the cards that its model's name means. Of a
/// parameter that the cards do not speak of nothing is known, which is no reason to warn.
pub fn warnings(preset: &Preset, cards: &[Card]) -> Vec<PresetWarning> {
    let mut warnings = Vec::new();
    for name in preset.parameters.keys() {
        let known = PARAMETERS.map(|(known, _)| known);
        let is_of_card = cards.iter().any(|card| card.facts.parameters.contains_key(name));
        if !known.contains(&name.as_str()) && !is_of_card {
            let near = near::closest(name, known);
            warnings.push(PresetWarning::UnknownParameter { parameter: name.clone(), near });
        }
    }
    // A name that means several models may be answered by any of them.
    for card in cards {
        let mut of_card = warnings_of(preset, card);
        of_card.retain(|warning| !warnings.contains(warning));
        warnings.append(&mut of_card);
    }
    if cards.is_empty() {
        warnings.insert(0, PresetWarning::UnknownModel { model: preset.model.clone() });
    }
    warnings
}

fn warnings_of(preset: &Preset, card: &Card) -> Vec<PresetWarning> {
    let mut warnings = Vec::new();
    if matches!(card.status.as_str(), "removed" | "withdrawn" | "retired" | "deprecated") {
        let (model, status) = (card.key.clone(), card.status.clone());
        warnings.push(PresetWarning::ModelStatus { model, status });
    }
    let most = card.facts.max_output_tokens.map(Number::from);
    for (name, value) in &preset.parameters {
        let parameter = name.clone();
        let is_length = matches!(name.as_str(), "max_tokens" | "max_completion_tokens");
        match card.facts.parameters.get(name) {
            Some(Parameter::Unsupported) => warnings.push(PresetWarning::Unsupported { parameter }),
            Some(Parameter::ReadOnly { value: always })
                if !crate::merge::fields::is_same(name, always, value) =>
            {
                let value = always.clone();
                warnings.push(PresetWarning::ReadOnly { parameter, value });
            }
            Some(Parameter::Mutable { min, max, .. })
                if is_outside(value, min.as_ref(), max.as_ref()) =>
            {
                let (value, min, max) = (value.clone(), min.clone(), max.clone());
                warnings.push(PresetWarning::OutOfRange { parameter, value, min, max });
            }
            _ if is_length && is_outside(value, None, most.as_ref()) => {
                let (value, max) = (value.clone(), most.clone());
                warnings.push(PresetWarning::OutOfRange { parameter, value, min: None, max });
            }
            _ => {}
        }
    }
    warnings
}

fn is_outside(value: &Value, min: Option<&Number>, max: Option<&Number>) -> bool {
    let Value::Number(value) = value else { return false };
    let Some(value) = decimal(value) else { return false };
    let is_below = min.and_then(decimal).is_some_and(|min| value < min);
    is_below || max.and_then(decimal).is_some_and(|max| value > max)
}
