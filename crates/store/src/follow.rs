//! Reading the feed, and waiting for it to grow.

use crate::{
    Changes, Cursor, FeedChange, StoreError,
    db::{Connection, Row, Value},
    heads::{Reader, digest, moment},
    purge,
    write::Counter,
};
use callsheet_types::{Body, Kind, plan::Action};
use jiff::Timestamp;

pub(crate) fn action(row: &Row<'_>, column: usize) -> Result<Action, StoreError> {
    let text = row.text(column)?;
    let known = [Action::Added, Action::Updated, Action::Withdrawn, Action::Removed];
    let action = known.into_iter().find(|action| action.as_str() == text);
    action.ok_or_else(|| row.damaged(format_args!("{text:?} is no action")))
}

/// Returns the cursor before the first change at or after a moment.
pub(crate) fn cursor_at(
    connection: &mut Connection,
    moment: Timestamp,
) -> Result<Cursor, StoreError> {
    let sql = "SELECT MIN(cursor) FROM feed WHERE at >= $1";
    let first = connection.first(sql, &[Value::Int(moment.as_microsecond())], |row| {
        row.int_if_any(0)?.map(|_| row.count(0)).transpose()
    })?;
    let counter = Counter::read(connection)?;
    let found = first.flatten().map_or(counter.cursor, |first| first.saturating_sub(1));
    // What was purged may have been after the moment, too.
    let is_known = match purge::last_purged(connection)? {
        Some(last) => moment > last,
        None => found > counter.purged || counter.purged == 0,
    };
    if is_known { Ok(found) } else { Err(StoreError::Expired { oldest: counter.purged }) }
}

pub(crate) fn changes(
    connection: &mut Connection,
    since: Cursor,
    kind: Option<&Kind>,
    limit: usize,
) -> Result<Changes, StoreError> {
    let counter = Counter::read(connection)?;
    if since < counter.purged {
        return Err(StoreError::Expired { oldest: counter.purged });
    }
    if since > counter.cursor {
        return Err(StoreError::PastEnd { end: counter.cursor });
    }
    // What was said counts as content only while it was published.
    let sql = format!(
        "SELECT f.cursor, f.batch, f.at, f.actor, e.source, e.kind, e.key, f.action,
             f.revision_after, b.digest, b.body, a.digest, a.body
         FROM feed f
             JOIN entries e ON e.id = f.entry
             LEFT JOIN revisions rb ON rb.entry = f.entry AND rb.revision = f.revision_before
                 AND rb.status = 'active'
             LEFT JOIN contents b ON b.id = rb.content
             LEFT JOIN revisions ra ON ra.entry = f.entry AND ra.revision = f.revision_after
                 AND ra.status = 'active'
             LEFT JOIN contents a ON a.id = ra.content
         WHERE f.cursor > $1{} ORDER BY f.cursor LIMIT $2",
        if kind.is_some() { " AND e.kind = $3" } else { "" }
    );
    let more = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
    let mut values = vec![Value::Int(since.cast_signed()), Value::Int(more)];
    values.extend(kind.map(|kind| Value::Text(kind.as_str())));
    let mut reader = Reader::default();
    let mut changes = connection.query(&sql, &values, |row| {
        let body = |column| -> Result<Option<Body>, StoreError> {
            match row.text_if_any(column + 1)? {
                Some(text) => Ok(Some(Body::stored(text.into(), digest(row, column)?))),
                None => Ok(None),
            }
        };
        Ok(FeedChange {
            cursor: row.count(0)?,
            transaction: row.count(1)?,
            at: moment(row, 2)?,
            actor: row.text(3)?.to_owned(),
            source: reader.source(row, 4)?,
            id: reader.id(row, 5)?,
            action: action(row, 7)?,
            revision: row.count(8)?,
            before: body(9)?,
            after: body(11)?,
        })
    })?;
    let has_more = changes.len() > limit;
    changes.truncate(limit);
    let last = changes.last().map_or(since, |change| change.cursor);
    Ok(Changes { next: if has_more { last } else { counter.cursor }, has_more, changes })
}
