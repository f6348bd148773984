//! Values of one TOML statement.

use super::statements::Key;
use std::{borrow::Cow, collections::HashMap};
use toml_parser::{Span, decoder::ScalarKind};

/// A value. Texts without escapes are borrowed from the document.
#[derive(Debug)]
pub(super) enum Value<'i> {
    Text(Cow<'i, str>),
    /// A number, a truth value or a moment, as it is written.
    Other(Cow<'i, str>, ScalarKind),
    Array(Vec<Value<'i>>),
    Table(Table<'i>),
}

impl Value<'_> {
    /// Returns what it is, for people.
    pub(super) fn description(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Other(_, ScalarKind::Boolean(_)) => "a truth value",
            Self::Other(_, ScalarKind::DateTime) => "a moment",
            Self::Other(..) => "a number",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// A table within braces.
#[derive(Debug, Default)]
pub(super) struct Table<'i> {
    pub(super) entries: Vec<(Cow<'i, str>, Value<'i>)>,
    /// Where each key stands, once there are many.
    places: HashMap<Cow<'i, str>, usize>,
    /// Whether dotted keys made it; only they may add to it.
    is_dotted: bool,
}

/// With fewer keys, looking through all of them is quicker.
const FEW: usize = 16;

impl<'i> Table<'i> {
    /// Adds a value below a dotted key; fails with the part of the key that is taken.
    pub(super) fn insert(&mut self, path: Vec<Key<'i>>, value: Value<'i>) -> Result<(), Span> {
        let mut table = self;
        let mut path = path.into_iter();
        let Some(mut key) = path.next() else { return Ok(()) };
        for next in path {
            let at = table.find(&key.text).unwrap_or_else(|| {
                let made = Table { is_dotted: true, ..Table::default() };
                table.push(key.text, Value::Table(made))
            });
            match &mut table.entries[at].1 {
                Value::Table(inner) if inner.is_dotted => table = inner,
                _ => return Err(key.span),
            }
            key = next;
        }
        if table.find(&key.text).is_some() {
            return Err(key.span);
        }
        table.push(key.text, value);
        Ok(())
    }

    fn find(&self, key: &str) -> Option<usize> {
        if self.places.is_empty() {
            return self.entries.iter().position(|(known, _)| known == key);
        }
        self.places.get(key).copied()
    }

    fn push(&mut self, key: Cow<'i, str>, value: Value<'i>) -> usize {
        let at = self.entries.len();
        if at == FEW {
            self.places =
                self.entries.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect();
        }
        if at >= FEW {
            self.places.insert(key.clone(), at);
        }
        self.entries.push((key, value));
        at
    }
}
