//! One table of a catalog, read key by key: what is of the wrong kind or left over is a problem.

use super::{decimal, json::sort_of};
use crate::{Amount, PartialDate};
use callsheet_types::Problem;
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The keys of one table, each of which is taken once.
pub(crate) struct Fields<'a> {
    left: Map<String, Value>,
    place: String,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Fields<'a> {
    /// Begins to read a table; `place` is said with every problem.
    pub(crate) fn new(
        table: Map<String, Value>,
        place: impl Into<String>,
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        Self { left: table, place: place.into(), problems }
    }

    /// Notes a problem of this table.
    pub(crate) fn problem(&mut self, message: impl Into<String>) {
        self.problems.push(Problem { place: self.place.clone(), message: message.into() });
    }

    /// Takes a value; null is none.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.left.remove(key).filter(|value| !value.is_null())
    }

    fn wrong(&mut self, key: &str, expected: &str, found: &Value) {
        self.problem(format!("`{key}` is {}, expected {expected}", sort_of(found)));
    }

    /// Takes a text; an empty one says nothing.
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text).filter(|text| !text.trim().is_empty()),
            other => {
                self.wrong(key, "a text", &other);
                None
            }
        }
    }

    /// Takes true or false.
    pub(crate) fn flag(&mut self, key: &str) -> Option<bool> {
        match self.take(key)? {
            Value::Bool(flag) => Some(flag),
            other => {
                self.wrong(key, "true or false", &other);
                None
            }
        }
    }

    /// Takes a whole number from 1 up. 0 stands for what somebody did not know, and is told.
    pub(crate) fn count(&mut self, key: &str) -> Option<u64> {
        let value = self.take(key)?;
        match whole(&value) {
            Some(0) => {
                self.problem(format!("`{key}` is 0: taken as unknown"));
                None
            }
            Some(count) => Some(count),
            None if value.is_number() => {
                self.problem(format!("`{key}` is no whole number from 0 up"));
                None
            }
            None => {
                self.wrong(key, "a whole number", &value);
                None
            }
        }
    }

    /// Takes a date.
    pub(crate) fn date(&mut self, key: &str) -> Option<PartialDate> {
        let text = self.text(key)?;
        let date = PartialDate::new(&text).ok();
        if date.is_none() {
            self.problem(format!("`{key}` is no date: expected YYYY-MM-DD, YYYY-MM or YYYY"));
        }
        date
    }

    /// Takes US dollars and multiplies them, to get from the source's unit to ours.
    pub(crate) fn amount(&mut self, key: &str, times: Decimal) -> Option<Amount> {
        let value = self.take(key)?;
        let number = match &value {
            Value::Number(number) => decimal::of_number(number),
            Value::String(text) => decimal::parse(text.trim()),
            other => {
                self.wrong(key, "a number", other);
                return None;
            }
        };
        let amount = number.and_then(|number| number.checked_mul(times)).map(|n| n.normalize());
        match amount {
            Some(amount) if amount.is_sign_negative() && !amount.is_zero() => {
                self.problem(format!("`{key}` is less than 0: taken as unknown"));
                None
            }
            Some(amount) => Some(Amount::Usd(amount)),
            None => {
                self.problem(format!("`{key}` is no amount"));
                None
            }
        }
    }

    /// Takes a list of words.
    pub(crate) fn words(&mut self, key: &str) -> Option<BTreeSet<String>> {
        let list = self.list(key)?;
        let mut words = BTreeSet::new();
        for value in list {
            match value {
                Value::String(word) => {
                    words.insert(word);
                }
                other => self.wrong(&format!("{key}[]"), "a text", &other),
            }
        }
        Some(words)
    }

    /// Takes a list.
    pub(crate) fn list(&mut self, key: &str) -> Option<Vec<Value>> {
        match self.take(key)? {
            Value::Array(list) => Some(list),
            other => {
                self.wrong(key, "a list", &other);
                None
            }
        }
    }

    /// Takes a table.
    pub(crate) fn table(&mut self, key: &str) -> Option<Map<String, Value>> {
        match self.take(key)? {
            Value::Object(table) => Some(table),
            other => {
                self.wrong(key, "a table", &other);
                None
            }
        }
    }

    /// Takes a table inside this one, to be read key by key; its place is this one's and its name.
    pub(crate) fn nested(&mut self, key: &str) -> Option<Fields<'_>> {
        let table = self.table(key)?;
        let place = format!("{} [{key}]", self.place);
        Some(Fields { left: table, place, problems: self.problems })
    }

    /// Reads a table that was taken from this one.
    pub(crate) fn inside(&mut self, table: Map<String, Value>, name: &str) -> Fields<'_> {
        let place = format!("{} [{name}]", self.place);
        Fields { left: table, place, problems: self.problems }
    }

    /// Moves keys, as they are, to where what has no field is kept.
    pub(crate) fn keep(&mut self, keys: &[&str], extra: &mut Map<String, Value>) {
        for key in keys {
            if let Some(value) = self.take(key) {
                extra.insert((*key).to_owned(), value);
            }
        }
    }

    /// Passes over keys that say nothing about a model.
    pub(crate) fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.left.remove(*key);
        }
    }

    /// Returns the keys that are left.
    pub(crate) fn left(&self) -> Vec<String> {
        self.left.keys().cloned().collect()
    }

    /// Returns what is left, untouched.
    pub(crate) fn into_left(self) -> Map<String, Value> {
        self.left
    }

    /// Ends the table: every key that nobody took is told.
    pub(crate) fn finish(mut self) {
        for key in self.left() {
            self.problem(format!("unknown key `{key}`"));
        }
    }
}

/// Returns a whole number from 0 up, `128000` and `128000.0` alike.
pub(crate) fn whole(value: &Value) -> Option<u64> {
    let number = value.as_number()?;
    number.as_u64().or_else(|| decimal::of_number(number)?.normalize().to_string().parse().ok())
}
