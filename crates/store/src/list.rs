//! Lists: filtered, searched, sorted, and page by page.

use crate::{
    CardPage, CardQuery, CardRow, CardSort, StoreError,
    db::{Connection, Dialect, Type, Value},
    heads,
    rows::{self, COLUMNS, as_item, as_words},
    write::without_nul,
};
use callsheet_types::EntryId;
use serde::{Deserialize, Serialize};

/// A value that a statement owns.
#[derive(Clone, Debug)]
enum Owned {
    Int(i64),
    Text(String),
}

impl Owned {
    fn as_value(&self) -> Value<'_> {
        match self {
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(text),
        }
    }
}

/// Where a page ended: the order, and the value and key of its last row.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    order: String,
    value: Option<MarkValue>,
    key: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum MarkValue {
    Int(i64),
    Text(String),
}

impl Mark {
    /// A mark is opaque, and goes into the query of an address as it is.
    fn write(&self) -> Result<String, StoreError> {
        let json = serde_json::to_vec(self)?;
        let mut text = String::with_capacity(json.len() * 2);
        for byte in json {
            text.push_str(&format!("{byte:02x}"));
        }
        Ok(text)
    }

    fn read(text: &str, query: &CardQuery) -> Result<Self, StoreError> {
        let wrong = || StoreError::BadPage { mark: text.to_owned() };
        let digits: Option<Vec<_>> = text.chars().map(|c| c.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() % 2 == 0).ok_or_else(wrong)?;
        let json: Vec<_> = digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect();
        let mark: Self = serde_json::from_slice(&json).map_err(|_| wrong())?;
        let is_number = column(query.sort).is_number;
        let fits = match &mark.value {
            None => true,
            Some(MarkValue::Int(_)) => is_number,
            Some(MarkValue::Text(_)) => !is_number,
        };
        if fits && mark.order == order(query) { Ok(mark) } else { Err(wrong()) }
    }

    fn of(row: &CardRow, query: &CardQuery) -> Self {
        let number = |number: Option<u64>| number.map(|n| MarkValue::Int(n.cast_signed()));
        let value = match query.sort {
            CardSort::Key => None,
            CardSort::Name => Some(MarkValue::Text(row.name.clone())),
            CardSort::Context => number(row.context_window),
            CardSort::Output => number(row.max_output_tokens),
            CardSort::PromptPrice => row.prompt_nano_usd.map(MarkValue::Int),
            CardSort::CompletionPrice => row.completion_nano_usd.map(MarkValue::Int),
            CardSort::Released => row.released.clone().map(MarkValue::Text),
            CardSort::Updated => Some(MarkValue::Int(heads::to_microseconds(row.updated_at))),
        };
        Self { order: order(query), value, key: row.key.clone() }
    }
}

fn order(query: &CardQuery) -> String {
    format!("{}{:?}", if query.descending { "-" } else { "" }, query.sort)
}

/// What rows are sorted by.
struct SortColumn {
    name: &'static str,
    is_number: bool,
    may_be_unknown: bool,
}

fn column(sort: CardSort) -> SortColumn {
    let (name, is_number, may_be_unknown) = match sort {
        CardSort::Key => ("c.key", false, false),
        CardSort::Name => ("c.name", false, false),
        CardSort::Context => ("c.context_window", true, true),
        CardSort::Output => ("c.max_output_tokens", true, true),
        CardSort::PromptPrice => ("c.prompt_nano_usd", true, true),
        CardSort::CompletionPrice => ("c.completion_nano_usd", true, true),
        CardSort::Released => ("c.released", false, true),
        CardSort::Updated => ("c.updated_at", true, false),
    };
    SortColumn { name, is_number, may_be_unknown }
}

/// A statement as it grows.
struct Statement {
    dialect: Dialect,
    from: &'static str,
    conditions: Vec<String>,
    values: Vec<Owned>,
}

impl Statement {
    fn new(dialect: Dialect) -> Self {
        Self { dialect, from: "cards c", conditions: Vec::new(), values: Vec::new() }
    }

    fn value(&mut self, value: Owned) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn text(&mut self, text: &str) -> String {
        self.value(Owned::Text(without_nul(text).into_owned()))
    }

    fn any_of(&mut self, column: &str, texts: &[String]) {
        let marks: Vec<_> = texts.iter().map(|text| self.text(text)).collect();
        self.conditions.push(format!("{column} IN ({})", marks.join(", ")));
    }

    fn holds(&mut self, column: &str, item: &str) {
        let mark = self.text(&format!("\n{}\n", as_item(item)));
        let find = match self.dialect {
            Dialect::Sqlite => "instr",
            Dialect::Postgres => "strpos",
        };
        self.conditions.push(format!("{find}({column}, {mark}) > 0"));
    }

    fn search(&mut self, words: &[String]) {
        let quoted = |word: &String, quote: char| {
            let doubled = format!("{quote}{quote}");
            format!("{quote}{}{quote}", word.replace(quote, &doubled))
        };
        match self.dialect {
            Dialect::Sqlite => {
                let words: Vec<_> = words.iter().map(|w| quoted(w, '"') + "*").collect();
                let mark = self.text(&words.join(" "));
                // Few rows have the words, so they come first; the planner cannot know.
                self.from = "card_words w CROSS JOIN cards c ON c.id = w.rowid";
                self.conditions.push(format!("w.card_words MATCH {mark}"));
            }
            Dialect::Postgres => {
                let escape = |word: &String| word.replace('\\', "\\\\");
                let words: Vec<_> =
                    words.iter().map(|word| quoted(&escape(word), '\'') + ":*").collect();
                let mark = self.text(&words.join(" & "));
                self.conditions.push(format!("c.tokens @@ {mark}::text::tsquery"));
            }
        }
    }

    fn conditions(&self) -> String {
        self.conditions.join(" AND ")
    }

    /// Goes on after a mark, in the order of [`order_by`].
    fn after(&mut self, mark: &Mark, query: &CardQuery) {
        let column = column(query.sort);
        let further = if query.descending { '<' } else { '>' };
        let key = self.text(&mark.key);
        let condition = match (&mark.value, query.sort) {
            (_, CardSort::Key) => format!("c.key {further} {key}"),
            (None, _) => format!("{} IS NULL AND c.key > {key}", column.name),
            (Some(value), _) => {
                let value = match value {
                    MarkValue::Int(number) => self.value(Owned::Int(*number)),
                    MarkValue::Text(text) => self.text(text),
                };
                let name = column.name;
                let unknown = if column.may_be_unknown {
                    format!(" OR {name} IS NULL")
                } else {
                    String::new()
                };
                format!(
                    "({name} {further} {value} OR ({name} = {value} AND c.key > {key}){unknown})"
                )
            }
        };
        self.conditions.push(condition);
    }
}

/// The key decides between equals, and unknown values come last whichever way it goes.
fn order_by(query: &CardQuery) -> String {
    let column = column(query.sort);
    let direction = if query.descending { "DESC" } else { "ASC" };
    match query.sort {
        CardSort::Key => format!("c.key {direction}"),
        _ if column.may_be_unknown => {
            format!("{0} IS NULL, {0} {direction}, c.key", column.name)
        }
        _ => format!("{} {direction}, c.key", column.name),
    }
}

fn filtered(query: &CardQuery, dialect: Dialect) -> Statement {
    let mut statement = Statement::new(dialect);
    let words = as_words(&query.search.join(" "));
    if !words.is_empty() {
        statement.search(&words);
    }
    let kind = statement.text(&query.kind);
    statement.conditions.push(format!("c.kind = {kind}"));
    if !query.providers.is_empty() {
        statement.any_of("c.provider", &query.providers);
    }
    for item in &query.capabilities {
        statement.holds("c.capabilities", item);
    }
    for item in &query.modalities {
        statement.holds("c.modalities", item);
    }
    let at_least = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    if let Some(context) = query.min_context {
        let mark = statement.value(Owned::Int(at_least(context)));
        statement.conditions.push(format!("c.context_window >= {mark}"));
    }
    if let Some(price) = query.max_prompt_nano_usd {
        let mark = statement.value(Owned::Int(price));
        statement.conditions.push(format!("c.prompt_nano_usd <= {mark}"));
    }
    if query.statuses.is_empty() {
        statement.conditions.push("c.status <> 'removed'".to_owned());
    } else {
        statement.any_of("c.status", &query.statuses);
    }
    if let Some(cursor) = query.updated_since {
        let mark = statement.value(Owned::Int(at_least(cursor)));
        statement.conditions.push(format!("c.cursor > {mark}"));
    }
    statement
}

pub(crate) fn cards(
    connection: &mut Connection,
    query: &CardQuery,
) -> Result<CardPage, StoreError> {
    let mut statement = filtered(query, connection.dialect());
    let (from, all, all_values) =
        (statement.from, statement.conditions(), statement.values.clone());
    if let Some(mark) = &query.after {
        statement.after(&Mark::read(mark, query)?, query);
    }
    let (body, bodies) = if query.without_bodies {
        ("''", "")
    } else {
        ("b.body", " JOIN card_bodies b ON b.id = c.id")
    };
    let mut sql = format!(
        "SELECT {COLUMNS}, {body} FROM {from}{bodies} WHERE {} ORDER BY {}",
        statement.conditions(),
        order_by(query),
    );
    if let Some(limit) = query.limit {
        // One more tells whether there is another page.
        let limit = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
        let mark = statement.value(Owned::Int(limit));
        sql.push_str(&format!(" LIMIT {mark}"));
    }
    let values: Vec<_> = statement.values.iter().map(Owned::as_value).collect();
    let mut rows = connection.query(&sql, &values, rows::read)?;
    let has_more = query.limit.is_some_and(|limit| rows.len() > limit);
    rows.truncate(query.limit.unwrap_or(usize::MAX));
    let total = if has_more || query.after.is_some() {
        let sql = format!("SELECT COUNT(*) FROM {from} WHERE {all}");
        let values: Vec<_> = all_values.iter().map(Owned::as_value).collect();
        usize::try_from(connection.number(&sql, &values)?).unwrap_or(usize::MAX)
    } else {
        rows.len()
    };
    let next = rows.last().filter(|_| has_more).map(|row| Mark::of(row, query).write());
    Ok(CardPage { next: next.transpose()?, rows, total })
}

/// Ends with its joins.
pub(crate) fn select() -> String {
    format!("SELECT {COLUMNS}, b.body FROM cards c JOIN card_bodies b ON b.id = c.id")
}

pub(crate) fn cards_of(
    connection: &mut Connection,
    ids: &[EntryId],
) -> Result<Vec<CardRow>, StoreError> {
    let by = [("c.kind", Type::Text), ("c.key", Type::Text)];
    let mut found = Vec::new();
    connection.each_of(&select(), &by, &heads::keys(ids), |row| {
        found.push(rows::read(row)?);
        Ok(())
    })?;
    found.sort_unstable_by(|a, b| (&a.kind, &a.key).cmp(&(&b.kind, &b.key)));
    found.dedup_by(|a, b| (&a.kind, &a.key) == (&b.kind, &b.key));
    Ok(found)
}

pub(crate) fn cards_named(
    connection: &mut Connection,
    name: &str,
) -> Result<Vec<CardRow>, StoreError> {
    let sql = format!(
        "{} WHERE c.canonical = $1 OR (c.kind = 'model' AND c.bare = $1) ORDER BY c.key",
        select()
    );
    connection.query(&sql, &[Value::Text(&without_nul(name))], rows::read)
}
