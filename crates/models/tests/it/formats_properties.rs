//! What is written is read, and nothing is lost without being told.

use crate::formats_arbitrary::exported;
use callsheet_models::{
    Amount, Facts,
    formats::{self, Catalog, Exported, Format, Written},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn back(format: Format, written: &Written) -> Catalog {
    let files = BTreeMap::from([("a.json".to_owned(), written.bytes.clone())]);
    formats::read(format, &files).unwrap()
}

/// Whether a message about a model was among the omissions.
fn is_omitted(written: &Written, place: &str, what: &str) -> bool {
    written.omissions.iter().any(|o| o.place == place && o.message.contains(what))
}

fn without_models_of_others(exported: &Exported, format: Format) -> Exported {
    let mut exported = exported.clone();
    if format == Format::OpenRouter {
        exported.models.retain(|(key, _)| key.provider() == "openrouter");
    }
    exported
}

proptest! {
    #[test]
    fn our_own_format_keeps_everything(exported in exported()) {
        let written = formats::write(Format::Callsheet, &exported);
        let read = back(Format::Callsheet, &written);
        prop_assert_eq!(&read.problems, &[]);
        prop_assert_eq!(&written.omissions, &[]);
        let read = Exported {
            models: read.models,
            canonical: read.canonical,
            presets: read.presets,
            as_of: read.as_of,
        };
        prop_assert_eq!(&read, &exported);
        prop_assert_eq!(formats::write(Format::Callsheet, &read).bytes, written.bytes);
    }

    #[test]
    fn no_price_of_another_format_is_other_than_it_was(exported in exported()) {
        for format in Format::ALL {
            let expected = without_models_of_others(&exported, format);
            if expected.models.is_empty() {
                continue;
            }
            let written = formats::write(format, &expected);
            let read = back(format, &written);
            let keys = |models: &[(_, Facts)]| -> Vec<_> {
                models.iter().map(|(key, _): &(callsheet_types::ModelKey, _)| key.clone()).collect()
            };
            prop_assert_eq!(keys(&read.models), keys(&expected.models), "{}", format);
            for ((key, facts), (_, had)) in read.models.iter().zip(&expected.models) {
                for price in facts.prices.iter().flatten() {
                    let is_known = had.prices.iter().flatten().any(|known| known == price);
                    prop_assert!(is_known, "{format}: {key} has got {price:?}: {had:?}");
                }
                for price in had.prices.iter().flatten() {
                    let is_there = facts.prices.iter().flatten().any(|known| known == price);
                    let is_said = is_omitted(&written, key.as_str(), &format!("price `{}`", price.what))
                        || (price.amount == Amount::Dynamic && is_omitted(&written, key.as_str(), "dynamic"));
                    let is_double = had.prices.iter().flatten().filter(|p| {
                        (&p.what, &p.per, p.above_context, p.batch) == (&price.what, &price.per, price.above_context, price.batch)
                    }).count() > 1;
                    prop_assert!(is_there || is_said || is_double, "{format}: {key} has lost {price:?}: {:?}", written.omissions);
                }
            }
        }
    }

    #[test]
    fn what_other_formats_wrote_and_we_read_stays_as_it_is(exported in exported()) {
        for format in Format::ALL {
            let expected = without_models_of_others(&exported, format);
            if expected.models.is_empty() {
                continue;
            }
            let read = back(format, &formats::write(format, &expected));
            let again = Exported { models: read.models, canonical: read.canonical, presets: read.presets, as_of: None };
            let once = formats::write(format, &again);
            let read = back(format, &once);
            prop_assert_eq!(&read.models, &again.models, "{}", format);
            prop_assert_eq!(formats::write(format, &again).bytes, once.bytes);
        }
    }

    #[test]
    fn bytes_of_any_sort_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:0-9a-z. \n=-]{0,120}") {
        for format in Format::ALL {
            for file in ["a.json", "providers/a/models/b.toml"] {
                for content in [&bytes[..], text.as_bytes()] {
                    let files = BTreeMap::from([(file.to_owned(), content.to_vec())]);
                    if let Ok(catalog) = formats::read(format, &files) {
                        formats::group(&catalog.problems);
                    }
                }
            }
        }
    }
}
