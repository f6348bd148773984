//! Entries: what is published, changed, withdrawn, restored, refused.

use crate::support::{entry, model, on_both, part, publish, source, whole};
use callsheet_types::plan::{Action, Status};
use serde_json::json;

#[test]
fn what_is_published_can_be_read() {
    on_both(|database| {
        let store = database.open();
        let one = entry("a:one", &json!({"name": "One"}));
        let plan = publish(&store, &whole("import/x", [one.clone()]));
        assert_eq!(plan.count(Action::Added), 1);
        let heads = store.entry(&model("a:one")).unwrap();
        assert_eq!(heads.len(), 1);
        assert_eq!(heads[0].body, one.body);
        assert_eq!(heads[0].revision, 1);
        assert_eq!(heads[0].status, Status::Active);
        assert_eq!(store.entries(&one.id.kind).unwrap(), heads);
        assert_eq!(store.cursor().unwrap(), 1);
        let changes = store.changes(0, None, 10).unwrap();
        assert_eq!(changes.changes.len(), 1);
        assert_eq!(changes.changes[0].after, Some(one.body));
        assert_eq!(store.cards_of(&[model("a:one")]).unwrap()[0].name, "One");
        let sources = store.sources().unwrap();
        assert_eq!(sources[0].name, source("import/x"));
        assert_eq!(sources[0].entries, 1);
        publish(&store, &part("pin/user", [entry("a:one", &json!({"name": "Uno"}))], []));
        assert_eq!(store.cards_of(&[model("a:one")]).unwrap()[0].name, "Uno");
        publish(&store, &part("pin/user", [], [model("a:one")]));
        assert_eq!(store.cards_of(&[model("a:one")]).unwrap()[0].name, "One");
        assert_eq!(store.entry(&model("a:one")).unwrap()[1].status, Status::Removed);
    });
}
