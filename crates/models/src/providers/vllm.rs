//! vLLM: the window in which each model is served. An adapter is served in that of its base.

use super::{
    ListError,
    read::{Page, each, items, json},
};
use crate::Facts;
use std::collections::BTreeMap;

pub(super) fn parse(body: &[u8]) -> Result<Page, ListError> {
    let root = json(body)?;
    let mut page = Page::default();
    let mut parents = BTreeMap::new();
    each(&mut page, items(&root, "data")?, "id", |id, model| {
        let mut facts = Facts { context_window: model.count("max_model_len"), ..Facts::default() };
        if let Some(parent) = model.text("parent") {
            parents.insert(id.to_owned(), parent);
        }
        model.keep(&mut facts, &["root", "parent"]);
        Some((id.to_owned(), facts))
    });
    for (id, parent) in parents {
        let served = page.models.get(&parent).and_then(|facts| facts.context_window);
        if let Some(facts) = page.models.get_mut(&id) {
            facts.context_window = facts.context_window.or(served);
        }
    }
    Ok(page)
}
