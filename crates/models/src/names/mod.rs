//! Which models a name means.

mod link;
pub(crate) mod near;

pub use link::link;

use crate::projection::search_words;
use callsheet_store::{CardQuery, CardRow, Store, StoreError};
use callsheet_types::{EntryId, Kind, ModelKey};
use std::collections::{BTreeMap, BTreeSet};

/// Finds the models that a name means: what its alias stands for; the one with this
/// `provider:id`; otherwise all that are linked to this canonical id and all that some provider
/// knows by this id.
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
    let mut named = store.cards_named(name)?;
    let linked = link(name);
    if linked != name {
        let found = store.cards_named(&linked)?.into_iter();
        named.extend(found.filter(|row| row.canonical.as_deref() == Some(&*linked)));
    }
    named.retain(|row| row.kind == Kind::model().as_str());
    named.sort_by(|a, b| a.key.cmp(&b.key));
    named.dedup_by(|a, b| a.key == b.key);
    Ok(choose(named))
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

/// One that somebody removed is meant only where no other is.
fn choose(mut named: Vec<CardRow>) -> Vec<CardRow> {
    if named.iter().any(|row| row.status != "removed") {
        named.retain(|row| row.status != "removed");
    }
    named
}

/// How many models are looked at for each attempt to find what was meant.
const MOST_CANDIDATES: usize = 300;

/// Returns up to three keys that somebody may have meant who wrote a name that finds nothing, the
/// nearest first; none for a text that is too long for a name.
pub fn near(store: &Store, text: &str) -> Result<Vec<String>, StoreError> {
    if text.len() > near::LONGEST {
        return Ok(Vec::new());
    }
    let words: Vec<String> = search_words(text).collect();
    let found = search(store, words.clone())?;
    let mut near: BTreeSet<(usize, String)> =
        found.into_iter().map(|row| (distance(text, &row.key), row.key)).collect();
    // Some words may be misspelt, but seldom at their beginning, and seldom are all of them.
    let beginnings: Vec<String> = words.iter().map(|word| beginning(word)).collect();
    for search_for in std::iter::once(beginnings.clone()).chain(each_left_out(&beginnings)) {
        if near.len() >= 3 {
            break;
        }
        let found = search(store, search_for)?.into_iter();
        let at_most = (text.chars().count() / 3).max(1);
        let measured = found.map(|row| (distance(text, &row.key), row.key));
        near.extend(measured.filter(|(distance, _)| *distance <= at_most));
    }
    Ok(near.into_iter().take(3).map(|(_, key)| key).collect())
}

fn beginning(word: &str) -> String {
    let count = word.chars().count();
    word.chars().take(if count > 3 { count.div_ceil(2) } else { count }).collect()
}

fn each_left_out(words: &[String]) -> impl Iterator<Item = Vec<String>> {
    // A name of one word has no other to be found by, and one of many is found by fewer attempts.
    let count = if words.len() > 1 { words.len().min(6) } else { 0 };
    (0..count).map(|i| [&words[..i], &words[i + 1..]].concat())
}

fn search(store: &Store, words: Vec<String>) -> Result<Vec<CardRow>, StoreError> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let query = CardQuery {
        kind: Kind::model().to_string(),
        search: words,
        limit: Some(MOST_CANDIDATES),
        without_bodies: true,
        ..CardQuery::default()
    };
    Ok(store.cards(&query)?.rows)
}

/// Returns how far a text is from a key, from its id, from the last part of this, or from the words
/// of the key that are nearest to its own: the least of these.
fn distance(text: &str, key: &str) -> usize {
    let (text, key) = (text.to_lowercase(), key.to_lowercase());
    let id = key.split_once(':').map_or(key.as_str(), |(_, id)| id);
    let last = id.rsplit('/').next().unwrap_or(id);
    let of_key: Vec<String> = search_words(&key).collect();
    let to_nearest = |word: String| {
        of_key.iter().map(|other| near::distance(&word, other)).min().unwrap_or(word.len())
    };
    let by_words = search_words(&text).map(to_nearest).sum();
    let whole = [key.as_str(), id, last].map(|name| near::distance(&text, name));
    whole.into_iter().fold(by_words, usize::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_followed_and_go_in_no_circle() {
        let aliases = [("fast", "small"), ("small", "p:m"), ("x", "y"), ("y", "x"), ("z", "z")];
        let aliases = aliases.map(|(from, to)| (from.to_owned(), to.to_owned())).into();
        for (name, target) in
            [("fast", "p:m"), ("small", "p:m"), ("p:m", "p:m"), ("x", "y"), ("z", "z")]
        {
            assert_eq!(follow(&aliases, name), target, "{name}");
        }
    }

    #[test]
    fn a_text_is_near_what_it_is_nearly() {
        for (text, key, count) in [
            ("openai:gpt4o", "openai:gpt-4o", 1),
            ("gpt4o", "openai:gpt-4o", 1),
            ("sonet", "anthropic:claude-sonnet-4.5", 1),
            ("Claude Sonnet", "anthropic:claude-sonnet-4.5", 0),
            ("qwen3-8b", "openrouter:qwen/qwen3-8B:free", 0),
            ("abc", "x:y", 3),
        ] {
            assert_eq!(distance(text, key), count, "{text} {key}");
        }
    }
}
