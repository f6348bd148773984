//! Price lists: rows are added once, and found again.

use crate::{Amount, Charge, Price, Unit};
use rust_decimal::Decimal;

/// Tokens in the unit in which we say prices.
pub(crate) const MILLION: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// A row is about the same as another where all but the amount is equal.
pub(crate) fn is_about_the_same(a: &Price, b: &Price) -> bool {
    let about = |p: &Price| (p.above_context, p.batch, p.from.clone(), p.until.clone());
    a.what == b.what && a.per == b.per && about(a) == about(b)
}

/// Adds a row, unless there is one about the same; returns whether another amount stands there.
pub(crate) fn add(prices: &mut Vec<Price>, price: Price) -> bool {
    let known = prices.iter().find(|known| is_about_the_same(known, &price));
    let differs = known.is_some_and(|known| known.amount != price.amount);
    if known.is_none() {
        prices.push(price);
    }
    differs
}

/// Returns the price of a million tokens that holds for every request, where one is said.
pub(crate) fn plain(prices: &[Price], what: &Charge) -> Option<Amount> {
    prices.iter().find(|price| is_plain(price) && price.what == *what).map(|price| price.amount)
}

/// Returns whether a row is a price of tokens that holds always and for every request.
pub(crate) fn is_plain(price: &Price) -> bool {
    price.per == Unit::MillionTokens
        && price.above_context.is_none()
        && !price.batch
        && price.from.is_none()
        && price.until.is_none()
}

/// Names a row, for people.
pub(crate) fn name(price: &Price) -> String {
    let mut name = format!("price `{}` per {}", price.what, price.per);
    if price.above_context.is_some() {
        name.push_str(" above a context");
    }
    if price.batch {
        name.push_str(" in batches");
    }
    if price.from.is_some() || price.until.is_some() {
        name.push_str(" for a time");
    }
    name
}
