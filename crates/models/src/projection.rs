use crate::{
    Amount, Charge, Facts, Price, Unit,
    merge::{Card, card},
    names::link,
};
use callsheet_store::{CardRow, Project, Stored};
use callsheet_types::{EntryId, Kind, plan::Status};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use std::collections::BTreeSet;

/// Makes the rows by which models are listed and found, of kind `model` and `canonical`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cards;

impl Project for Cards {
    fn covers(&self, id: &EntryId) -> bool {
        id.kind == Kind::model() || id.kind == Kind::canonical()
    }

    /// An id of which nobody says anything any more has no row.
    fn row(&self, id: &EntryId, heads: &[Stored]) -> Option<CardRow> {
        if heads.iter().all(|head| head.status == Status::Removed) {
            return None;
        }
        let card = card(id, heads);
        // A card is plain data with text keys, which always serializes.
        let body = serde_json::to_string(&card).ok()?;
        let Card { key, provider, id: model, facts, status, updated_at, .. } = card;
        // What is of no one provider is linked to itself.
        let canonical =
            if id.kind == Kind::canonical() { Some(&key) } else { facts.canonical.as_ref() };
        let canonical = canonical.map(|canonical| link(canonical));
        let known_as = if model.is_empty() { &key } else { &model };
        Some(CardRow {
            kind: id.kind.to_string(),
            name: facts.name.clone().unwrap_or_else(|| known_as.clone()),
            words: words([
                Some(&key),
                facts.name.as_ref(),
                facts.family.as_ref(),
                facts.canonical.as_ref(),
            ]),
            key,
            provider,
            status,
            context_window: facts.context_window,
            max_output_tokens: facts.max_output_tokens,
            prompt_nano_usd: plain_nano_usd(&facts, &Charge::Prompt),
            completion_nano_usd: plain_nano_usd(&facts, &Charge::Completion),
            modalities: modalities(&facts),
            released: facts.released.map(String::from),
            canonical,
            capabilities: facts.capabilities.into_iter().collect(),
            body,
            updated_at,
            cursor: 0,
        })
    }
}

/// Returns the price of a million tokens of any request: in no tier, not in a batch, and not for
/// some days only, since whether these are now depends on a clock.
pub(crate) fn plain_price<'a>(facts: &'a Facts, what: &Charge) -> Option<&'a Price> {
    let is_plain = |row: &&Price| {
        row.what == *what
            && row.per == Unit::MillionTokens
            && row.above_context.is_none()
            && !row.batch
            && row.from.is_none()
            && row.until.is_none()
    };
    facts.prices.iter().flatten().find(is_plain)
}

fn plain_nano_usd(facts: &Facts, what: &Charge) -> Option<i64> {
    let Amount::Usd(amount) = plain_price(facts, what)?.amount else { return None };
    amount.checked_mul(Decimal::from(1_000_000_000))?.round().to_i64()
}

/// Returns what goes in and what comes out, and each without its side too: whoever asks for images
/// may not care on which.
fn modalities(facts: &Facts) -> Vec<String> {
    let side = |side: &'static str, words: &Option<BTreeSet<String>>| {
        words.clone().into_iter().flatten().map(move |word| format!("{side}:{word}"))
    };
    let either =
        [&facts.input_modalities, &facts.output_modalities].into_iter().flatten().flatten();
    let either: BTreeSet<String> = either.cloned().collect();
    let sides = side("in", &facts.input_modalities).chain(side("out", &facts.output_modalities));
    sides.chain(either).collect()
}

/// Returns the words of some texts in lower case, each once.
fn words(texts: [Option<&String>; 4]) -> String {
    let mut seen = BTreeSet::new();
    let mut words = String::new();
    for text in texts.into_iter().flatten() {
        for word in search_words(text) {
            if seen.insert(word.clone()) {
                words.push_str(if words.is_empty() { "" } else { " " });
                words.push_str(&word);
            }
        }
    }
    words
}

/// Returns the words of a text as rows are found by them: letters and digits, in lower case.
pub fn search_words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}
