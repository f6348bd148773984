//! How missing files come: one archive for many, side by side otherwise, going on where it broke off.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, finish, hub, model};
use callsheet_testkit::{ArchiveKind, FakeGitHub, Gate, GitHubFault, GitHubHost, GitHubRequest};
use std::time::{Duration, Instant};

/// A GitHub with a model of one file, of this length, and the path where it is asked for.
async fn large(bytes: usize) -> (FakeGitHub, String, String) {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository(TEST_MODELS);
    let content: String = (0u64..).map(|i| format!("{i} ")).take(bytes).collect();
    let content = content[..bytes].to_owned();
    let id = commit(&repository, &[("mf6/large/mfsim.nam", &content)]);
    repository.branch("develop", &id);
    (hub, format!("/{TEST_MODELS}/{id}/mf6/large/mfsim.nam"), content)
}

fn ranges(requests: &[GitHubRequest]) -> Vec<Option<&str>> {
    requests.iter().map(|request| request.header("range")).collect()
}

#[tokio::test]
async fn few_files_come_one_by_one_and_many_as_one_archive() {
    let hub = hub().await;
    let home = Home::with(&hub, &format!("[files]\nsingle_files = 2\n{SOURCE}"));
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    hub.forget_requests();
    home.ok(&["files", "copy", "mf6/test@develop/simple", "simple"]).await;
    assert_eq!((hub.count(GitHubHost::Raw, ""), hub.request_count()), (2, 2));
    hub.forget_requests();
    let shown = home.ok(&["files", "show", "mf6/test@develop/simple", "--json"]).await.json();
    let commit = shown[0]["commit"].as_str().unwrap().to_owned();
    // Two of its three files are missing, as one came with the other model.
    home.ok(&["files", "copy", "mf6/test@develop/deep", "deep"]).await;
    assert_eq!((hub.count(GitHubHost::Raw, ""), hub.request_count()), (2, 2));

    let other = Home::with(&hub, &format!("[files]\nsingle_files = 2\n{SOURCE}"));
    other.ok(&["files", "sync", "--source", "mf6/test"]).await;
    hub.forget_requests();
    other.ok(&["files", "copy", "mf6/test@develop/deep", "deep"]).await;
    let asked: Vec<_> =
        hub.requests().into_iter().map(|request| (request.host, request.path)).collect();
    let expected = [
        (GitHubHost::Api, format!("/repos/{TEST_MODELS}/tarball/{commit}")),
        (GitHubHost::Codeload, format!("/{TEST_MODELS}/legacy.tar.gz/{commit}")),
    ];
    assert_eq!(asked, expected);
    // What the archive brought of other models is here as well.
    hub.stop().await;
    other.ok(&["files", "copy", "mf6/test@develop/simple", "simple"]).await;
    for home in [&home, &other] {
        assert_eq!(home.files("work/deep"), model(&MODELS, "deep"));
        assert_eq!(home.files("work/simple"), model(&MODELS, "simple"));
    }
}

#[tokio::test]
async fn files_come_side_by_side() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    let gate = Gate::new();
    let stalled = GitHubFault::Stalled { after_bytes: 1, until: gate.clone() };
    hub.fault(GitHubHost::Raw, &format!("/{TEST_MODELS}/"), stalled);
    let command = home.command(&["files", "copy", "mf6/test@develop/deep", "out"]);
    let (copied, ()) = tokio::join!(finish(command), async {
        hub.wait_for_stalls(3).await;
        gate.open();
    });
    assert_eq!(copied.code, 0, "{copied:?}");
    assert_eq!(home.files("work/out"), model(&MODELS, "deep"));
}

#[tokio::test]
async fn no_more_come_at_once_than_the_configuration_says() {
    let hub = hub().await;
    let home = Home::with(&hub, &format!("[files]\nparallel = 1\n{SOURCE}"));
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    hub.forget_requests();
    let gate = Gate::new();
    let stalled = GitHubFault::Stalled { after_bytes: 1, until: gate.clone() };
    hub.fault_next(1, GitHubHost::Raw, &format!("/{TEST_MODELS}/"), stalled);
    let command = home.command(&["files", "copy", "mf6/test@develop/deep", "out"]);
    let (copied, ()) = tokio::join!(finish(command), async {
        hub.wait_for_stalls(1).await;
        assert_eq!(hub.request_count(), 1);
        gate.open();
    });
    assert_eq!(copied.code, 0, "{copied:?}");
    assert_eq!(hub.request_count(), 3);
}

#[tokio::test]
async fn what_broke_off_goes_on_where_it_was() {
    let (hub, path, content) = large(200_000).await;
    let home = Home::with(&hub, SOURCE);
    let truncated = GitHubFault::Truncated { after_bytes: 150_000 };
    hub.fault_next(1, GitHubHost::Raw, &path, truncated);
    home.ok(&["files", "copy", "mf6/test@develop/large", "out"]).await;
    assert_eq!(home.files("work/out")["mfsim.nam"], content.as_bytes());
    let mut requests = hub.requests();
    requests.retain(|request| request.path == path);
    assert_eq!(ranges(&requests), [None, Some("bytes=150000-")]);
    assert!(requests[1].header("if-range").is_some(), "{requests:?}");
}

#[tokio::test]
async fn the_next_command_goes_on_where_the_last_one_gave_up() {
    let (hub, path, content) = large(200_000).await;
    let home = Home::with(&hub, SOURCE);
    hub.fault_next(1, GitHubHost::Raw, &path, GitHubFault::Truncated { after_bytes: 150_000 });
    hub.fault(GitHubHost::Raw, &path, GitHubFault::Closed);
    let said = home.fails(1, &["files", "copy", "mf6/test@develop/large", "out"]).await;
    let url = format!("{}{path}", hub.raw_url());
    let expected = format!(
        "error: 'mf6/test@develop/large/mfsim.nam' could not be fetched: {url} cannot be reached"
    );
    assert!(said.starts_with(&expected), "{said}");
    assert!(!home.path("work/out").exists());
    let info = home.ok(&["files", "info"]).await.stdout;
    assert!(info.contains("  1 unfinished downloads, "), "{info}");
    hub.heal();
    hub.forget_requests();
    home.ok(&["files", "copy", "mf6/test@develop/large", "out"]).await;
    assert_eq!(home.files("work/out")["mfsim.nam"], content.as_bytes());
    assert_eq!(ranges(&hub.requests()), [Some("bytes=150000-")]);
    let info = home.ok(&["files", "info"]).await.stdout;
    assert!(!info.contains("unfinished"), "{info}");
}

#[tokio::test]
async fn the_next_command_goes_on_where_one_was_killed() {
    let (hub, path, content) = large(200_000).await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    let stalled = GitHubFault::Stalled { after_bytes: 150_000, until: Gate::new() };
    hub.fault_next(1, GitHubHost::Raw, &path, stalled);
    let mut child =
        home.command(&["files", "copy", "mf6/test@develop/large", "out"]).spawn().unwrap();
    hub.wait_for_stalls(1).await;
    let written = || home.files("cache/callsheet/partial").values().any(|f| f.len() == 150_000);
    let deadline = Instant::now() + callsheet_testkit::PATIENCE;
    while !written() {
        assert!(Instant::now() < deadline, "nothing was written");
        // Nothing in another process could wake this task.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().await.unwrap();
    assert!(!home.path("work/out").exists());
    hub.forget_requests();
    home.ok(&["files", "copy", "mf6/test@develop/large", "out"]).await;
    assert_eq!(home.files("work/out")["mfsim.nam"], content.as_bytes());
    assert_eq!(ranges(&hub.requests()), [Some("bytes=150000-")]);
}

#[tokio::test]
async fn an_archive_that_breaks_off_goes_on_or_begins_anew() {
    for has_ranges in [true, false] {
        let hub = hub().await;
        hub.set_ranges(GitHubHost::Codeload, has_ranges);
        let home = Home::with(&hub, &format!("[files]\nsingle_files = 1\n{SOURCE}"));
        let codeload = format!("/{TEST_MODELS}/legacy.tar.gz/");
        let truncated = GitHubFault::Truncated { after_bytes: 100 };
        hub.fault_next(1, GitHubHost::Codeload, &codeload, truncated);
        home.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
        assert_eq!(home.files("work/out"), model(&MODELS, "deep"));
        let mut requests = hub.requests();
        requests.retain(|request| request.host == GitHubHost::Codeload);
        let second = has_ranges.then_some("bytes=100-");
        assert_eq!(ranges(&requests), [None, second]);
    }
}

#[tokio::test]
async fn a_host_that_asks_for_a_pause_is_given_it() {
    let (hub, path, content) = large(100).await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    hub.fault_next(1, GitHubHost::Raw, &path, GitHubFault::too_many_requests(1));
    let started = Instant::now();
    home.ok(&["files", "copy", "mf6/test@develop/large", "out"]).await;
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(hub.count(GitHubHost::Raw, &path), 2);
    assert_eq!(home.files("work/out")["mfsim.nam"], content.as_bytes());
}

#[tokio::test]
async fn a_host_that_asks_for_too_long_a_pause_is_an_error() {
    let (hub, path, _) = large(100).await;
    let home = Home::with(&hub, SOURCE);
    hub.fault(GitHubHost::Raw, &path, GitHubFault::too_many_requests(86_400));
    let said = home.fails(1, &["files", "copy", "mf6/test@develop/large", "out"]).await;
    assert!(said.contains(&format!("{}{path} answered 429", hub.raw_url())), "{said}");
    assert!(said.contains("hint: wait, and try again\n"), "{said}");
    assert_eq!(hub.count(GitHubHost::Raw, &path), 1);
}

#[tokio::test]
async fn what_an_archive_leaves_out_is_fetched_alone() {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let id = commit(&repository, &MODELS);
    repository.branch("develop", &id);
    let less = repository.tree(&id).without("mf6/deep/data");
    let packed = less.archive(ArchiveKind::TarGz, "MODFLOW-ORG-modflow6-testmodels-1234567");
    repository.set_archive(&id, ArchiveKind::TarGz, packed);
    let home = Home::with(&hub, &format!("[files]\nsingle_files = 1\n{SOURCE}"));
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    hub.forget_requests();
    home.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "deep"));
    let raw: Vec<_> = hub.requests().into_iter().filter(|r| r.host == GitHubHost::Raw).collect();
    assert_eq!(raw.len(), 1, "{raw:?}");
    assert!(raw[0].path.ends_with("/mf6/deep/data/model.npf"), "{raw:?}");
}

#[tokio::test]
async fn one_models_damage_in_an_archive_is_not_anothers() {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let id = commit(&repository, &MODELS);
    repository.branch("develop", &id);
    let changed = repository.tree(&id).file("mf6/simple/model.dis", "another layer");
    let packed = changed.archive(ArchiveKind::TarGz, "MODFLOW-ORG-modflow6-testmodels-1234567");
    repository.set_archive(&id, ArchiveKind::TarGz, packed);
    let home = Home::with(&hub, &format!("[files]\nsingle_files = 1\n{SOURCE}"));
    home.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "deep"));
    // The damaged one alone is asked for where it is not packed.
    home.ok(&["files", "copy", "mf6/test@develop/simple", "simple"]).await;
    assert_eq!(home.files("work/simple"), model(&MODELS, "simple"));
}

#[tokio::test]
async fn a_host_that_fails_for_a_moment_is_asked_again() {
    let (hub, path, content) = large(100).await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    hub.fault_next(1, GitHubHost::Raw, &path, GitHubFault::status(503));
    hub.fault_next(1, GitHubHost::Raw, &path, GitHubFault::Closed);
    home.ok(&["files", "copy", "mf6/test@develop/large", "out"]).await;
    assert_eq!(hub.count(GitHubHost::Raw, &path), 3);
    assert_eq!(home.files("work/out")["mfsim.nam"], content.as_bytes());
}

#[tokio::test]
async fn where_one_file_cannot_be_had_nothing_is_copied() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    let listed = home.ok(&["files", "list", "--json"]).await.json();
    let commit = listed["registries"][0]["commit"].as_str().unwrap();
    let gone = format!("/{TEST_MODELS}/{commit}/mf6/deep/data/model.npf");
    hub.fault(GitHubHost::Raw, &gone, GitHubFault::status(404));
    let said = home.fails(1, &["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(
        said,
        format!(
            "error: 'deep/data/model.npf' of 'mf6/test@develop' is not there: looked for at {}{gone}\n",
            hub.raw_url()
        )
    );
    assert!(!home.path("work/out").exists());
    hub.heal();
    home.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "deep"));
}
