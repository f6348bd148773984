//! Decimals from and to JSON numbers, without the digits that binary floats add.

use rust_decimal::Decimal;
use serde_json::Number;

/// So many decimal digits go through a binary float unchanged.
const EXACT_DIGITS: usize = 15;

/// What has no more digits than these once the inexact ones are gone was written by somebody; the
/// others, as in `2.5500000000000003`, came from arithmetic.
const WRITTEN_DIGITS: usize = 12;

/// Returns a JSON number as a decimal: `2.5500000000000003` is 2.55, and `0.08333333333333334` is
/// what it says. `None` where it has no place in a decimal.
pub(crate) fn of_number(number: &Number) -> Option<Decimal> {
    let text = number.to_string();
    let float = number.as_f64().filter(|_| number.is_f64());
    let without_drift = float
        .filter(|_| significant_digits(&text) > EXACT_DIGITS)
        .map(|float| format!("{float:.14e}"))
        .and_then(|rounded| parse(&rounded))
        .filter(|rounded| significant_digits(&rounded.normalize().to_string()) <= WRITTEN_DIGITS);
    Some(without_drift.or_else(|| parse(&text))?.normalize())
}

fn significant_digits(text: &str) -> usize {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count()
}

/// Returns a decimal number in plain or scientific notation. What is too small for one is none: it
/// would become 0, which means free.
pub(crate) fn parse(text: &str) -> Option<Decimal> {
    let decimal: Decimal = text.parse().or_else(|_| Decimal::from_scientific(text)).ok()?;
    let is_nothing = decimal.is_zero() && significant_digits(text) > 0;
    (!is_nothing).then_some(decimal)
}

/// Returns a decimal as the shortest JSON number, and whether the number says it exactly.
pub(crate) fn to_number(decimal: Decimal) -> (Number, bool) {
    let text = decimal.normalize().to_string();
    let whole = text.parse::<i64>().ok().map(Number::from);
    let number = whole.or_else(|| text.parse().ok().and_then(Number::from_f64));
    // Every decimal is a finite float.
    let number = number.unwrap_or_else(|| Number::from(0));
    let is_exact = of_number(&number) == Some(decimal.normalize());
    (number, is_exact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn floats_become_what_was_meant() {
        for (json, meant) in [
            ("2.55", "2.55"),
            ("2.5500000000000003", "2.55"),
            ("0.049999999999999996", "0.05"),
            ("0.08333333333333334", "0.08333333333333334"),
            ("1.5000000000000002e-07", "0.00000015"),
            ("3e-6", "0.000003"),
            ("0", "0"),
            ("0.0", "0"),
            ("1.0", "1"),
            ("12345678901234567", "12345678901234567"),
        ] {
            let number: Number = serde_json::from_str(json).unwrap();
            assert_eq!(of_number(&number).unwrap().to_string(), meant, "{json}");
        }
        for json in ["1e-30", "1e300"] {
            let number: Number = serde_json::from_str(json).unwrap();
            assert_eq!(of_number(&number), None, "{json}");
        }
    }

    #[test]
    fn what_is_too_small_is_not_free() {
        for (text, is_there) in [
            ("0", true),
            ("-0.000", true),
            ("0e5", true),
            ("0.0000000000000000000000000001", true),
            ("0.00000000000000000000000000001", false),
            ("1e-40", false),
            ("many", false),
        ] {
            assert_eq!(parse(text).is_some(), is_there, "{text}");
        }
    }

    #[test]
    fn numbers_that_need_more_digits_than_a_float_has_are_told() {
        let (number, is_exact) = to_number(parse("0.12345678901234567").unwrap());
        assert!(!is_exact, "{number}");
        let (number, is_exact) = to_number(parse("2.55").unwrap());
        assert_eq!((number.to_string().as_str(), is_exact), ("2.55", true));
        assert_eq!(to_number(parse("3.0").unwrap()).0.to_string(), "3");
    }

    proptest! {
        #[test]
        fn fifteen_digits_go_there_and_back(digits in 0_i64..1_000_000_000_000_000, scale in 0_u32..20) {
            let decimal = Decimal::new(digits, scale).normalize();
            let (number, is_exact) = to_number(decimal);
            prop_assert!(is_exact, "{} {}", decimal, number);
            let read: Number = serde_json::from_str(&number.to_string()).unwrap();
            prop_assert_eq!(of_number(&read), Some(decimal));
        }
    }
}
