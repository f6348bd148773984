//! Catalogs as others publish them, where a copy lies beside the project.

#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use crate::formats::price;
use callsheet_models::{
    Amount, Charge,
    formats::{self, Catalog, Exported, Format},
};
use callsheet_sources::Tree;
use std::{collections::BTreeMap, path::Path};

fn tree(name: &str) -> Option<Tree> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(Tree::read_path(&path).unwrap())
}

fn exported(catalog: &Catalog) -> Exported {
    Exported {
        models: catalog.models.clone(),
        canonical: catalog.canonical.clone(),
        presets: catalog.presets.clone(),
        as_of: catalog.as_of,
    }
}

fn again(format: Format, catalog: &Catalog) -> Catalog {
    let written = formats::write(format, &exported(catalog));
    formats::read(format, &BTreeMap::from([("a.json".to_owned(), written.bytes)])).unwrap()
}

fn count(catalog: &Catalog, message: &str) -> usize {
    let groups = formats::group(&catalog.problems);
    groups.iter().find(|group| group.message == message).map_or(0, |group| group.count)
}

#[test]
fn the_archive_of_models_dev() {
    let Some(tree) = tree("models.dev.tar.gz") else { return };
    let catalog = formats::read(Format::ModelsDev, &tree.files).unwrap();
    assert_eq!((catalog.models.len(), catalog.canonical.len()), (5098, 231));
    for (key, times) in [
        ("cache_input", 9),
        ("cached_input", 7),
        ("cached_write", 5),
        ("image", 2),
        ("citation", 1),
        ("request", 1),
    ] {
        assert_eq!(count(&catalog, &format!("unknown key `{key}`")), times, "{key}");
    }
    let unpriced = catalog.models.iter().filter(|(_, facts)| facts.prices.is_none()).count();
    assert_eq!(unpriced, 382);
    let is_free = |facts: &&callsheet_models::Facts| {
        let amount = |what: &Charge| {
            let prices = facts.prices.as_ref()?;
            prices
                .iter()
                .find(|price| price.what == *what && price.above_context.is_none())?
                .amount
                .usd()
        };
        [Charge::Prompt, Charge::Completion]
            .iter()
            .all(|what| amount(what).is_some_and(|usd| usd.is_zero()))
    };
    assert_eq!(catalog.models.iter().filter(|(_, facts)| is_free(&facts)).count(), 407);
    let linked = catalog.models.iter().filter(|(_, facts)| facts.canonical.is_some()).count();
    assert!(linked >= 1320, "{linked}");
    let find = |name: &str| &catalog.models.iter().find(|(key, _)| key.as_str() == name).unwrap().1;
    let mini = find("openrouter:qwen/qwen3-30b-a3b-instruct-2507");
    assert_eq!(
        mini.prices,
        Some(vec![price("prompt", "mtok", "0.04815"), price("completion", "mtok", "0.19305")])
    );

    let ours = again(Format::Callsheet, &catalog);
    assert_eq!((ours.models == catalog.models, ours.canonical == catalog.canonical), (true, true));
    assert_eq!(ours.problems, []);
    for format in [Format::Registry, Format::ModelsDev, Format::LiteLlm] {
        let read = again(format, &catalog);
        assert_eq!((read.models.len(), read.problems.len()), (5098, 0), "{format}");
        for ((key, read), (_, had)) in read.models.iter().zip(&catalog.models) {
            assert!(
                read.prices.iter().flatten().all(|p| had.prices.iter().flatten().any(|h| h == p)),
                "{format} {key}"
            );
        }
    }
}

#[test]
fn the_recorded_list_of_openrouter() {
    let Some(tree) = tree("openrouter/models.2026-05-15.json") else { return };
    let catalog = formats::read(Format::OpenRouter, &tree.files).unwrap();
    assert_eq!((catalog.models.len(), catalog.problems.len()), (364, 0));
    let is_dynamic = |facts: &callsheet_models::Facts| {
        facts.prices.iter().flatten().any(|price| price.amount == Amount::Dynamic)
    };
    assert_eq!(catalog.models.iter().filter(|(_, facts)| is_dynamic(facts)).count(), 3);
    for format in [Format::OpenRouter, Format::Callsheet] {
        let read = again(format, &catalog);
        assert!(read.models == catalog.models, "{format}");
        assert_eq!(read.problems, [], "{format}");
    }
}
