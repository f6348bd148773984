//! The fuzz targets' corpora, without the fuzzer.

use callsheet_models::formats::{Format, replay};
use std::{fs, path::Path};

fn replay(target: &str, at_least: usize, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        check(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= at_least, "only {count} inputs in {}", folder.display());
}

#[test]
fn the_corpora_are_survived() {
    replay("registry_file", 8, replay::registry_file);
    replay("models_dev", 6, replay::models_dev);
    replay("openrouter", 5, |data| replay::catalog(Format::OpenRouter, data));
    replay("litellm", 5, |data| replay::catalog(Format::LiteLlm, data));
    replay("callsheet", 5, |data| replay::catalog(Format::Callsheet, data));
    replay("provider_list", 10, replay::provider_list);
}
