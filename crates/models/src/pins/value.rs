//! Values as people write them.

use super::FieldError;
use crate::{
    Amount, Charge, Price, Unit,
    merge::{
        UnknownField,
        fields::{FieldType, by_field, facts_of, type_of},
    },
    names::near,
};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde_json::{Value, json};

/// What is charged for by the token, and can be priced by its name alone.
const TOKEN_CHARGES: [Charge; 9] = [
    Charge::Prompt,
    Charge::Completion,
    Charge::CacheRead,
    Charge::CacheWrite,
    Charge::Reasoning,
    Charge::AudioInput,
    Charge::AudioOutput,
    Charge::ImageInput,
    Charge::ImageOutput,
];

/// Reads a value of a field.
pub(super) fn read(field: &str, text: &str) -> Result<Value, FieldError> {
    let type_ = type_of(field)?;
    let json = || serde_json::from_str::<Value>(text).ok();
    let value = match type_ {
        FieldType::Text | FieldType::Date => Some(Value::from(text)),
        FieldType::Count => count(text).map(Value::from),
        FieldType::Flag => match text {
            "true" | "yes" => Some(true.into()),
            "false" | "no" => Some(false.into()),
            _ => None,
        },
        FieldType::Words => Some(list(text).collect()),
        FieldType::Weights if !text.starts_with('[') => {
            Some(list(text).map(|url| json!({"url": url})).collect())
        }
        FieldType::Parameter if matches!(text, "opaque" | "unsupported") => {
            Some(json!({"availability": text}))
        }
        FieldType::Weights | FieldType::Parameter | FieldType::Prices => json(),
        FieldType::Extra => Some(json().unwrap_or_else(|| text.into())),
    };
    value.ok_or_else(|| refuse(field, type_, text))
}

/// Checks a value of a field, and writes it as the field has it.
pub(super) fn check(field: &str, value: &Value) -> Result<Value, FieldError> {
    let type_ = type_of(field)?;
    let wrong = || refuse(field, type_, value.as_str().unwrap_or(&value.to_string()));
    let is_empty = match value {
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty() && field != "capabilities",
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Null => true,
        _ => false,
    };
    if is_empty && type_ != FieldType::Extra {
        return Err(wrong());
    }
    let facts = facts_of(field, value).map_err(|_| wrong())?;
    let written = by_field(&facts).remove(field).unwrap_or_else(|| Value::Array(Vec::new()));
    let has_blank = matches!(&written, Value::Array(words) if words.iter().any(|word| word == ""));
    if has_blank || !is_kept(value, &written) { Err(wrong()) } else { Ok(written) }
}

/// Returns whether a misspelt key was not left out when a value was read.
fn is_kept(given: &Value, written: &Value) -> bool {
    match (given, written) {
        (Value::Object(given), Value::Object(written)) => {
            given.iter().all(|(name, value)| match written.get(name) {
                Some(written) => is_kept(value, written),
                None => matches!(value, Value::Null | Value::Bool(false)),
            })
        }
        (Value::Array(given), Value::Array(written)) if given.len() == written.len() => {
            given.iter().zip(written).all(|(given, written)| is_kept(given, written))
        }
        _ => true,
    }
}

/// Returns a price list in which one charge has another price for every request outside tiers and
/// batches.
pub(super) fn with_price(list: &[Price], charge: &str, amount: &str) -> Result<Value, FieldError> {
    let field = format!("prices.{charge}");
    let Some(what) = TOKEN_CHARGES.into_iter().find(|known| known.as_str() == charge) else {
        let known: Vec<String> =
            TOKEN_CHARGES.iter().map(|what| format!("prices.{what}")).collect();
        let near = near::closest(&field, known.iter().map(String::as_str));
        return Err(UnknownField { field, near }.into());
    };
    let amount: Amount = match amount {
        "free" => Amount::Usd(Decimal::ZERO),
        _ => amount.parse().map_err(|_| FieldError::Value {
            field,
            value: amount.to_owned(),
            expected: "dollars for a million tokens, such as 2.5, or `free`, or `dynamic`".into(),
        })?,
    };
    let is_other = |row: &&Price| {
        row.what != what
            || row.per != Unit::MillionTokens
            || row.batch
            || row.above_context.is_some()
    };
    let mut rows: Vec<Price> = list.iter().filter(is_other).cloned().collect();
    rows.insert(0, Price::new(what, Unit::MillionTokens, amount));
    rows.sort_by(|a, b| a.what.cmp(&b.what));
    // Rows are plain data, which always serializes.
    Ok(serde_json::to_value(rows).unwrap_or_default())
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Reads `200000`, `200_000`, `128k`, `1M`, `8B` (of a thousand) or `128Ki`, `1Mi` (of 1024).
fn count(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &text[digits.len()..] {
        "" => 1,
        "k" | "K" => 1_000,
        "m" | "M" => 1_000_000,
        "b" | "B" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        _ => return None,
    };
    let number: Decimal = digits.replace('_', "").parse().ok()?;
    let number = number.checked_mul(factor.into())?;
    number.is_integer().then(|| number.to_u64())?
}

fn refuse(field: &str, type_: FieldType, value: &str) -> FieldError {
    let expected = match type_ {
        FieldType::Text => "a text".to_owned(),
        FieldType::Words => "words separated by commas, such as text,image".to_owned(),
        FieldType::Count => "a whole number from 1 up, such as 200000, 128k or 1M".to_owned(),
        FieldType::Flag => "true or false".to_owned(),
        FieldType::Date => "YYYY-MM-DD, YYYY-MM or YYYY".to_owned(),
        FieldType::Weights => "addresses separated by commas, or a JSON list of \
            {\"url\", \"label\", \"digest\"}"
            .to_owned(),
        FieldType::Prices => format!(
            "a JSON list of prices such as {}",
            json!([{"what": "prompt", "per": "mtok", "amount": "2.5"}])
        ),
        FieldType::Parameter => format!(
            "`opaque`, `unsupported`, or JSON such as {}",
            json!({"availability": "mutable", "min": 0, "max": 2})
        ),
        FieldType::Extra => "a text or JSON".to_owned(),
    };
    FieldError::Value { field: field.to_owned(), value: value.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_may_have_units() {
        for (text, number) in [
            ("200000", Some(200_000)),
            ("200_000", Some(200_000)),
            ("128k", Some(128_000)),
            ("1.5M", Some(1_500_000)),
            ("8B", Some(8_000_000_000)),
            ("128Ki", Some(131_072)),
            ("1.0005k", None),
            ("-1", None),
            ("k", None),
            ("12 k", None),
            ("99999999999999999999999B", None),
            ("1T", None),
            ("1e3", Some(1_000)),
        ] {
            assert_eq!(count(text), number, "{text}");
        }
    }
}
