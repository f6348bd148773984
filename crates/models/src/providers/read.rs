//! Reads answers whose fields may be missing, null, or of another type than was promised.

use super::ListError;
use crate::{Amount, Facts, PartialDate};
use callsheet_types::{ModelKey, Problem};
use rust_decimal::Decimal;
use serde_json::{Map, Number, Value};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, btree_map},
};

/// The models of one answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    /// What is said of each.
    pub(super) models: BTreeMap<String, Facts>,
    /// Models that are there and could not be read.
    pub(super) unread: BTreeSet<String>,
    /// What could not be used.
    pub(super) problems: Vec<Problem>,
    /// What to ask for the next page with.
    pub(super) next: Option<String>,
}

impl Page {
    /// Adds a model. Of two with one id the first counts, and no id may be one that no key can
    /// hold.
    pub(super) fn add(&mut self, id: &str, facts: Facts) {
        if ModelKey::new("x", id).is_err() {
            self.note(id, "is no usable id");
            return;
        }
        match self.models.entry(id.to_owned()) {
            btree_map::Entry::Vacant(place) => {
                place.insert(facts);
            }
            btree_map::Entry::Occupied(place) if *place.get() != facts => {
                self.note(id, "stands there twice with different content; the first counts");
            }
            btree_map::Entry::Occupied(_) => {}
        }
    }

    /// Adds a model and what is wrong with some of its fields.
    pub(super) fn add_read(&mut self, id: &str, facts: Facts, problems: Vec<String>) {
        for message in problems {
            self.note(id, message);
        }
        self.add(id, facts);
    }

    /// Notes a model that is there and could not be read.
    pub(super) fn add_unread(&mut self, id: &str, message: impl Into<String>) {
        self.note(id, message);
        if ModelKey::new("x", id).is_ok() {
            self.unread.insert(id.to_owned());
        }
    }

    pub(super) fn note(&mut self, place: &str, message: impl Into<String>) {
        self.problems.push(Problem { place: shortened(place), message: message.into() });
    }

    /// Returns whether there is nothing in it, not even something unusable.
    pub(super) fn is_empty(&self) -> bool {
        self.models.is_empty() && self.unread.is_empty()
    }
}

/// A place in a problem is shown to people; nobody reads megabytes.
fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(200).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Reads a body as JSON that is no error.
pub(super) fn json(body: &[u8]) -> Result<Value, ListError> {
    let value: Value = serde_json::from_slice(body).map_err(ListError::NotJson)?;
    match value.get("error") {
        None | Some(Value::Null) => Ok(value),
        // Some answer 200 and mean it otherwise.
        Some(error) => Err(ListError::Error(said(error))),
    }
}

fn said(error: &Value) -> String {
    let message = error.get("message").unwrap_or(error);
    let text = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
    shortened(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Returns the list under a name.
pub(super) fn items<'a>(root: &'a Value, name: &'static str) -> Result<&'a [Value], ListError> {
    let list = root.get(name).and_then(Value::as_array);
    list.map(Vec::as_slice).ok_or(ListError::NoList { expected: name })
}

/// Reads each item of a list that is an object with an id; others are problems of the page.
pub(super) fn each(
    page: &mut Page,
    items: &[Value],
    id_field: &str,
    mut read: impl FnMut(&str, &Reader<'_>) -> Option<(String, Facts)>,
) {
    for (index, item) in items.iter().enumerate() {
        let id = item.get(id_field).and_then(Value::as_str).map(str::trim);
        let (Some(fields), Some(id)) = (item.as_object(), id.filter(|id| !id.is_empty())) else {
            page.note(&format!("model {}", index + 1), format!("has no `{id_field}`"));
            continue;
        };
        let problems = RefCell::new(Vec::new());
        let read = read(id, &Reader::new(fields, &problems));
        let problems = problems.into_inner();
        if let Some((id, facts)) = read {
            page.add_read(&id, facts, problems);
        }
    }
}

/// An object's fields. Asking for one that is missing or null gives nothing, and one of a type that
/// was not expected gives nothing and a problem.
pub(super) struct Reader<'a> {
    fields: &'a Map<String, Value>,
    path: String,
    problems: &'a RefCell<Vec<String>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(fields: &'a Map<String, Value>, problems: &'a RefCell<Vec<String>>) -> Self {
        Self { fields, path: String::new(), problems }
    }

    /// Returns a field as it stands, unless it is null.
    pub(super) fn raw(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Returns all fields.
    pub(super) fn fields(&self) -> &'a Map<String, Value> {
        self.fields
    }

    pub(super) fn wrong(&self, name: &str, expected: &str) {
        let found =
            self.fields.get(name).map_or(String::new(), |value| shortened(&value.to_string()));
        let message = format!("`{}{name}` is {found}; expected {expected}", self.path);
        self.problems.borrow_mut().push(message);
    }

    /// Returns a text that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let Value::String(text) = self.raw(name)? else {
            self.wrong(name, "a text");
            return None;
        };
        Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// Returns a count; 0 says that it is unknown.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        let Some(count) = whole(self.raw(name)?) else {
            self.wrong(name, "a whole number");
            return None;
        };
        Some(count).filter(|count| *count > 0)
    }

    /// Returns a yes or no.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        let value = self.raw(name)?;
        if !value.is_boolean() {
            self.wrong(name, "true or false");
        }
        value.as_bool()
    }

    /// Returns whether this is said: the field is true.
    pub(super) fn is(&self, name: &str) -> bool {
        self.flag(name) == Some(true)
    }

    /// Returns a list of texts.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        let value = self.raw(name)?;
        let Some(items) = value.as_array() else {
            self.wrong(name, "a list of texts");
            return None;
        };
        let texts: Vec<_> = items.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        if texts.len() < items.len() {
            self.wrong(name, "nothing but texts in the list");
        }
        Some(texts)
    }

    /// Returns the objects of a list.
    pub(super) fn objects(&self, name: &str) -> Vec<Reader<'a>> {
        let items = self.raw(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let objects = items.iter().enumerate().filter_map(|(i, item)| Some((i, item.as_object()?)));
        let inside = |(i, fields)| Reader {
            fields,
            path: format!("{}{name}.{i}.", self.path),
            problems: self.problems,
        };
        objects.map(inside).collect()
    }

    /// Returns the object in a field.
    pub(super) fn inside(&self, name: &str) -> Option<Reader<'a>> {
        let Value::Object(fields) = self.raw(name)? else {
            self.wrong(name, "an object");
            return None;
        };
        Some(Reader { fields, path: format!("{}{name}.", self.path), problems: self.problems })
    }

    /// Returns a day: of a date, of a moment, or of seconds since 1970. The first day of 1970 is
    /// what machines write for a day that they do not know.
    pub(super) fn date(&self, name: &str) -> Option<PartialDate> {
        let date = match self.raw(name)? {
            Value::String(text) if text.trim().is_empty() => return None,
            Value::String(text) => date(text.trim()),
            Value::Number(number) => seconds(number),
            _ => None,
        };
        if date.is_none() {
            self.wrong(name, "a date");
        }
        date.filter(|date| date.as_str() != "1970-01-01")
    }

    /// Returns an amount in dollars for a million, from one for a single unit; −1 says that it
    /// depends.
    pub(super) fn amount_per_unit(&self, name: &str) -> Option<Amount> {
        self.amount_times(name, Decimal::from(1_000_000))
    }

    /// Returns an amount in dollars as it stands; −1 says that it depends.
    pub(super) fn amount(&self, name: &str) -> Option<Amount> {
        self.amount_times(name, Decimal::ONE)
    }

    fn amount_times(&self, name: &str, factor: Decimal) -> Option<Amount> {
        let text = match self.raw(name)? {
            Value::String(text) if text.trim().is_empty() => return None,
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => {
                self.wrong(name, "an amount");
                return None;
            }
        };
        let amount = decimal(&text).and_then(|amount| {
            if amount == Decimal::NEGATIVE_ONE {
                return Some(Amount::Dynamic);
            }
            let amount = amount.checked_mul(factor).filter(|amount| *amount >= Decimal::ZERO)?;
            Some(Amount::Usd(amount.normalize()))
        });
        if amount.is_none() {
            self.wrong(name, "an amount");
        }
        amount
    }

    /// Keeps fields that have no place of their own.
    pub(super) fn keep(&self, facts: &mut Facts, names: &[&str]) {
        for name in names {
            if let Some(value) = self.raw(name).filter(|value| !is_blank(value)) {
                facts.extra.insert((*name).to_owned(), value.clone());
            }
        }
    }
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn decimal(text: &str) -> Option<Decimal> {
    // Numbers come as they were written: `5e-8` too.
    Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).ok()
}

/// Returns a whole number from 0 up, also where it is written `4096.0` or `"4096"`.
pub(super) fn whole(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) => decimal(&number.to_string())?,
        Value::String(text) => decimal(text.trim())?,
        _ => return None,
    };
    if number.fract().is_zero() { u64::try_from(number).ok() } else { None }
}

fn date(text: &str) -> Option<PartialDate> {
    PartialDate::new(text).ok().or_else(|| {
        // Of a moment the day is taken as it is written there.
        let (day, rest) = text.split_at_checked(10)?;
        if rest.starts_with(['T', ' ']) { PartialDate::new(day).ok() } else { None }
    })
}

fn seconds(number: &Number) -> Option<PartialDate> {
    let seconds = i64::try_from(whole(&Value::Number(number.clone()))?).ok()?;
    jiff::Timestamp::from_second(seconds).ok().map(PartialDate::of)
}

/// Returns the words as a set, in lower case.
pub(super) fn set(words: impl IntoIterator<Item = impl AsRef<str>>) -> BTreeSet<String> {
    words.into_iter().map(|word| word.as_ref().to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with<T>(value: &Value, read: impl FnOnce(&Reader<'_>) -> T) -> (T, Vec<String>) {
        let problems = RefCell::new(Vec::new());
        let result = read(&Reader::new(value.as_object().unwrap(), &problems));
        (result, problems.into_inner())
    }

    #[test]
    fn counts_are_whole_and_nothing_is_unknown() {
        for (value, count, is_wrong) in [
            (json!(4096), Some(4096), false),
            (json!(4096.0), Some(4096), false),
            (json!("4096"), Some(4096), false),
            (json!(0), None, false),
            (json!(null), None, false),
            (json!(-1), None, true),
            (json!(1.5), None, true),
            (json!(1e30), None, true),
            (json!("many"), None, true),
            (json!([1]), None, true),
        ] {
            let (found, problems) = with(&json!({"n": value}), |reader| reader.count("n"));
            assert_eq!((found, problems.len()), (count, usize::from(is_wrong)), "{value}");
        }
    }

    #[test]
    fn amounts_are_exact() {
        for (value, amount) in [
            (json!("0.000003"), Some("3")),
            (json!("0.00000005"), Some("0.05")),
            (json!("5e-8"), Some("0.05")),
            (json!(2.55e-6), Some("2.55")),
            (json!("0"), Some("0")),
            (json!("-1"), Some("dynamic")),
            (json!(-1), Some("dynamic")),
            (json!("-0.5"), None),
            (json!("free"), None),
            (json!("1e30"), None),
            (json!({}), None),
        ] {
            let (found, problems) =
                with(&json!({"p": value}), |reader| reader.amount_per_unit("p"));
            assert_eq!(found.map(|a| a.to_string()).as_deref(), amount, "{value}");
            assert_eq!(problems.len(), usize::from(amount.is_none()), "{value}");
        }
        let (found, problems) = with(&json!({"p": "", "q": null}), |reader| {
            (reader.amount("p"), reader.amount("q"), reader.amount("r"))
        });
        assert_eq!((found, problems.len()), ((None, None, None), 0));
    }

    #[test]
    fn dates_come_in_three_ways() {
        for (value, date) in [
            (json!("2026-05-15"), Some("2026-05-15")),
            (json!("2026-05"), Some("2026-05")),
            (json!("2023-12-07T09:32:18-08:00"), Some("2023-12-07")),
            (json!(1_715_367_049), Some("2024-05-10")),
            (json!(0), None),
            (json!("1970-01-01T00:00:00Z"), None),
            (json!("soon"), None),
            (json!(-5), None),
            (json!("äääääääääääää"), None),
        ] {
            let (found, _) = with(&json!({"d": value}), |reader| reader.date("d"));
            assert_eq!(found.as_ref().map(PartialDate::as_str), date, "{value}");
        }
    }
}
