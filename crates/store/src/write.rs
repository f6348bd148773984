//! Doing what a plan says: one transaction that writes heads, revisions, the feed, the source, and
//! the rows of what it touched.

use crate::{
    Intent, Project, PublishError, StoreError, Stored,
    db::{Connection, Dialect, Table, Transaction, Type, Value},
    heads::{
        BY_ID, Known, as_kept, digest, is_storable, keys, known_of, nature_name, to_microseconds,
    },
    rows,
};
use callsheet_types::{
    Body, Digest, EntryId, Nature, Plan,
    plan::{Action, Change, Status},
};
use std::collections::HashMap;

pub(crate) const ENTRIES: Table = Table {
    name: "entries",
    key: &["id"],
    columns: &[
        ("id", Type::Int),
        ("source", Type::Text),
        ("kind", Type::Text),
        ("key", Type::Text),
        ("nature", Type::Text),
        ("revision", Type::Int),
        ("status", Type::Text),
        ("digest", Type::Bytes),
        ("content", Type::Int),
        ("observed_at", Type::Int),
        ("changed_at", Type::Int),
        ("cursor", Type::Int),
    ],
};

pub(crate) const CONTENTS: Table = Table {
    name: "contents",
    key: &[],
    columns: &[("id", Type::Int), ("digest", Type::Bytes), ("body", Type::Text)],
};

pub(crate) const REVISIONS: Table = Table {
    name: "revisions",
    key: &[],
    columns: &[
        ("entry", Type::Int),
        ("revision", Type::Int),
        ("status", Type::Text),
        ("content", Type::Int),
        ("at", Type::Int),
        ("actor", Type::Text),
    ],
};

pub(crate) const FEED: Table = Table {
    name: "feed",
    key: &[],
    columns: &[
        ("cursor", Type::Int),
        ("batch", Type::Int),
        ("at", Type::Int),
        ("actor", Type::Text),
        ("entry", Type::Int),
        ("action", Type::Text),
        ("revision_before", Type::Int),
        ("revision_after", Type::Int),
    ],
};

pub(crate) const FROZEN: Table = Table {
    name: "frozen",
    key: &[],
    columns: &[("kind", Type::Text), ("key", Type::Text), ("digest", Type::Bytes)],
};

pub(crate) const SOURCES: Table = Table {
    name: "sources",
    key: &["name"],
    columns: &[
        ("name", Type::Text),
        ("revision", Type::Text),
        ("synced_at", Type::Int),
        ("problems", Type::Text),
        ("conflicts", Type::Text),
    ],
};

/// The one row of `counter`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter {
    /// The newest cursor.
    pub(crate) cursor: u64,
    /// The last id that was given to a row of any table.
    pub(crate) last_id: i64,
    /// The newest cursor whose change is no longer kept.
    pub(crate) purged: u64,
}

impl Counter {
    pub(crate) fn read(connection: &mut Connection) -> Result<Self, StoreError> {
        Self::select(connection, "SELECT cursor, last_id, purged FROM counter")
    }

    /// Keeps everybody else from writing until the transaction ends.
    pub(crate) fn lock(transaction: &mut Transaction<'_>) -> Result<Self, StoreError> {
        let sql = match transaction.dialect() {
            // The transaction itself is the lock.
            Dialect::Sqlite => "SELECT cursor, last_id, purged FROM counter",
            Dialect::Postgres => "SELECT cursor, last_id, purged FROM counter FOR UPDATE",
        };
        Self::select(transaction, sql)
    }

    fn select(connection: &mut Connection, sql: &str) -> Result<Self, StoreError> {
        let found = connection.first(sql, &[], |row| {
            Ok(Self { cursor: row.count(0)?, last_id: row.int(1)?, purged: row.count(2)? })
        })?;
        found.ok_or_else(|| connection.damaged("the counter is missing"))
    }

    pub(crate) fn write(self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        let sql = "UPDATE counter SET cursor = $1, last_id = $2, purged = $3";
        let values = [self.cursor.cast_signed(), self.last_id, self.purged.cast_signed()];
        transaction.execute(sql, &values.map(Value::Int)).map(drop)
    }

    pub(crate) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    pub(crate) fn next_cursor(&mut self) -> u64 {
        self.cursor += 1;
        self.cursor
    }
}

/// Does what a plan says, and returns the newest cursor after it.
pub(crate) fn apply(
    transaction: &mut Transaction<'_>,
    plan: &Plan,
    intent: &Intent,
    project: &dyn Project,
) -> Result<u64, PublishError> {
    if plan.changes.is_empty() {
        write_source(transaction, plan, intent)?;
        return Ok(Counter::read(transaction)?.cursor);
    }
    if let Some(change) = plan.changes.iter().find(|change| !is_storable(&change.id.key)) {
        return Err(StoreError::BadKey { id: change.id.clone() }.into());
    }
    let mut counter = Counter::lock(transaction)?;
    let batch = counter.cursor + 1;
    let frozen = check_frozen(transaction, &plan.changes)?;

    // All heads of what is touched, to see that nobody moved them, and to make rows of.
    let known = known_of(transaction, plan.changes.iter().map(|change| &change.id))?;
    let mut heads: HashMap<EntryId, Vec<Known>> = HashMap::with_capacity(plan.changes.len());
    for known in known {
        heads.entry(known.stored.id.clone()).or_default().push(known);
    }
    let mut steps = Vec::with_capacity(plan.changes.len());
    for change in &plan.changes {
        let heads = heads.entry(change.id.clone()).or_default();
        steps.push(step(heads, change, plan, intent, &mut counter)?);
    }

    write_steps(transaction, &steps, intent, batch)?;
    write_frozen(transaction, &frozen)?;
    write_source(transaction, plan, intent)?;

    let mut made = Vec::new();
    for (id, heads) in &heads {
        if project.covers(id) {
            let cursor = heads.iter().map(|head| head.cursor).max().unwrap_or(0);
            let stored: Vec<_> = heads.iter().map(|head| head.stored.clone()).collect();
            made.push((id, rows::made(project, id, &stored, cursor)));
        }
    }
    // Rows get their ids in the order of keys, whatever the order of the map.
    made.sort_unstable_by(|a, b| a.0.cmp(b.0));
    rows::write(transaction, &made, &mut counter)?;
    counter.write(transaction)?;
    if transaction.dialect() == Dialect::Postgres {
        // It is delivered when the transaction is committed, and not at all if it is not.
        transaction.each("SELECT pg_notify('callsheet_feed', '')", &[], |_| Ok(()))?;
    }
    Ok(counter.cursor)
}

/// Returns the keys that become frozen now; a plan that was made before somebody else froze one of
/// its keys otherwise is stale.
fn check_frozen<'a>(
    transaction: &mut Transaction<'_>,
    changes: &'a [Change],
) -> Result<Vec<(&'a EntryId, Digest)>, PublishError> {
    let with_content = || changes.iter().filter_map(|change| Some((change, change.body.as_ref()?)));
    let mut frozen: HashMap<(String, String), Digest> = HashMap::new();
    // Most stores have no frozen keys at all.
    if transaction.number("SELECT COUNT(*) FROM (SELECT 1 FROM frozen LIMIT 1) f", &[])? > 0 {
        let keys = keys(with_content().map(|(change, _)| &change.id));
        let select = "SELECT e.kind, e.key, e.digest FROM frozen e";
        transaction.each_of(select, &BY_ID, &keys, |row| {
            frozen.insert((row.text(0)?.to_owned(), row.text(1)?.to_owned()), digest(row, 2)?);
            Ok(())
        })?;
    }
    let mut new = Vec::new();
    for (change, body) in with_content() {
        let id = (change.id.kind.as_str().to_owned(), change.id.key.to_string());
        match frozen.get(&id) {
            Some(digest) if *digest != body.digest() => return Err(PublishError::Stale),
            None if change.nature == Some(Nature::Frozen) => {
                frozen.insert(id, body.digest());
                new.push((&change.id, body.digest()));
            }
            _ => {}
        }
    }
    Ok(new)
}

/// One entry's step, as it is written.
struct Step {
    head: Known,
    action: Action,
    revision_before: u64,
    has_new_content: bool,
}

/// Takes one step among the heads of an id.
fn step(
    heads: &mut Vec<Known>,
    change: &Change,
    plan: &Plan,
    intent: &Intent,
    counter: &mut Counter,
) -> Result<Step, PublishError> {
    let at = as_kept(intent.at);
    let observed_at = plan.observed_at.map_or(at, as_kept);
    let place = heads.iter().position(|head| head.stored.source == plan.source);
    let before = place.map(|place| &heads[place]);
    let revision_before = before.map_or(0, |head| head.stored.revision);
    if revision_before != change.expected {
        return Err(PublishError::Stale);
    }
    let is_same = |head: &Known, body: &Body| head.digest == body.digest();
    let mut head = match (before, &change.body) {
        (Some(head), None) => head.clone(),
        (Some(head), Some(body)) if is_same(head, body) => {
            let mut head = head.clone();
            // What was removed and is said again is said now; what was withdrawn was never denied.
            if head.stored.status == Status::Removed {
                head.stored.observed_at = observed_at;
            }
            head
        }
        (before, Some(body)) => Known {
            id: before.map_or_else(|| counter.next_id(), |head| head.id),
            content: counter.next_id(),
            cursor: 0,
            digest: body.digest(),
            stored: Stored {
                id: change.id.clone(),
                source: plan.source.clone(),
                nature: Nature::Tracking,
                revision: 0,
                status: Status::Active,
                body: body.clone(),
                observed_at,
                changed_at: at,
            },
        },
        // Nothing can go that never was.
        (None, None) => return Err(PublishError::Stale),
    };
    let has_new_content = before.is_none_or(|before| before.content != head.content);
    head.stored.nature =
        change.nature.or(before.map(|b| b.stored.nature)).unwrap_or(Nature::Tracking);
    head.stored.revision = revision_before + 1;
    head.stored.status = change.action.status();
    head.stored.changed_at = at;
    head.cursor = counter.next_cursor();
    if let Some(place) = place {
        heads[place] = head.clone();
    } else {
        let place = heads.partition_point(|other| other.stored.source < plan.source);
        heads.insert(place, head.clone());
    }
    Ok(Step { head, action: change.action, revision_before, has_new_content })
}

fn write_steps(
    transaction: &mut Transaction<'_>,
    steps: &[Step],
    intent: &Intent,
    batch: u64,
) -> Result<(), StoreError> {
    let at = to_microseconds(intent.at);
    let actor = without_nul(&intent.actor);
    let contents: Vec<_> = steps
        .iter()
        .filter(|step| step.has_new_content)
        .flat_map(|step| content_values(&step.head))
        .collect();
    transaction.write(&CONTENTS, &contents)?;
    let entries: Vec<_> = steps.iter().flat_map(|step| entry_values(&step.head)).collect();
    transaction.write(&ENTRIES, &entries)?;
    let revisions: Vec<_> = steps
        .iter()
        .flat_map(|step| {
            let head = &step.head;
            [
                Value::Int(head.id),
                Value::Int(head.stored.revision.cast_signed()),
                Value::Text(head.stored.status.as_str()),
                Value::Int(head.content),
                Value::Int(at),
                Value::Text(&actor),
            ]
        })
        .collect();
    transaction.write(&REVISIONS, &revisions)?;
    let feed: Vec<_> = steps
        .iter()
        .flat_map(|step| {
            [
                Value::Int(step.head.cursor.cast_signed()),
                Value::Int(batch.cast_signed()),
                Value::Int(at),
                Value::Text(&actor),
                Value::Int(step.head.id),
                Value::Text(step.action.as_str()),
                Value::Int(step.revision_before.cast_signed()),
                Value::Int(step.head.stored.revision.cast_signed()),
            ]
        })
        .collect();
    transaction.write(&FEED, &feed)
}

fn content_values(head: &Known) -> [Value<'_>; 3] {
    [
        Value::Int(head.content),
        Value::Bytes(head.digest.as_bytes()),
        Value::Text(head.stored.body.as_str()),
    ]
}

fn entry_values(head: &Known) -> [Value<'_>; 12] {
    let stored = &head.stored;
    [
        Value::Int(head.id),
        Value::Text(stored.source.as_str()),
        Value::Text(stored.id.kind.as_str()),
        Value::Text(&stored.id.key),
        Value::Text(nature_name(stored.nature)),
        Value::Int(stored.revision.cast_signed()),
        Value::Text(stored.status.as_str()),
        Value::Bytes(head.digest.as_bytes()),
        Value::Int(head.content),
        Value::Int(to_microseconds(stored.observed_at)),
        Value::Int(to_microseconds(stored.changed_at)),
        Value::Int(head.cursor.cast_signed()),
    ]
}

fn write_frozen(
    transaction: &mut Transaction<'_>,
    frozen: &[(&EntryId, Digest)],
) -> Result<(), StoreError> {
    let values: Vec<_> = frozen
        .iter()
        .flat_map(|(id, digest)| {
            [id.kind.as_str().into(), (&*id.key).into(), Value::Bytes(digest.as_bytes())]
        })
        .collect();
    transaction.write(&FROZEN, &values)
}

/// PostgreSQL has no text with a NUL in it; neither has this store, then.
pub(crate) fn without_nul(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// Writes what became of a source, if it is other than what is known.
fn write_source(
    transaction: &mut Transaction<'_>,
    plan: &Plan,
    intent: &Intent,
) -> Result<(), StoreError> {
    let revision = plan.revision.as_deref().map(without_nul);
    let problems = serde_json::to_string(&plan.problems)?;
    let conflicts = serde_json::to_string(&plan.conflicts)?;
    let sql = "SELECT revision, synced_at, problems, conflicts FROM sources WHERE name = $1";
    let name = Value::Text(plan.source.as_str());
    let known = transaction.first(sql, &[name], |row| {
        let is_same = row.text_if_any(0)? == revision.as_deref()
            && row.text(2)? == problems
            && row.text(3)? == conflicts;
        Ok((is_same, row.int_if_any(1)?))
    })?;
    let synced_at = match known {
        _ if plan.is_whole => Some(to_microseconds(intent.at)),
        Some((true, _)) => return Ok(()),
        Some((false, synced_at)) => synced_at,
        None => None,
    };
    let values = [
        name,
        revision.as_deref().into(),
        synced_at.into(),
        Value::Text(&problems),
        Value::Text(&conflicts),
    ];
    transaction.write(&SOURCES, &values)
}
