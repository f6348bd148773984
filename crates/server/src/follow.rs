//! Following the feed: what this process, another one on the same store, or another replica wrote
//! comes into force here.

use crate::{App, reload::TakeError};
use callsheet_store::{Cursor, Store, StoreError};
use callsheet_types::Kind;
use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::Duration,
};

/// How long the thread waits before it looks whether it is still wanted.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Changes that are read at once.
const PAGE: usize = 1000;

impl App {
    /// Begins to follow the feed on a thread of its own, which ends with the daemon.
    pub fn start_following(self: &Arc<Self>) -> std::io::Result<()> {
        let (app, store) = (Arc::downgrade(self), self.catalog.store().clone());
        let start = *self.feed.borrow();
        std::thread::Builder::new()
            .name("feed".to_owned())
            .spawn(move || follow(&app, &store, start))
            .map(drop)
    }

    /// Returns the newest change that is in force here, and every later one as it comes.
    pub fn feed(&self) -> tokio::sync::watch::Receiver<Cursor> {
        self.feed.subscribe()
    }

    /// Puts in force what concerns this process; an error means that none of it is yet.
    fn take(&self, kinds: &BTreeSet<Kind>) -> Result<(), TakeError> {
        if kinds.contains(&Kind::model()) || kinds.contains(&Kind::canonical()) {
            self.look_at_cards_again();
        }
        let concerns_us = [Kind::backend(), Kind::drain(), Kind::preset()];
        if concerns_us.iter().any(|kind| kinds.contains(kind)) { self.take_saved() } else { Ok(()) }
    }
}

fn follow(app: &Weak<App>, store: &Store, start: Cursor) {
    let mut cursor = start;
    let mut is_down = false;
    loop {
        let newest = store.wait(cursor, LOOK_AROUND);
        let Some(app) = app.upgrade() else { return };
        let taken = newest.map_err(TakeError::from).and_then(|newest| {
            if newest <= cursor {
                return Ok(cursor);
            }
            let (kinds, next) = next(store, cursor)?;
            app.take(&kinds)?;
            Ok(next)
        });
        match taken {
            Ok(next) => {
                if is_down {
                    tracing::info!("the store is followed again");
                    is_down = false;
                }
                if next > cursor {
                    cursor = next;
                    app.feed.send_replace(cursor);
                }
            }
            // The cursor stays, so that what could not be taken is tried again.
            Err(error) => {
                if !is_down {
                    let error = callsheet_types::with_causes(&error);
                    tracing::error!("the store cannot be followed: {error}");
                    is_down = true;
                }
                drop(app);
                std::thread::sleep(LOOK_AROUND);
            }
        }
    }
}

/// Returns the kinds of which something changed after a cursor, and the cursor after which to go on.
fn next(store: &Store, since: Cursor) -> Result<(BTreeSet<Kind>, Cursor), StoreError> {
    match store.changes(since, None, PAGE) {
        Ok(read) => {
            Ok((read.changes.into_iter().map(|change| change.id.kind).collect(), read.next))
        }
        // So far behind that nobody keeps it any more: anything may have changed.
        Err(StoreError::Expired { .. } | StoreError::PastEnd { .. }) => {
            let all =
                [Kind::model(), Kind::canonical(), Kind::preset(), Kind::backend(), Kind::drain()];
            Ok((all.into_iter().collect(), store.cursor()?))
        }
        Err(error) => Err(error),
    }
}
