//! A model's card may say which files belong to it.

use crate::files_scene::{Home, SOURCE, hub};

#[tokio::test]
async fn a_card_links_a_file_set_that_can_be_copied() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.write("work/cards.json", r#"{"data": [{"id": "acme/rocket", "name": "Rocket"}]}"#);
    home.ok(&["model", "import", "cards.json", "--format", "openrouter"]).await;
    let address = "mf6/test@develop/simple";
    home.ok(&["model", "set", "openrouter:acme/rocket", &format!("file_set={address}")]).await;
    let shown = home.ok(&["model", "show", "acme/rocket"]).await;
    assert!(
        shown.stdout.lines().any(|line| line.contains("files") && line.ends_with(address)),
        "{shown:?}"
    );
    let card = home.ok(&["model", "show", "acme/rocket", "--json"]).await.json();
    let linked = card.to_string();
    assert!(linked.contains(&format!("\"file_set\":\"{address}\"")), "{linked}");
    home.ok(&["files", "copy", address, "out"]).await;
    assert_eq!(home.files("work/out").len(), 2);
    let why = home.ok(&["model", "why", "acme/rocket", "file_set"]).await;
    assert!(why.stdout.contains("pin"), "{why:?}");
}
