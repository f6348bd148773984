//! The feed: `callsheet changes`, and server-sent events.

use crate::{
    models::{Bench, registry, stocked},
    observe::until,
    server,
};
use callsheet_testkit::{StreamReply, TestServer, client, within};
use insta::assert_snapshot;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};

#[tokio::test]
async fn changes_are_told_with_when_who_and_what() {
    let bench = stocked("").await;
    bench.ok(&["model", "set", "north:rocket-1", "context_window=16k", "name=N"]).await;
    bench.ok(&["model", "set", "north:rocket-1", "context_window=17k"]).await;
    bench.ok(&["preset", "remove", "budget", "chat"]).await;
    assert_snapshot!(bench.seen(&["changes"]).await, @"
        exit code 0
        1  MOMENT  api  import/registry  model openrouter:acme/rocket-1 added
        2  MOMENT  api  import/registry  model openrouter:acme/spark added
        3  MOMENT  api  import/registry  preset budget/chat added
        4  MOMENT  api  import/openrouter  model openrouter:acme/auto added
        5  MOMENT  api  import/openrouter  model openrouter:acme/rocket-1 added
        6  MOMENT  api  import/openrouter  model openrouter:acme/spark:free added
        7  MOMENT  api  import/openrouter  model openrouter:other/rocket-1 added
        8  MOMENT  api  import/models.dev  canonical acme/rocket-1 added
        9  MOMENT  api  import/models.dev  model north:rocket-1 added
        10  MOMENT  api  import/models.dev  model south:acme/rocket-1 added
        11  MOMENT  api  pin/user  model north:rocket-1 added
        12  MOMENT  api  pin/user  model north:rocket-1 updated: pins.context_window
        13  MOMENT  api  import/registry  preset budget/chat removed
        ");
    let all = bench.json(&["changes"]).await;
    let all = all.as_array().unwrap();
    let cursors: Vec<_> = all.iter().map(|change| change["cursor"].as_u64().unwrap()).collect();
    assert!(cursors.windows(2).all(|pair| pair[0] < pair[1]), "{cursors:?}");
    let last = &all[all.len() - 2];
    assert_eq!(last["before"]["pins"]["context_window"]["value"], 16_000, "{last}");
    assert_eq!(last["after"]["pins"]["context_window"]["value"], 17_000, "{last}");
    // What was imported together is one transaction.
    assert_eq!(all[0]["transaction"], all[2]["transaction"]);
    assert_ne!(all[0]["transaction"], all[3]["transaction"]);
}

#[tokio::test]
async fn a_part_of_the_feed_is_asked_for_by_place_kind_and_length() {
    let bench = stocked("").await;
    let keys = async |flags: &[&str]| -> Vec<String> {
        let list = bench.json(&[&["changes"], flags].concat()).await;
        let list = list.as_array().unwrap().iter();
        list.map(|change| format!("{} {}", change["cursor"], change["key"].as_str().unwrap()))
            .collect()
    };
    let all = keys(&[]).await;
    assert_eq!(keys(&["--since", "0"]).await, all);
    assert_eq!(keys(&["--since", "4"]).await, all[4..]);
    assert_eq!(keys(&["--since", "4", "--limit", "2"]).await, all[4..6]);
    assert_eq!(keys(&["--limit", "3"]).await, all[..3]);
    assert_eq!(keys(&["--limit", "0"]).await.len(), 0);
    assert_eq!(keys(&["--since", "2001-01-01"]).await, all);
    assert_eq!(keys(&["--since", "2199-01-01"]).await.len(), 0);
    assert_eq!(keys(&["--since", "2001-01-01T00:00:00Z", "--limit", "1"]).await, all[..1]);
    assert_eq!(keys(&["--kind", "preset"]).await, ["3 budget/chat"]);
    assert_eq!(keys(&["--kind", "canonical"]).await.len(), 1);
    assert_eq!(keys(&["--kind", "model", "--limit", "2"]).await, all[..2]);
    assert_eq!(keys(&["--kind", "backend"]).await.len(), 0);
    assert_snapshot!(bench.seen(&["changes", "--since", "yesterday"]).await, @r#"
        exit code 1
        --
        error: "yesterday" is no place in the feed; expected a cursor, a day such as 2026-01-31, or a moment such as 2026-01-31T12:00:00Z
        "#);
    assert_snapshot!(bench.seen(&["changes", "--since", "9999"]).await, @"
        exit code 1
        --
        error: there is no such place in the feed; it ends at 10
        hint: read the present state anew, and follow the feed from its end
        ");
    assert_snapshot!(bench.seen(&["changes", "--kind", "No Kind"]).await, @r#"
        exit code 1
        --
        error: Failed to deserialize query string: kind: "No Kind" is no kind: expected 1 to 32 lower-case letters or `-`
        "#);
    assert_eq!(bench.run(&["changes", "--limit", "some"]).await.code, 2);
}

/// Reads lines of a process as they come.
fn lines(child: &mut std::process::Child) -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[tokio::test]
async fn a_watch_without_a_daemon_tells_what_another_process_writes() {
    let bench = Bench::new();
    let file = bench.file("registry.json", &registry());
    bench.ok(&["model", "import", &file, "--format", "registry"]).await;
    let watch = ["changes", "--watch", "--since", "0", "--json", "--limit", "5"];
    let mut child = bench.command(&watch).spawn().unwrap();
    let mut lines = lines(&mut child);
    let mut next = async || {
        let line = within("a change", lines.recv()).await.expect("a line");
        serde_json::from_str::<Value>(&line).unwrap()
    };
    for key in ["openrouter:acme/rocket-1", "openrouter:acme/spark", "budget/chat"] {
        assert_eq!(next().await["key"], key);
    }
    for (slot, cursor) in [("one", 4), ("two", 5)] {
        bench.ok(&["preset", "set", "budget", slot, "acme/spark"]).await;
        let change = next().await;
        assert_eq!(
            (&change["key"], &change["cursor"]),
            (&format!("budget/{slot}").into(), &cursor.into())
        );
    }
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_watch_on_a_daemon_tells_each_change_and_ends_when_the_daemon_stops() {
    let mut server = server("").start().await;
    let bench = Bench::new();
    let url = server.url();
    let watch = ["changes", "--watch", "--since", "0", "--kind", "preset", "--server", &url];
    let mut child = bench.command(&watch).spawn().unwrap();
    let mut lines = lines(&mut child);
    let file = bench.file("registry.json", &registry());
    for args in [
        &["model", "import", &file, "--format", "registry"][..],
        &["preset", "set", "budget", "one", "acme/spark"],
        &["preset", "set", "budget", "one", "acme/rocket-1"],
    ] {
        assert_eq!(server.cli(args).await.code, 0);
    }
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(bench.masked(&within("a change", lines.recv()).await.expect("a line")));
    }
    assert_snapshot!(told.join("\n"), @"
        3  MOMENT  api  import/registry  preset budget/chat added
        4  MOMENT  api  local/api  preset budget/one added
        5  MOMENT  api  local/api  preset budget/one updated: model
        ");
    server.stop().await;
    assert_eq!(within("the end of the watch", lines.recv()).await, None);
    let left =
        tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(left.status.code(), Some(1));
    assert_snapshot!(String::from_utf8_lossy(&left.stderr), @"
        error: the feed ended
        hint: has the daemon stopped?
        ");
}

#[tokio::test]
async fn a_watch_on_a_daemon_tells_every_letter() {
    let server = server("").start().await;
    let bench = Bench::new();
    // Of three bytes each, and more of them than one read brings.
    let text = "\u{20ac}".repeat(30_000);
    let preset = json!({"model": "acme/spark", "parameters": {"stop": text}}).to_string();
    let headers = [("Content-Type", "application/json")];
    let slots = ["one", "two", "three", "four"];
    for slot in slots {
        let path = format!("/api/v1/presets/budget/{slot}");
        assert_eq!(server.request("PUT", &path, &headers, preset.as_bytes()).await.status, 200);
    }
    let url = server.url();
    let watch = ["changes", "--watch", "--since", "0", "--json", "--limit", "4", "--server", &url];
    let mut child = bench.command(&watch).spawn().unwrap();
    let mut lines = lines(&mut child);
    for slot in slots {
        let line = within("a change", lines.recv()).await.expect("a line");
        let change: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(change["key"], format!("budget/{slot}"));
        assert!(
            change["after"]["parameters"]["stop"] == *text,
            "a letter is lost: {}",
            change["after"]
        );
    }
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
}

/// Opens the feed as events.
async fn follow(server: &TestServer, path: &str, headers: &[(&str, &str)]) -> StreamReply {
    let headers = [&[("Accept", "text/event-stream")], headers].concat();
    let opened = client::open(server.address(), "GET", path, &headers, b"");
    within("the head of an answer", opened).await.unwrap()
}

/// Returns the id and the key of the next event.
async fn event(stream: &mut StreamReply) -> (u64, String) {
    loop {
        let text = within("an event", stream.next_event()).await.expect("an event");
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        if let Some(data) = field("data: ") {
            let data: Value = serde_json::from_str(data).unwrap();
            let id = field("id: ").unwrap().parse().unwrap();
            return (id, data["key"].as_str().unwrap().to_owned());
        }
    }
}

#[tokio::test]
async fn events_go_on_after_the_last_one_that_was_seen() {
    let server = server("").start().await;
    let set = async |slot: &str| {
        let done = server.cli(["preset", "set", "a", slot, "any"]).await;
        assert_eq!(done.code, 0, "{done:?}");
    };
    for slot in ["s1", "s2", "s3"] {
        set(slot).await;
    }
    let mut now = follow(&server, "/api/v1/changes", &[]).await;
    assert_eq!((now.status, now.header("content-type")), (200, Some("text/event-stream")));
    let mut later = follow(&server, "/api/v1/changes?since=0", &[("Last-Event-ID", "2")]).await;
    assert_eq!(event(&mut later).await, (3, "a/s3".to_owned()));
    set("s4").await;
    assert_eq!(event(&mut later).await, (4, "a/s4".to_owned()));
    assert_eq!(event(&mut now).await, (4, "a/s4".to_owned()));
    // What nobody keeps any more is said with a status, before anything else.
    let purged = server.cli(["store", "purge", "--older-than", "0s"]).await;
    assert_eq!((purged.code, purged.stderr.as_str()), (0, ""), "{purged:?}");
    let expired = follow(&server, "/api/v1/changes", &[("Last-Event-ID", "2")]).await;
    assert_eq!(expired.status, 410);
    let page = server.get("/api/v1/changes?since=2").await;
    assert_eq!((page.status, &page.json()["error"]["code"]), (410, &"cursor_expired".into()));
    assert_snapshot!(page.json()["error"]["message"].as_str().unwrap(), @"that place in the feed is no longer kept; the oldest to ask from is 4");
    let beginning = server.cli(["changes"]).await;
    assert_eq!((beginning.code, beginning.stdout.as_str()), (0, ""), "{beginning:?}");
    set("s5").await;
    assert_eq!(event(&mut later).await, (5, "a/s5".to_owned()));
    until("what came after the purge", async || {
        let listed = server.cli(["changes"]).await;
        (listed.code == 0 && listed.stdout.contains("a/s5")).then_some(())
    })
    .await;
    let bad = server.get("/api/v1/changes?since=soon").await;
    assert_eq!((bad.status, &bad.json()["error"]["code"]), (400, &"invalid_request".into()));
}
