//! What has to hold for any bytes, for the fuzz target and for the test that replays its corpus.
//!
//! Not part of the interface: the fuzz targets live outside the crate and need a way in.

use crate::{
    CardRow, Project, Store, StoreError, StoreUrl, Stored, check_export,
    transfer::{sealed, whole_lines},
};
use callsheet_types::EntryId;

/// Reads an export. What is whole is copied as it came; and what is wrong in it, although its lines
/// are those that were written, is refused by a store, which is as empty then as it was.
pub fn export(data: &[u8]) {
    let mut copy = Vec::new();
    if check_export(&mut &*data, &mut copy).is_ok() {
        assert!(data.starts_with(&copy), "the copy is another");
    }
    // Hardly any input has digests that fit.
    let Some(sealed) = sealed(whole_lines(data)) else { return };
    let counts = check_export(&mut &*sealed, &mut std::io::sink()).expect("it was sealed");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let url = StoreUrl::Sqlite(folder.path().join("catalog.db"));
    let store = Store::open(&url).expect("a store can be made");
    match store.import(&mut &*sealed, &Nothing) {
        Ok(imported) => assert_eq!(imported, counts),
        Err(StoreError::Database { place, cause }) => panic!("{place}: {cause}"),
        Err(_) => {
            let stats = store.stats().expect("it can be read");
            assert_eq!((stats.cursor, stats.revisions), (0, 0), "it is not as it was");
        }
    }
}

/// Makes no rows.
struct Nothing;

impl Project for Nothing {
    fn covers(&self, _: &EntryId) -> bool {
        false
    }

    fn row(&self, _: &EntryId, _: &[Stored]) -> Option<CardRow> {
        None
    }
}
