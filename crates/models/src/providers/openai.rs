//! `OpenAI`: which models there are, since when, until when. Nothing else is said.

use super::{
    ListError,
    read::{Page, each, items, json},
};
use crate::Facts;

pub(super) fn parse(body: &[u8]) -> Result<Page, ListError> {
    let root = json(body)?;
    let mut page = Page::default();
    each(&mut page, items(&root, "data")?, "id", |id, model| {
        let mut facts = Facts {
            released: model.date("created"),
            retires: model.date("shutdown_date"),
            ..Facts::default()
        };
        model.keep(&mut facts, &["owned_by"]);
        Some((id.to_owned(), facts))
    });
    Ok(page)
}
