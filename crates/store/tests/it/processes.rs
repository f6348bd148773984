//! Two processes on one store.

use crate::support::{Rows, entry, model, on_both, part, publish};
use callsheet_store::{Intent, PublishError, Store};
use callsheet_types::{
    Snapshot,
    plan::{PlanPolicy, plan},
};
use serde_json::{Value, json};
use std::{env, process::Command};

/// Where the process that the test starts finds the store.
const ADDRESS: &str = "CALLSHEET_STORE_TEST_ADDRESS";

const NAME: &str = "processes::two_processes_lose_nothing_of_each_other";

const PROCESSES: u64 = 2;
const EACH: u64 = 200;

/// Adds one to a number that is read and written in two steps.
fn add_one(store: &Store) {
    loop {
        let probe = part("local/counter", [], []);
        let current = store.current(&probe).unwrap();
        let head = store.entry(&model("a:counter")).unwrap().remove(0);
        let known = current.heads[&head.id].revision;
        if head.revision != known {
            continue;
        }
        let n = head.body.read::<Value>().unwrap()["n"].as_u64().unwrap();
        let next: Snapshot = part("local/counter", [entry("a:counter", &json!({"n": n + 1}))], []);
        let plan = plan(&current, &next, PlanPolicy::default()).unwrap();
        match store.apply(&plan, &Intent::now("test"), &Rows) {
            Ok(_) => return,
            Err(PublishError::Stale) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[test]
fn two_processes_lose_nothing_of_each_other() {
    if let Ok(address) = env::var(ADDRESS) {
        let store = Store::open(&address.parse().unwrap()).unwrap();
        (0..EACH).for_each(|_| add_one(&store));
        return;
    }
    on_both(|database| {
        let store = database.open();
        publish(&store, &part("local/counter", [entry("a:counter", &json!({"n": 0}))], []));
        let start = |_| {
            let mut command = Command::new(env::current_exe().unwrap());
            command.args(["--exact", NAME, "--nocapture"]).env(ADDRESS, database.url.to_string());
            command.spawn().unwrap()
        };
        let processes: Vec<_> = (0..PROCESSES).map(start).collect();
        for mut process in processes {
            assert!(process.wait().unwrap().success());
        }
        let head = store.entry(&model("a:counter")).unwrap().remove(0);
        assert_eq!(head.body.read::<Value>().unwrap()["n"], json!(PROCESSES * EACH));
        assert_eq!(head.revision, PROCESSES * EACH + 1);
        assert_eq!(store.cursor().unwrap(), PROCESSES * EACH + 1);
        assert_eq!(store.check(&Rows).unwrap(), []);
    });
}
