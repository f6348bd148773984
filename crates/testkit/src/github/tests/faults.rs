//! What goes wrong on demand, and for whom.

use super::*;
use crate::Gate;

#[tokio::test]
async fn a_delay_holds_back_whom_it_is_for() {
    let (hub, _, _) = hub_with_files().await;
    let slow = format!("{}/Owner/repo/develop/mf6/a/mfsim.nam", hub.raw_url());
    let quick = format!("{}/repos/Owner/repo/commits/develop", hub.api_url());
    let hour = Duration::from_hours(1);
    hub.fault_next(1, GitHubHost::Raw, "", GitHubFault::Delayed(hour));
    tokio::select! {
        biased;
        _ = get(&slow) => panic!("an answer within an hour"),
        () = async {
            hub.wait_for_requests(1, GitHubHost::Raw, "").await;
            assert_eq!(get(&quick).await.status, 200);
        } => {}
    }
    assert_eq!(get(&slow).await.status, 200);
    hub.set_delay(Some(hour));
    tokio::select! {
        biased;
        _ = get(&quick) => panic!("an answer within an hour"),
        () = hub.wait_for_requests(2, GitHubHost::Api, "") => hub.set_delay(None),
    }
    assert_eq!(get(&quick).await.status, 200);
}

#[tokio::test]
async fn faults_meet_whom_they_are_for() {
    let (hub, _, _) = hub_with_files().await;
    let url = format!("{}/Owner/repo/develop/mf6/a/sub/x%20y.dis", hub.raw_url());
    let other = format!("{}/Owner/repo/develop/mf6/a/mfsim.nam", hub.raw_url());
    let prefix = "/Owner/repo/develop/mf6/a/sub/x y";
    hub.fault_next(1, GitHubHost::Raw, prefix, GitHubFault::too_many_requests(7));
    hub.fault_next(1, None, prefix, GitHubFault::status(500));
    hub.fault_next(1, GitHubHost::Web, "", GitHubFault::status(500));
    assert_eq!(get(&other).await.status, 200);
    let refused = get(&url).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("7")));
    assert_eq!(get(&url).await.status, 500);
    assert_eq!(get(&url).await.status, 200);
    hub.fault_after(2, GitHubHost::Raw, "", GitHubFault::status(503));
    for status in [200, 200, 503, 503] {
        assert_eq!(get(&url).await.status, status);
    }
    hub.heal();
    assert_eq!(get(&url).await.status, 200);
    hub.fault_next(1, GitHubHost::Api, "/repos/", GitHubFault::rate_limited(12));
    let limited = get(&format!("{}/repos/Owner/repo/commits/develop", hub.api_url())).await;
    assert_eq!((limited.status, limited.header("x-ratelimit-remaining")), (403, Some("0")));
    assert_eq!(limited.header("x-ratelimit-reset"), Some("12"));
}

#[tokio::test]
async fn bodies_break_off_change_or_never_end() {
    let (hub, repo, commit) = hub_with_files().await;
    let url = format!("{}/Owner/repo/develop/mf6/a/sub/x%20y.dis", hub.raw_url());
    let next = |fault| hub.fault_next(1, None, "", fault);
    let tag = get(&url).await.header("etag").unwrap().to_owned();

    next(GitHubFault::Truncated { after_bytes: 4 });
    let error = ask(&url, &[]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    next(GitHubFault::Truncated { after_bytes: 9 });
    let archive = format!("{}/Owner/repo/legacy.zip/{commit}", hub.url(GitHubHost::Codeload));
    assert!(ask(&archive, &[]).await.is_err());
    next(GitHubFault::Closed);
    assert!(ask(&url, &[]).await.is_err());

    next(GitHubFault::FlippedByte { at: 3 });
    let spoilt = get(&url).await;
    assert_eq!((spoilt.text().as_str(), spoilt.header("etag")), ("0122456789", Some(&*tag)));
    next(GitHubFault::FlippedByte { at: 8 });
    assert_eq!(get_with(&url, &[("Range", "bytes=7-")]).await.text(), "799");
    next(GitHubFault::FlippedByte { at: usize::MAX });
    let spoilt = follow(&archive, &[]).await.body;
    let good = repo.archive(&commit, ArchiveKind::Zip);
    assert_eq!(spoilt.iter().zip(&good).filter(|(a, b)| a != b).count(), 1);

    next(GitHubFault::Html);
    let page = get(&url).await;
    assert_eq!((page.status, page.header("etag")), (200, None));
    assert!(page.text().starts_with("<!DOCTYPE html>"));

    next(GitHubFault::Endless);
    let (address, path) = url["http://".len()..].split_once('/').unwrap();
    let path = format!("/{path}");
    let mut endless = client::open(address.parse().unwrap(), "GET", &path, &[], b"").await.unwrap();
    let mut length = 0;
    while length < 1_000_000 {
        length += endless.try_chunk().await.unwrap().unwrap().len();
    }
}

#[tokio::test]
async fn a_stalled_body_goes_on_when_the_gate_opens() {
    let (hub, _, _) = hub_with_files().await;
    let gate = Gate::new();
    let fault = GitHubFault::Stalled { after_bytes: 4, until: gate.clone() };
    hub.fault_next(2, GitHubHost::Raw, "", fault);
    let url = format!("{}/Owner/repo/develop/mf6/a/sub/x%20y.dis", hub.raw_url());
    let (address, path) = url["http://".len()..].split_once('/').unwrap();
    let (address, path) = (address.parse().unwrap(), format!("/{path}"));
    let mut answer = client::open(address, "GET", &path, &[], b"").await.unwrap();
    let abandoned = client::open(address, "GET", &path, &[], b"").await.unwrap();
    hub.wait_for_stalls(2).await;
    drop(abandoned);
    let mut body = Vec::new();
    while body.len() < 4 {
        body.extend(answer.try_chunk().await.unwrap().unwrap());
    }
    assert_eq!(body, b"0123");
    gate.open();
    while let Some(chunk) = within("the rest", answer.try_chunk()).await.unwrap() {
        body.extend(chunk);
    }
    assert_eq!(body, b"0123456789");
}

#[tokio::test]
async fn redirects_lead_astray() {
    let (hub, repo, _) = hub_with_files().await;
    repo.set_private("s3cret");
    let url = format!("{}/Owner/repo/develop/mf6/a/mfsim.nam", hub.raw_url());
    hub.fault(GitHubHost::Raw, "", GitHubFault::RedirectLoop);
    let reply = get(&url).await;
    assert_eq!((reply.status, reply.header("location")), (302, Some(&*url)));
    hub.heal();
    for to in ["ftp://example.org/x", "file:///etc/passwd"] {
        hub.fault_next(1, GitHubHost::Raw, "", GitHubFault::Redirect(to.to_owned()));
        assert_eq!(get(&url).await.header("location"), Some(to));
    }
    hub.fault_next(1, GitHubHost::Raw, "", GitHubFault::RedirectElsewhere);
    let to = get(&url).await.header("location").unwrap().to_owned();
    assert!(to.starts_with(&hub.url(GitHubHost::Elsewhere)), "{to}");
    assert_eq!(get(&to).await.text(), "begin");
    assert!(hub.unexpected().is_empty());
    assert_eq!(get(&format!("{}/x", hub.url(GitHubHost::Elsewhere))).await.status, 404);
    assert_eq!(hub.unexpected().len(), 1);
}
