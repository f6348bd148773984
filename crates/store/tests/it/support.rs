//! What the tests share: the databases, a simple projector, and short ways to publish.

use callsheet_store::{CardRow, Intent, Project, PublishError, Store, StoreUrl, Stored};
use callsheet_testkit as testkit;
use callsheet_types::{
    Body, Entry, EntryId, Kind, Plan, Snapshot, SourceName,
    plan::{Extent, PlanPolicy, Status},
};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// A database that goes when it is dropped.
pub(crate) struct Database {
    pub(crate) url: StoreUrl,
    pub(crate) name: &'static str,
    address: Option<String>,
    _folder: Option<TempDir>,
}

pub(crate) fn sqlite() -> Database {
    let folder = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(folder.path().join("catalog.db"));
    Database { url, name: "SQLite", address: None, _folder: Some(folder) }
}

/// A database of its own on this process's server, where PostgreSQL is installed.
pub(crate) fn postgres() -> Option<Database> {
    match testkit::postgres::server() {
        Ok(server) => {
            let address = server.database().unwrap();
            let url = address.parse().unwrap();
            Some(Database { url, name: "PostgreSQL", address: Some(address), _folder: None })
        }
        Err(why) => {
            eprintln!("skipped on PostgreSQL: {why}");
            None
        }
    }
}

/// Runs one body on each database that this machine has.
pub(crate) fn on_both(test: impl Fn(&Database)) {
    for database in [Some(sqlite()), postgres()].into_iter().flatten() {
        eprintln!("on {}", database.name);
        test(&database);
    }
}

impl Database {
    pub(crate) fn open(&self) -> Store {
        Store::open(&self.url).unwrap()
    }

    /// Returns the address of a server with a parameter.
    pub(crate) fn with(&self, parameter: &str) -> StoreUrl {
        format!("{}?{parameter}", self.address.as_ref().unwrap()).parse().unwrap()
    }

    /// Says something that is another as soon as anything was written.
    pub(crate) fn written(&self) -> String {
        match &self.url {
            StoreUrl::Sqlite(path) => {
                let file = |path: &Path| {
                    let data = path.metadata().unwrap();
                    format!("{:?} {}", data.modified().unwrap(), data.len())
                };
                format!("{} {}", file(path), file(&path.with_extension("db-wal")))
            }
            StoreUrl::Postgres(_) => {
                // Each row has the number of the transaction that wrote it.
                let sql = "SELECT string_agg(x || ' ' || c, ',' ORDER BY x, c) FROM (
                    SELECT xmin::text x, ctid::text c FROM callsheet.meta
                    UNION ALL SELECT xmin::text, ctid::text FROM callsheet.counter
                    UNION ALL SELECT xmin::text, ctid::text FROM callsheet.sources
                    UNION ALL SELECT xmin::text, ctid::text FROM callsheet.entries) w";
                self.client().query_one(sql, &[]).unwrap().get(0)
            }
        }
    }

    /// A connection of one's own to the server.
    pub(crate) fn client(&self) -> postgres::Client {
        postgres::Client::connect(self.address.as_ref().unwrap(), postgres::NoTls).unwrap()
    }

    /// Does behind the store's back what it would never do.
    pub(crate) fn tamper(&self, sql: &str) {
        match &self.url {
            StoreUrl::Sqlite(path) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                assert!(connection.execute(sql, ()).unwrap() > 0, "{sql}");
            }
            StoreUrl::Postgres(_) => {
                let mut client = self.client();
                client.batch_execute("SET search_path TO callsheet").unwrap();
                assert!(client.execute(sql, &[]).unwrap() > 0, "{sql}");
            }
        }
    }

    pub(crate) fn break_connections(&self) {
        let server = testkit::postgres::server().unwrap();
        server.break_connections(self.address.as_ref().unwrap()).unwrap();
    }
}

/// Makes a row of the active head with the most to say; bodies are `{"name", "context", …}`.
pub(crate) struct Rows;

impl Project for Rows {
    fn covers(&self, id: &EntryId) -> bool {
        id.kind == Kind::model()
    }

    fn row(&self, id: &EntryId, heads: &[Stored]) -> Option<CardRow> {
        let best = heads.iter().max_by_key(|head| {
            (head.status == Status::Active, head.source.layer(), head.source.clone())
        })?;
        let body: Value = best.body.read().ok()?;
        if body["hidden"] == json!(true) {
            return None;
        }
        let texts = |name: &str| {
            let list = body[name].as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let name = body["name"].as_str().unwrap_or_default().to_owned();
        Some(CardRow {
            provider: id.key.split(':').next().unwrap_or_default().to_owned(),
            canonical: body["canonical"].as_str().map(str::to_owned),
            status: best.status.as_str().to_owned(),
            context_window: body["context"].as_u64(),
            prompt_nano_usd: body["price"].as_i64(),
            capabilities: texts("capabilities"),
            modalities: texts("modalities"),
            released: body["released"].as_str().map(str::to_owned),
            words: format!("{name} {}", id.key.replace([':', '/', '-'], " ")).to_lowercase(),
            body: json!({"key": &*id.key, "heads": heads.len(), "facts": body}).to_string(),
            updated_at: heads.iter().map(|head| head.changed_at).max().unwrap_or_default(),
            name,
            ..CardRow::default()
        })
    }
}

pub(crate) fn source(name: &str) -> SourceName {
    SourceName::parse(name).unwrap()
}

pub(crate) fn model(key: &str) -> EntryId {
    EntryId::new(Kind::model(), key)
}

pub(crate) fn entry(key: &str, body: &Value) -> Entry {
    Entry::tracking(Kind::model(), key, Body::new(body))
}

pub(crate) fn frozen(key: &str, body: &Value) -> Entry {
    Entry::frozen(Kind::new("task").unwrap(), key, Body::new(body))
}

/// All that a source has to say of models.
pub(crate) fn whole(name: &str, entries: impl IntoIterator<Item = Entry>) -> Snapshot {
    Snapshot {
        source: source(name),
        revision: Some("r1".to_owned()),
        observed_at: None,
        extent: Extent::Whole(vec![Kind::model()]),
        entries: entries.into_iter().collect(),
        problems: Vec::new(),
    }
}

/// Some entries, and nothing of the others.
pub(crate) fn part(
    name: &str,
    entries: impl IntoIterator<Item = Entry>,
    removed: impl IntoIterator<Item = EntryId>,
) -> Snapshot {
    let extent = Extent::Part { removed: removed.into_iter().collect(), withdrawn: Vec::new() };
    Snapshot { extent, revision: None, ..whole(name, entries) }
}

pub(crate) fn publish(store: &Store, snapshot: &Snapshot) -> Plan {
    try_publish(store, snapshot).unwrap()
}

pub(crate) fn try_publish(store: &Store, snapshot: &Snapshot) -> Result<Plan, PublishError> {
    let done = store.publish(snapshot, PlanPolicy::default(), &Intent::now("test"), &Rows);
    done.map(|applied| applied.plan)
}

/// How many rows there are of what a sync writes.
pub(crate) fn entry_counts(store: &Store) -> (u64, u64, u64) {
    let stats = store.stats().unwrap();
    (stats.revisions, stats.changes, stats.cursor)
}
