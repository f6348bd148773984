//! How long the store takes: `cargo bench -p callsheet-store`. Each figure is the median; the second
//! is the time on a processor, which means something on a busy machine, too.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints or fails")]

use callsheet_store::{CardQuery, CardRow, CardSort, Intent, Project, Store, StoreUrl, Stored};
use callsheet_types::{
    Body, Entry, EntryId, Kind, Snapshot, SourceName,
    plan::{Extent, PlanPolicy},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

struct Rows;

impl Project for Rows {
    fn covers(&self, id: &EntryId) -> bool {
        id.kind == Kind::model()
    }

    fn row(&self, id: &EntryId, heads: &[Stored]) -> Option<CardRow> {
        let body: Value = heads.last()?.body.read().ok()?;
        let name = body["name"].as_str().unwrap_or_default().to_owned();
        Some(CardRow {
            provider: id.key.split(':').next().unwrap_or_default().to_owned(),
            status: "active".to_owned(),
            context_window: body["context_window"].as_u64(),
            capabilities: vec!["tools".to_owned(), "vision".to_owned()],
            modalities: vec!["in:text".to_owned(), "out:text".to_owned()],
            words: format!("{} {}", name, id.key.replace([':', '/', '-'], " ")),
            body: heads.last()?.body.as_str().to_owned(),
            updated_at: heads.last()?.changed_at,
            name,
            ..CardRow::default()
        })
    }
}

const FAMILIES: [&str; 8] =
    ["qwen", "llama", "mistral", "gemma", "claude", "gpt", "deepseek", "phi"];
const SIZES: [&str; 5] = ["mini", "small", "medium", "large", "instruct"];

fn snapshot(source: &str, count: usize, version: usize) -> Snapshot {
    let entries = (0..count).map(|i| {
        let (family, size) = (FAMILIES[i % 8], SIZES[i / 8 % 5]);
        let body = json!({
            "name": format!("{family} {size} {}", i / 40),
            "context_window": 1024 * (i % 200), "max_output_tokens": 4096, "version": version,
            "description": "what a provider says of a model, at some length ".repeat(8),
            "prices": [{"prompt": "0.000001", "completion": "0.000002"}],
        });
        let key = format!("provider{}:{family}/{family}-{size}-{i}", i % 40);
        Entry::tracking(Kind::model(), &key, Body::new(&body))
    });
    Snapshot {
        source: SourceName::parse(source).unwrap(),
        revision: None,
        observed_at: None,
        extent: Extent::Whole(vec![Kind::model()]),
        entries: entries.collect(),
        problems: Vec::new(),
    }
}

fn measure<T>(what: &str, times: usize, mut run: impl FnMut() -> T) -> T {
    let (mut taken, mut worked) = (Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..times {
        let (since, worked_before) = (Instant::now(), on_processor());
        last = Some(run());
        taken.push(since.elapsed());
        worked.push(on_processor().saturating_sub(worked_before));
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1000.0
    };
    println!("{what:>52}: {:>9.2} ms {:>9.2} ms", median(&mut taken), median(&mut worked));
    last.unwrap()
}

/// For how long this thread has been on a processor; zero where the system does not say.
fn on_processor() -> Duration {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = said.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

fn publish(store: &Store, snapshot: &Snapshot) -> u64 {
    let intent = Intent::now("bench");
    store.publish(snapshot, PlanPolicy::default(), &intent, &Rows).unwrap().cursor
}

fn run(url: &StoreUrl) {
    measure("open a new database", 1, || Store::open(url).unwrap());
    let store = measure("open it again", 9, || Store::open(url).unwrap());
    let small = snapshot("import/small", 5_300, 0);
    measure("publish 5,300 new entries", 1, || publish(&store, &small));
    measure("the same again", 5, || publish(&store, &small));
    let changed = snapshot("import/small", 5_300, 1);
    measure("publish 5,300 changed entries", 1, || publish(&store, &changed));
    let one = Snapshot {
        extent: Extent::Part { removed: Vec::new(), withdrawn: Vec::new() },
        ..snapshot("local/api", 1, 0)
    };
    let mut version = 0;
    measure("publish one entry", 15, || {
        version += 1;
        publish(
            &store,
            &Snapshot { entries: snapshot("local/api", 1, version).entries, ..one.clone() },
        )
    });
    let all = CardQuery { kind: "model".to_owned(), ..CardQuery::default() };
    let listed = CardQuery { without_bodies: true, ..all.clone() };
    measure("list 5,300 rows without bodies", 9, || store.cards(&listed).unwrap());
    measure("list 5,300 rows with bodies", 9, || store.cards(&all).unwrap());
    let by_context = CardQuery { sort: CardSort::Context, descending: true, ..listed.clone() };
    measure("list 5,300 rows by context", 9, || store.cards(&by_context).unwrap());

    let large = snapshot("import/large", 100_000, 0);
    measure("publish 100,000 new entries", 1, || publish(&store, &large));
    measure("current of 100,000", 5, || store.current(&large).unwrap());
    measure("plan of 100,000, the same again", 5, || publish(&store, &large));
    let page = CardQuery { limit: Some(50), ..all.clone() };
    for words in ["qwen large", "qw lar", "mistral 77", "provider7 gpt 1999", "q"] {
        let search = words.split(' ').map(str::to_owned).collect();
        let query = CardQuery { search, ..page.clone() };
        let found = measure(&format!("search {words:?}, 50 of 100,000"), 15, || {
            store.cards(&query).unwrap()
        });
        println!("{:>52}  {:>9} found", "", found.total);
    }
    measure("first 50 of 100,000", 9, || store.cards(&page).unwrap());
    let filtered = CardQuery { min_context: Some(100_000), ..by_context.clone() };
    let filtered = CardQuery { limit: Some(50), ..filtered };
    measure("50 of 100,000 by context", 9, || store.cards(&filtered).unwrap());
    let providers = CardQuery { providers: vec!["provider7".to_owned()], ..page.clone() };
    measure("50 of one provider of 100,000", 9, || store.cards(&providers).unwrap());
    measure("all heads of a kind, 105,300", 3, || store.entries(&Kind::model()).unwrap());
    measure("1,000 changes", 5, || store.changes(50_000, None, 1_000).unwrap());
    measure("rebuild of 100,000 rows", 1, || store.rebuild(&Rows).unwrap());
    measure("digest", 1, || store.digest().unwrap());
    measure("check", 1, || store.check(&Rows).unwrap());
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    println!("SQLite");
    run(&StoreUrl::Sqlite(folder.path().join("catalog.db")));
    match callsheet_testkit::postgres::server() {
        Ok(server) => {
            println!("PostgreSQL, which does not wait for its disk");
            run(&server.database().unwrap().parse().unwrap());
        }
        Err(why) => println!("skipped: {why}"),
    }
}
