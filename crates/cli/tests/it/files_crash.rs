//! What is left when a command was killed, and when many work at once.

use crate::files_scene::{Home, SOURCE, TEST_MODELS, commit, files_of, finish, model};
use callsheet_testkit::{FakeGitHub, FakeRepository};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const KILLS: u32 = 25;
const SYNC: [&str; 4] = ["files", "sync", "--source", "mf6/test"];

/// A model of many files, some of which are others in the other state.
fn files(state: usize) -> Vec<(String, String)> {
    let mut files = vec![("mf6/large/mfsim.nam".to_owned(), "simulation".to_owned())];
    files.extend((0..40).map(|i| {
        let state = if i % 4 == 0 { state } else { 0 };
        (format!("mf6/large/data/{i}.npf"), format!("{i} {state} ").repeat(400 * (1 + i % 7)))
    }));
    files
}

fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(path, content)| (&**path, &**content)).collect()
}

struct Scene {
    hub: FakeGitHub,
    repository: FakeRepository,
    /// Two states of the branch, and what a copy of the model holds in each.
    states: [(String, BTreeMap<String, Vec<u8>>); 2],
}

impl Scene {
    async fn new() -> Self {
        let hub = FakeGitHub::start().await;
        let repository = hub.repository(TEST_MODELS);
        let states = [1, 2].map(|state| {
            let files = files(state);
            let files = borrowed(&files);
            (commit(&repository, &files), model(&files, "large"))
        });
        repository.branch("develop", &states[0].0);
        Self { hub, repository, states }
    }

    fn home(&self, single_files: usize) -> Home {
        Home::with(&self.hub, &format!("[files]\nsingle_files = {single_files}\n{SOURCE}"))
    }

    /// Checks that nothing is damaged, that the store answers, and that a copy is what it should be.
    async fn check(&self, home: &Home, state: usize) {
        home.ok(&["files", "verify"]).await;
        let checked = home.ok(&["store", "check", "--json"]).await.json();
        assert_eq!(checked["problems"], serde_json::json!([]));
        home.ok(&["files", "list", "--verbose"]).await;
        home.ok(&SYNC).await;
        home.ok(&["files", "copy", "mf6/test@develop/large", "after"]).await;
        assert_eq!(home.files("work/after"), self.states[state].1);
        std::fs::remove_dir_all(home.path("work/after")).unwrap();
    }
}

/// Kills commands at moments that are spread over the time that they take.
struct Killer {
    /// How long one takes that nobody kills, as far as is known.
    undisturbed: Duration,
    kills: u32,
    tries: u32,
}

impl Killer {
    fn new(undisturbed: Duration) -> Self {
        Self { undisturbed, kills: 0, tries: 0 }
    }

    fn is_done(&self) -> bool {
        assert!(self.tries < 6 * KILLS, "{} of {} were killed", self.kills, self.tries);
        self.kills == KILLS
    }

    /// Starts a command and kills it, unless it is done before.
    async fn kill(&mut self, home: &Home, args: &[&str]) {
        self.tries += 1;
        let mut child = home.command(args).spawn().unwrap();
        let started = Instant::now();
        // Multiples of the golden ratio leave no moment out, however many there are.
        let part = (f64::from(self.tries) * 0.618_034).fract();
        // The moment itself is what is tried out.
        let ended = tokio::time::timeout(self.undisturbed.mul_f64(part), child.wait()).await;
        match ended {
            Ok(_) => self.undisturbed = started.elapsed(),
            Err(_) => self.kills += 1,
        }
        child.kill().await.unwrap();
    }
}

fn forget(home: &Home) {
    for folder in ["data", "cache", "work/out"] {
        // There is none where the last command was killed early.
        let _ = std::fs::remove_dir_all(home.path(folder));
    }
}

/// Kills a copy into an empty home: a sync, a fetch and a copy.
async fn copies_are_killed(single_files: usize) {
    let scene = Scene::new().await;
    let home = scene.home(single_files);
    let copy = ["files", "copy", "mf6/test@develop/large", "out"];
    let started = Instant::now();
    home.ok(&copy).await;
    let mut killer = Killer::new(started.elapsed());
    while !killer.is_done() {
        // Every other one finds what the one before has left.
        if killer.tries.is_multiple_of(2) {
            forget(&home);
        }
        let _ = std::fs::remove_dir_all(home.path("work/out"));
        killer.kill(&home, &copy).await;
        // Either all of it is there, or nothing.
        if home.path("work/out").exists() {
            assert_eq!(home.files("work/out"), scene.states[0].1);
        }
        scene.check(&home, 0).await;
    }
}

#[tokio::test]
async fn a_killed_copy_of_single_files_leaves_nothing_wrong() {
    copies_are_killed(100).await;
}

#[tokio::test]
async fn a_killed_copy_from_an_archive_leaves_nothing_wrong() {
    copies_are_killed(1).await;
}

#[tokio::test]
async fn a_killed_sync_leaves_the_old_state_or_the_new_one() {
    let scene = Scene::new().await;
    let home = scene.home(1);
    home.ok(&["files", "fetch", "mf6/test@develop/large"]).await;
    scene.repository.branch("develop", &scene.states[1].0);
    let started = Instant::now();
    home.ok(&SYNC).await;
    let mut killer = Killer::new(started.elapsed());
    let mut state = 1;
    while !killer.is_done() {
        let next = 1 - state;
        scene.repository.branch("develop", &scene.states[next].0);
        killer.kill(&home, &SYNC).await;
        let shown = home.ok(&["files", "show", "mf6/test@develop/large", "--json"]).await.json();
        let commit = shown[0]["commit"].as_str().unwrap();
        assert!(scene.states.iter().any(|(known, _)| known == commit), "{commit}");
        assert_eq!(shown[0]["files"].as_array().unwrap().len(), 41);
        scene.check(&home, next).await;
        state = next;
    }
}

#[tokio::test]
async fn a_killed_gc_removes_nothing_that_is_named() {
    let scene = Scene::new().await;
    let home = scene.home(1);
    let gc = ["files", "gc"];
    home.ok(&["files", "fetch", "mf6/test@develop/large"]).await;
    let mut state = 0;
    // Too long at first, so that the first one is not killed.
    let mut killer = Killer::new(callsheet_testkit::PATIENCE);
    while !killer.is_done() {
        state = 1 - state;
        scene.repository.branch("develop", &scene.states[state].0);
        home.ok(&SYNC).await;
        home.ok(&["files", "fetch", "mf6/test@develop/large"]).await;
        killer.kill(&home, &gc).await;
        // All that is named is still there.
        home.ok(&["--offline", "files", "copy", "mf6/test@develop/large", "out"]).await;
        std::fs::remove_dir_all(home.path("work/out")).unwrap();
        scene.check(&home, state).await;
    }
}

#[tokio::test]
async fn ten_who_sync_copy_and_tidy_up_at_once_do_no_harm() {
    let scene = Scene::new().await;
    for single_files in [1, 100] {
        let home = scene.home(single_files);
        let copies: Vec<String> = (0..6).map(|number| format!("out-{number}")).collect();
        let mut commands: Vec<Vec<&str>> = copies
            .iter()
            .map(|folder| vec!["files", "copy", "mf6/test@develop/large", folder])
            .collect();
        commands.push(SYNC.to_vec());
        commands.push([&SYNC[..], &["--force"]].concat());
        commands.push(vec!["files", "gc"]);
        commands.push(vec!["files", "verify"]);
        let running: Vec<_> =
            commands.iter().map(|args| tokio::spawn(finish(home.command(args)))).collect();
        for (args, running) in commands.iter().zip(running) {
            let output = running.await.unwrap();
            assert_eq!(output.code, 0, "{args:?}: {output:?}");
        }
        for folder in &copies {
            assert_eq!(files_of(&home.path("work").join(folder)), scene.states[0].1, "{folder}");
        }
        scene.check(&home, 0).await;
        // Nobody leaves anything behind.
        let left: Vec<_> = home.files("cache/callsheet").into_keys().collect();
        let left: Vec<_> = left
            .iter()
            .filter(|path| path.starts_with("tmp/") || path.starts_with("partial/"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn who_reads_during_a_sync_sees_the_old_state_or_the_new_one() {
    let scene = Scene::new().await;
    let home = scene.home(100);
    home.ok(&SYNC).await;
    let seen = async || {
        let shown = home.ok(&["files", "show", "mf6/test@develop/large"]).await;
        shown.stdout
    };
    let first = seen().await;
    scene.repository.branch("develop", &scene.states[1].0);
    home.ok(&SYNC).await;
    let second = seen().await;
    assert_ne!(first, second);
    let writer = async {
        for round in 0..10 {
            scene.repository.branch("develop", &scene.states[round % 2].0);
            home.ok(&SYNC).await;
        }
    };
    let reader = async {
        for _ in 0..15 {
            let now = seen().await;
            assert!(now == first || now == second, "{now}");
        }
    };
    tokio::join!(writer, reader);
}
