//! What GitHub is asked, and what is made of its answers.

use callsheet_sources::{
    FetchError, GitHub, GitHubHosts, GitHubTokens, Http, HttpSettings, RefKind, Release, Resolved,
};
use callsheet_testkit::{Behaviour, FakeBackend, within};
use callsheet_types::{Digest, GitRef, Repository, Secret};
use std::time::Duration;

const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";

struct Hub {
    web: FakeBackend,
    raw: FakeBackend,
    api: FakeBackend,
}

impl Hub {
    async fn start() -> Self {
        let (web, raw) = (FakeBackend::start().await, FakeBackend::start().await);
        Self { web, raw, api: FakeBackend::start().await }
    }

    fn client(&self, token: Option<&str>) -> GitHub {
        let settings =
            HttpSettings { first_pause: Duration::from_millis(1), ..HttpSettings::default() };
        let hosts = GitHubHosts {
            web: self.web.url(),
            raw: format!("{}/", self.raw.url()),
            api: format!("{}/api/v3", self.api.url()),
        };
        let token = token.map(|token| Secret::new(token, "TEST").unwrap());
        GitHub::new(Http::new(settings), hosts, GitHubTokens::all(token.as_ref()))
    }

    fn paths(&self) -> Vec<String> {
        self.api.requests().into_iter().map(|request| request.path).collect()
    }

    async fn resolve(&self, reference: &str) -> Result<Option<(String, RefKind)>, FetchError> {
        let resolve = self.client(None);
        let resolve = within("a ref", resolve.resolve(&repository(), &git_ref(reference))).await?;
        Ok(resolve.map(|Resolved { commit, kind }| (commit, kind)))
    }

    async fn release(&self) -> Result<Option<Release>, FetchError> {
        within("a release", self.client(None).release(&repository(), &git_ref("v/1"))).await
    }
}

fn repository() -> Repository {
    Repository::new("o/r").unwrap()
}

fn git_ref(text: &str) -> GitRef {
    GitRef::new(text).unwrap()
}

fn a_ref(name: &str, kind: &str, sha: &str) -> Behaviour {
    let object = format!("{{\"type\":\"{kind}\",\"sha\":\"{sha}\"}}");
    Behaviour::body(&format!("{{\"ref\":\"refs/{name}\",\"object\":{object}}}"))
}

fn a_commit(sha: &str) -> Behaviour {
    Behaviour::body(&format!("{{\"sha\":\"{sha}\",\"commit\":{{}}}}"))
}

fn with_headers(code: u16, headers: &[(&str, &str)], body: &str) -> Behaviour {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Behaviour::Status { code, headers, body: body.to_owned() }
}

#[tokio::test]
async fn a_release_has_its_assets_by_name() {
    let hub = Hub::start().await;
    let digest = Digest::of(b"x");
    hub.api.script_next(
        1,
        Behaviour::body(&format!(
            r#"{{"id":7,"tag_name":"v/1","draft":false,"assets":[
                {{"id":2,"name":"z.zip","size":9,"digest":"{digest}","updated_at":"2026-01-01T00:00:00Z"}},
                {{"id":1,"name":"models.toml","size":3,"digest":null}},
                {{"id":3,"name":"n.zip","digest":"sha512:00"}}]}}"#
        )),
    );
    let release = hub.release().await.unwrap().unwrap();
    assert_eq!((release.id, release.tag.as_str()), (7, "v/1"));
    let assets: Vec<_> = release.assets.iter().map(|a| (a.name.as_str(), a.id)).collect();
    assert_eq!(assets, [("models.toml", 1), ("n.zip", 3), ("z.zip", 2)]);
    let last = &release.assets[2];
    assert_eq!((last.digest, last.size_bytes), (Some(digest), Some(9)));
    assert_eq!(last.updated_at.as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(release.assets[1].digest, None);

    hub.api.script_next(1, Behaviour::status(404));
    assert_eq!(hub.release().await.unwrap(), None);
    let path = "/api/v3/repos/o/r/releases/tags/v/1";
    assert_eq!(hub.paths(), [path, path]);
    let request = hub.api.requests().swap_remove(0);
    assert_eq!(request.header("accept"), Some("application/vnd.github+json"));
    assert_eq!(request.header("authorization"), None);
}

#[tokio::test]
async fn a_ref_is_a_commit_before_a_tag_before_a_branch() {
    let hub = Hub::start().await;
    hub.api.script_next(1, a_commit(ONE));
    assert_eq!(hub.resolve("1111").await.unwrap(), Some((ONE.to_owned(), RefKind::Commit)));
    assert_eq!(hub.paths(), ["/api/v3/repos/o/r/commits/1111"]);

    // It looks like a commit, and is a branch: GitHub answers that too.
    let hub = Hub::start().await;
    hub.api.script_next(1, a_commit(TWO));
    hub.api.script_next(1, Behaviour::status(404));
    hub.api.script_next(1, a_ref("heads/fade", "commit", TWO));
    assert_eq!(hub.resolve("fade").await.unwrap(), Some((TWO.to_owned(), RefKind::Branch)));
    let paths = ["commits/fade", "git/ref/tags/fade", "git/ref/heads/fade"];
    assert_eq!(hub.paths(), paths.map(|path| format!("/api/v3/repos/o/r/{path}")));

    for nothing in [404, 422, 409] {
        let hub = Hub::start().await;
        hub.api.script_next(1, Behaviour::status(nothing));
        hub.api.script_next(1, a_ref("tags/abcd", "commit", TWO));
        assert_eq!(hub.resolve("abcd").await.unwrap(), Some((TWO.to_owned(), RefKind::Tag)));
    }

    let hub = Hub::start().await;
    hub.api.script(Behaviour::status(404));
    assert_eq!(hub.resolve("nowhere").await.unwrap(), None);
    assert_eq!(hub.api.request_count(), 2);
}

#[tokio::test]
async fn refs_keep_their_slashes_and_annotated_tags_have_their_commit() {
    let hub = Hub::start().await;
    hub.api.script_next(1, a_ref("tags/v/1 ü".replace(' ', "+").as_str(), "tag", ONE));
    hub.api.script_next(1, a_commit(TWO));
    assert_eq!(hub.resolve("v/1+ü").await.unwrap(), Some((TWO.to_owned(), RefKind::Tag)));
    let paths = ["git/ref/tags/v/1%2B%C3%BC", "commits/tags/v/1%2B%C3%BC"];
    assert_eq!(hub.paths(), paths.map(|path| format!("/api/v3/repos/o/r/{path}")));

    // Only what is named exactly so counts, and a tag of a file has no commit.
    let hub = Hub::start().await;
    hub.api.script_next(1, a_ref("tags/feature/x-old", "commit", ONE));
    hub.api.script_next(1, a_ref("heads/feature/x", "commit", TWO));
    assert_eq!(hub.resolve("feature/x").await.unwrap(), Some((TWO.to_owned(), RefKind::Branch)));
    hub.api.script_next(1, a_ref("tags/blob", "blob", ONE));
    hub.api.script_next(1, Behaviour::status(422));
    assert_eq!(hub.resolve("blob").await.unwrap(), None);
}

#[tokio::test]
async fn files_assets_and_archives_are_asked_for_with_the_token_at_home() {
    let hub = Hub::start().await;
    let elsewhere = FakeBackend::start().await;
    let client = hub.client(Some("ghp_123"));
    let repository = repository();
    let there = format!("{}/object?sig=1", elsewhere.url());
    for server in [&hub.web, &hub.api] {
        server.script(with_headers(302, &[("Location", &there)], ""));
    }
    hub.raw.script(Behaviour::body("x"));
    elsewhere.script(Behaviour::body("x"));
    let requests = [
        (client.file(&repository, ONE, "mf6/a b/f#1.dis"), &hub.raw),
        (client.asset(&repository, &git_ref("v/1"), "x y.zip"), &hub.web),
        (client.archive(&repository, ONE), &hub.api),
    ];
    for (request, server) in &requests {
        assert!(within("an answer", client.get(request)).await.unwrap().is_some());
        let asked = server.requests();
        assert_eq!(asked[0].header("authorization"), Some("Bearer ghp_123"));
        assert!(!format!("{request:?}").contains("ghp_"));
    }
    let folder = tempfile::tempdir().unwrap();
    let partial = folder.path().join("part");
    let download = client.http().download(&requests[2].0, &partial, &|_, _| {});
    within("a download", download).await.unwrap();
    assert_eq!(hub.raw.requests()[0].path, format!("/o/r/{ONE}/mf6/a%20b/f%231.dis"));
    assert_eq!(hub.web.requests()[0].path, "/o/r/releases/download/v/1/x%20y.zip");
    assert_eq!(hub.api.requests()[0].path, format!("/api/v3/repos/o/r/tarball/{ONE}"));
    assert_eq!(elsewhere.request_count(), 3);
    for request in elsewhere.requests() {
        assert_eq!(request.header("authorization"), None);
    }

    hub.raw.script(Behaviour::status(404));
    assert!(within("an answer", client.get(&requests[0].0)).await.unwrap().is_none());
    hub.raw.script(Behaviour::status(403));
    let error = within("an answer", client.get(&requests[0].0)).await.unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 403, .. }), "{error:?}");
}

#[tokio::test]
async fn what_makes_no_sense_is_said_with_its_address() {
    let hub = Hub::start().await;
    for (body, is_page) in [
        ("<html>log in</html>", true),
        ("<html>log in</html>", false),
        ("[]", false),
        ("{\"id\":1}", false),
        ("", false),
    ] {
        let kind = if is_page { "text/html" } else { "application/json" };
        hub.api.script(with_headers(200, &[("Content-Type", kind)], body));
        for error in [hub.release().await.unwrap_err(), hub.resolve("develop").await.unwrap_err()] {
            let is_right = if is_page {
                matches!(error, FetchError::WebPage { .. })
            } else {
                matches!(error, FetchError::Unusable { .. })
            };
            assert!(is_right, "{error:?}");
            assert!(error.to_string().contains("/api/v3/repos/o/r/"), "{error}");
        }
    }
    hub.api.script(a_ref("tags/develop", "commit", "../../x"));
    let error = hub.resolve("develop").await.unwrap_err();
    assert!(matches!(error, FetchError::Unusable { .. }), "{error:?}");
    let client = hub.client(None);
    hub.raw.script(with_headers(200, &[("Content-Type", "text/html")], "<html>"));
    let page = client.file(&repository(), ONE, "docs/index.html");
    assert!(within("a page", client.get(&page)).await.unwrap().is_some());
    let file = client.file(&repository(), ONE, "models.toml");
    let error = within("a file", client.get(&file)).await.unwrap_err();
    assert!(matches!(error, FetchError::WebPage { .. }), "{error:?}");
}

#[tokio::test]
async fn a_used_up_limit_says_what_helps() {
    for code in [403, 429] {
        let hub = Hub::start().await;
        let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "4102444800")];
        hub.api.script(with_headers(code, &headers, "{\"message\":\"API rate limit exceeded\"}"));
        let explained = hub.release().await.unwrap_err().explain();
        assert!(explained.contains("2100-01-01T00:00:00Z"), "{explained}");
        assert!(
            explained.contains("GITHUB_TOKEN") && explained.contains("/tags/v/1"),
            "{explained}"
        );
        assert_eq!(hub.api.request_count(), 1);
        // It does not help whoever has one.
        let client = hub.client(Some("ghp_123"));
        let error =
            within("a ref", client.resolve(&repository(), &git_ref("x"))).await.unwrap_err();
        assert!(matches!(error, FetchError::RateLimited { token_variable: None, .. }), "{error:?}");
        assert!(!error.explain().contains("GITHUB_TOKEN"), "{}", error.explain());
    }
    // What is over in a moment is waited for.
    let hub = Hub::start().await;
    let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000000000")];
    hub.api.script_next(1, with_headers(403, &headers, ""));
    hub.api.script_next(1, with_headers(403, &[("Retry-After", "0")], ""));
    hub.api.script_next(1, Behaviour::status(404));
    assert_eq!(hub.release().await.unwrap(), None);
    assert_eq!(hub.api.request_count(), 3);
}
