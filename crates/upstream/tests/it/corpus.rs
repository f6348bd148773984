//! The fuzz target's corpus, without the fuzzer.

use std::{fs, path::Path};

#[test]
fn the_corpus_is_survived() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/upstream_answer");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let data = fs::read(entry.unwrap().path()).unwrap();
        callsheet_upstream::replay::fuzz_answer(&data);
        count += 1;
    }
    assert!(count >= 20, "only {count} inputs in {}", folder.display());
}
