//! Which models a name means.

pub(crate) mod near;

use crate::projection::search_words;
use callsheet_store::{CardQuery, CardRow, Store, StoreError};
use callsheet_types::{EntryId, Kind, ModelKey};
use std::collections::{BTreeMap, BTreeSet};

/// Finds the models that a name means: what its alias stands for; the one with this
/// `provider:id`; all that are linked to this canonical id; all that some provider knows by this id.
/// The first of these that finds any decides.
pub fn find(
    store: &Store,
    aliases: &BTreeMap<String, String>,
    text: &str,
) -> Result<Vec<CardRow>, StoreError> {
    let name = follow(aliases, text);
    if let Ok(key) = ModelKey::parse(name) {
        let found = store.cards_of(&[EntryId::new(Kind::model(), key.as_str())])?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(choose(store.cards_named(name)?, name))
}

/// Returns what a name stands for when all aliases are followed; a circle is left where it closes.
pub fn follow<'a>(aliases: &'a BTreeMap<String, String>, name: &'a str) -> &'a str {
    let mut seen = BTreeSet::from([name]);
    let mut name = name;
    while let Some(next) = aliases.get(name) {
        if !seen.insert(next) {
            break;
        }
        name = next;
    }
    name
}

/// Of models that go by a name, those linked to it go before those whose provider calls them so.
fn choose(named: Vec<CardRow>, name: &str) -> Vec<CardRow> {
    let is_linked = |row: &CardRow| row.canonical.as_deref() == Some(name);
    if named.iter().any(is_linked) { named.into_iter().filter(is_linked).collect() } else { named }
}

/// Returns up to three keys that somebody may have meant who wrote a name that finds nothing.
pub fn near(store: &Store, text: &str) -> Result<Vec<String>, StoreError> {
    let words: Vec<String> = search_words(text).collect();
    let mut found = search(store, words.clone())?;
    for search_for in looser(&words) {
        if found.len() >= 3 {
            break;
        }
        found.extend(search(store, search_for)?);
    }
    Ok(nearest(text, found))
}

/// A model's word may be misspelt, but seldom at its beginning, and seldom are all of them.
fn looser(words: &[String]) -> impl Iterator<Item = Vec<String>> {
    let beginning = |word: &String| {
        let count = word.chars().count();
        word.chars().take(if count > 4 { count.div_ceil(2) } else { count }).collect()
    };
    let beginnings: Vec<String> = words.iter().map(beginning).collect();
    let is_several = words.len() > 1;
    let without_one = move |i| {
        let mut words: Vec<String> = beginnings.clone();
        if is_several {
            words.remove(i);
        }
        words
    };
    let all_begin: Vec<String> = words.iter().map(beginning).collect();
    std::iter::once(all_begin)
        .chain((0..if is_several { words.len().min(8) } else { 0 }).map(without_one))
}

fn search(store: &Store, words: Vec<String>) -> Result<Vec<CardRow>, StoreError> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let query = CardQuery {
        kind: Kind::model().to_string(),
        search: words,
        limit: Some(200),
        without_bodies: true,
        ..CardQuery::default()
    };
    Ok(store.cards(&query)?.rows)
}

/// Orders rows by how nearly they are written as a text: as a whole, or without provider, or the
/// last part of the id.
fn nearest(text: &str, rows: Vec<CardRow>) -> Vec<String> {
    let text = text.to_lowercase();
    let distance = |key: &str| {
        let key = key.to_lowercase();
        let id = key.split_once(':').map_or(key.as_str(), |(_, id)| id);
        let last = id.rsplit('/').next().unwrap_or(id);
        [key.as_str(), id, last].into_iter().map(|name| near::distance(&text, name)).min()
    };
    let mut keys: Vec<_> = rows.into_iter().map(|row| (distance(&row.key), row.key)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().take(3).map(|(_, key)| key).collect()
}
