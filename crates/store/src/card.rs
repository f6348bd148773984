use crate::{Cursor, Stored};
use callsheet_types::EntryId;
use jiff::Timestamp;

/// Makes rows for lists and search of what is stored of one id. Pure: the same heads give the same
/// row.
pub trait Project: Sync {
    /// Returns whether ids of this kind have rows.
    fn covers(&self, id: &EntryId) -> bool;
    /// Returns the row of an id from all its heads (withdrawn and removed ones too), or `None` where
    /// it is to have none.
    fn row(&self, id: &EntryId, heads: &[Stored]) -> Option<CardRow>;
}

/// One row of a list: what is filtered, sorted and searched by, and the whole card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardRow {
    /// `model` or `canonical`.
    pub kind: String,
    /// `provider:id`, or the canonical id.
    pub key: String,
    /// The provider; empty for `canonical`.
    pub provider: String,
    /// The canonical id in the form in which such ids are compared, where one is known.
    pub canonical: Option<String>,
    /// A name for people.
    pub name: String,
    /// `active`, `deprecated`, `withdrawn`, `removed`, …
    pub status: String,
    /// Tokens.
    pub context_window: Option<u64>,
    /// Tokens.
    pub max_output_tokens: Option<u64>,
    /// Billionths of a dollar for a million prompt tokens; `None` where unknown or dynamic.
    pub prompt_nano_usd: Option<i64>,
    /// Likewise for completion tokens.
    pub completion_nano_usd: Option<i64>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// `in:text`, `out:image`, …
    pub modalities: Vec<String>,
    /// The release date.
    pub released: Option<String>,
    /// Words to be found by, lower-case, separated by spaces.
    pub words: String,
    /// The card as JSON.
    pub body: String,
    /// When a head last moved.
    pub updated_at: Timestamp,
    /// The cursor of the newest change; set by the store.
    pub cursor: Cursor,
}

/// Which rows are wanted. Conditions combine; within one list any value will do for `providers`
/// and `statuses`, and all must be there for `capabilities` and `modalities`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardQuery {
    /// `model` or `canonical`.
    pub kind: String,
    /// Any of these providers; empty for all.
    pub providers: Vec<String>,
    /// All of these capabilities.
    pub capabilities: Vec<String>,
    /// All of these modalities: `in:image`, `out:text`.
    pub modalities: Vec<String>,
    /// At least this window; rows where it is unknown do not match.
    pub min_context: Option<u64>,
    /// At most this prompt price; rows where it is unknown do not match.
    pub max_prompt_nano_usd: Option<i64>,
    /// Any of these; empty for all but `removed`.
    pub statuses: Vec<String>,
    /// Words, each of which must begin a word of the row.
    pub search: Vec<String>,
    /// Changed after this cursor.
    pub updated_since: Option<Cursor>,
    /// The order.
    pub sort: CardSort,
    /// The other way round. Unknown values come last either way.
    pub descending: bool,
    /// At most so many rows.
    pub limit: Option<usize>,
    /// After the row of the page before: [`CardPage::next`].
    pub after: Option<String>,
    /// Leaves `body` empty.
    pub without_bodies: bool,
}

/// By what rows are sorted; the key decides between equals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum CardSort {
    #[default]
    Key,
    Name,
    Context,
    Output,
    PromptPrice,
    CompletionPrice,
    Released,
    Updated,
}

/// Some rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardPage {
    /// The rows.
    pub rows: Vec<CardRow>,
    /// What to ask for the next page with; `None` where this is the last.
    pub next: Option<String>,
    /// How many rows match on all pages.
    pub total: usize,
}
