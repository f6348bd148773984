//! Tokens: they go to the hosts that are configured for them, and to no other.

use crate::{
    files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, hub, model, registry_of},
    server,
};
use callsheet_testkit::{ArchiveKind, FakeGitHub, FakeRepository, GitHubFault, GitHubHost};
use std::collections::BTreeSet;

const TOKEN: &str = "ghp_of_the_user";
const OTHER: &str = "ghp_of_one_source";

fn bearer(token: &str) -> BTreeSet<String> {
    BTreeSet::from([format!("Bearer {token}")])
}

/// Says which hosts were sent which tokens; and that nobody else was.
fn were_sent(hub: &FakeGitHub, expected: &[(GitHubHost, &str)]) {
    for host in [
        GitHubHost::Web,
        GitHubHost::Raw,
        GitHubHost::Api,
        GitHubHost::Codeload,
        GitHubHost::Objects,
        GitHubHost::Elsewhere,
    ] {
        let token = expected.iter().find(|(known, _)| *known == host);
        let expected = token.map(|(_, token)| bearer(token)).unwrap_or_default();
        assert_eq!(hub.authorizations(host), expected, "{host:?}");
    }
}

/// A private repository with a branch and a release.
async fn private(token: &str) -> (FakeGitHub, FakeRepository) {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let zip = repository.archive(&commit(&repository, &MODELS), ArchiveKind::Zip);
    let registry = registry_of(&MODELS).into_bytes();
    repository.release("v1", [("models.toml", registry), ("mf6.zip", zip.to_vec())]);
    repository.set_private(token);
    (hub, repository)
}

/// Everything that goes over the network: registries, single files, archives, release assets.
async fn everything(home: &Home) {
    for (address, out) in [("mf6/test@develop/simple", "single"), ("mf6/test@v1/simple", "asset")] {
        home.ok(&["files", "copy", address, out]).await;
        assert_eq!(home.files(&format!("work/{out}")), model(&MODELS, "simple"));
        home.ok(&["files", "clear", "--yes"]).await;
    }
    home.ok(&[
        "files",
        "index",
        "--repo",
        TEST_MODELS,
        "--ref",
        "develop",
        "--name",
        "x",
        "--output",
        "made",
    ])
    .await;
}

#[tokio::test]
async fn a_private_repository_is_read_with_the_token_and_hidden_without() {
    let (hub, _repository) = private(TOKEN).await;
    let home = Home::with(&hub, SOURCE).env("GITHUB_TOKEN", TOKEN);
    everything(&home).await;
    let own = [GitHubHost::Web, GitHubHost::Raw, GitHubHost::Api].map(|host| (host, TOKEN));
    were_sent(&hub, &own);
    assert!(hub.count(GitHubHost::Codeload, "/") > 0 && hub.count(GitHubHost::Objects, "/") > 0);
    assert_eq!(hub.unexpected().len(), 0, "{:?}", hub.unexpected());
    hub.forget_requests();
    let home = Home::with(&hub, SOURCE);
    let failed = home.fails(1, &["files", "sync", "--source", "mf6/test"]).await;
    assert_eq!(
        failed,
        "error: mf6/test@develop: Registry discovery failed, ref 'mf6/test@develop' does not exist\nhint: a private repository is seen only with a token: GITHUB_TOKEN, or the source's `token_env`\n"
    );
    were_sent(&hub, &[]);
}

#[tokio::test]
async fn archives_of_a_private_repository_come_without_the_token_at_their_second_host() {
    let (hub, repository) = private(TOKEN).await;
    repository.branch("develop", &commit(&repository, &MODELS));
    let home = Home::with(&hub, &format!("[files]\nsingle_files = 1\n{SOURCE}"))
        .env("GITHUB_TOKEN", TOKEN);
    home.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "deep"));
    assert_eq!(hub.count(GitHubHost::Codeload, "/"), 1);
    were_sent(&hub, &[(GitHubHost::Raw, TOKEN), (GitHubHost::Api, TOKEN)]);
}

#[tokio::test]
async fn a_redirect_to_a_strange_host_leaves_the_token_behind() {
    let (hub, _repository) = private(TOKEN).await;
    for host in [GitHubHost::Web, GitHubHost::Raw, GitHubHost::Api] {
        hub.fault(host, "/", GitHubFault::RedirectElsewhere);
    }
    let home = Home::with(&hub, SOURCE).env("GITHUB_TOKEN", TOKEN);
    everything(&home).await;
    assert!(hub.count(GitHubHost::Elsewhere, "/") > 5);
    let own = [GitHubHost::Web, GitHubHost::Raw, GitHubHost::Api].map(|host| (host, TOKEN));
    were_sent(&hub, &own);
}

#[tokio::test]
async fn a_sources_own_token_goes_before_the_users() {
    let (hub, _repository) = private(OTHER).await;
    let config = format!("{SOURCE}token_env = \"MODELS_TOKEN\"\n");
    let home = Home::with(&hub, &config).env("GITHUB_TOKEN", TOKEN).env("MODELS_TOKEN", OTHER);
    home.ok(&["files", "copy", "mf6/test@develop/simple", "out"]).await;
    home.ok(&["files", "copy", "mf6/test@v1/deep", "deep"]).await;
    let own = [GitHubHost::Web, GitHubHost::Raw, GitHubHost::Api].map(|host| (host, OTHER));
    were_sent(&hub, &own);
    // The other sources are still asked with the user's.
    hub.forget_requests();
    assert_eq!(home.run(&["files", "sync", "--source", "mf6/example"]).await.code, 1);
    were_sent(&hub, &[(GitHubHost::Api, TOKEN)]);
    // From a file, likewise.
    let file = home.path("token");
    std::fs::write(&file, format!("{OTHER}\n")).unwrap();
    let config = format!("{SOURCE}token_file = \"{}\"\n", file.display());
    let other = Home::with(&hub, &config).env("GITHUB_TOKEN", TOKEN);
    hub.forget_requests();
    other.ok(&["files", "sync", "--source", "mf6/test"]).await;
    were_sent(&hub, &[(GitHubHost::Api, OTHER), (GitHubHost::Raw, OTHER)]);
    // One that is missing is no reason to try without.
    hub.forget_requests();
    let config = format!("{SOURCE}token_env = \"MODELS_TOKEN\"\n");
    let without = Home::with(&hub, &config).env("GITHUB_TOKEN", TOKEN);
    let failed = without.fails(1, &["files", "sync", "--source", "mf6/test"]).await;
    assert!(failed.contains("MODELS_TOKEN"), "{failed}");
    assert_eq!(hub.request_count(), 0);
}

#[tokio::test]
async fn a_source_with_hosts_of_its_own_never_gets_the_users_token() {
    let github = FakeGitHub::start().await;
    let (enterprise, _repository) = private(OTHER).await;
    let hosts = format!(
        "{SOURCE}web = \"{}\"\nraw = \"{}/\"\napi = \"{}\"\n",
        enterprise.web_url(),
        enterprise.raw_url(),
        enterprise.api_url()
    );
    let home = Home::with(&github, &hosts).env("GITHUB_TOKEN", TOKEN);
    assert_eq!(home.run(&["files", "sync", "--source", "mf6/test"]).await.code, 1);
    were_sent(&enterprise, &[]);
    assert!(enterprise.request_count() > 0);
    let home = Home::with(&github, &format!("{hosts}token_env = \"MODELS_TOKEN\"\n"))
        .env("GITHUB_TOKEN", TOKEN)
        .env("MODELS_TOKEN", OTHER);
    home.ok(&["files", "copy", "mf6/test@develop/simple", "out"]).await;
    home.ok(&["files", "copy", "mf6/test@v1/deep", "deep"]).await;
    let own = [GitHubHost::Web, GitHubHost::Raw, GitHubHost::Api].map(|host| (host, OTHER));
    were_sent(&enterprise, &own);
    assert_eq!(github.request_count(), 0);
}

#[tokio::test]
async fn a_source_of_another_kind_gets_only_its_own_token() {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let made = commit(&repository, &MODELS);
    let root = format!("{}/{TEST_MODELS}/{made}", hub.raw_url());
    let config = format!(
        "[sources.web]\ntype = \"http\"\nurl = \"{root}\"\nrefs = [\"now\"]\nregistry_path = \".registry\"\npath = \"mf6\"\n"
    );
    let home = Home::with(&hub, &config).env("GITHUB_TOKEN", TOKEN);
    home.ok(&["files", "copy", "web@now/mf6/test/simple", "out"]).await;
    were_sent(&hub, &[]);
    let home = Home::with(&hub, &format!("{config}token_env = \"MODELS_TOKEN\"\n"))
        .env("GITHUB_TOKEN", TOKEN)
        .env("MODELS_TOKEN", OTHER);
    hub.fault(GitHubHost::Raw, "/", GitHubFault::RedirectElsewhere);
    home.ok(&["files", "copy", "web@now/mf6/test/simple", "out"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "simple"));
    were_sent(&hub, &[(GitHubHost::Raw, OTHER)]);
    assert!(hub.count(GitHubHost::Elsewhere, "/") > 2);
}

#[tokio::test]
async fn no_token_is_ever_printed_or_kept() {
    let (hub, _repository) = private(TOKEN).await;
    let home =
        Home::with(&hub, SOURCE).env("GITHUB_TOKEN", TOKEN).env("CALLSHEET_LOG_LEVEL", "trace");
    let synced = home.ok(&["files", "sync", "--source", "mf6/test", "--json"]).await;
    home.ok(&["files", "copy", "mf6/test@v1/simple", "out"]).await;
    hub.fault(GitHubHost::Api, "/", GitHubFault::status(500));
    let failed = home.run(&["files", "sync", "--source", "mf6/test"]).await;
    assert_eq!(failed.code, 1);
    for text in [&synced.stdout, &synced.stderr, &failed.stdout, &failed.stderr] {
        assert!(!text.contains(TOKEN), "{text}");
    }
    for below in ["data", "cache", "config", "work"] {
        for (path, content) in home.files(below) {
            let holds_it = content.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes());
            assert!(!holds_it, "{below}/{path}");
        }
    }
    let config = format!("[log]\nlevel = \"trace\"\n{SOURCE}{}", hub.config());
    let mut daemon = server(&config).env("GITHUB_TOKEN", TOKEN).start().await;
    assert_eq!(daemon.cli(["files", "sync", "--source", "mf6/test"]).await.code, 1);
    hub.heal();
    assert_eq!(daemon.cli(["files", "sync", "--source", "mf6/test"]).await.code, 0);
    let log = daemon.stop().await;
    assert!(log.contains("trying again"), "{log}");
    assert!(!log.contains(TOKEN), "{log}");
}
