//! The fuzz target's corpus, without the fuzzer.

use callsheet_store::{check_export, replay};
use std::{fs, path::Path};

#[test]
fn the_corpus_is_survived() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/store_export");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        replay::export(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 6, "only {count} inputs in {}", folder.display());
    // The others are made of this one.
    let whole = fs::read(folder.join("whole")).unwrap();
    let counts = check_export(&mut &*whole, &mut std::io::sink()).unwrap();
    assert_eq!((counts.entries, counts.revisions, counts.changes), (3, 5, 5));
}
