//! Facts of every sort, for properties.

use callsheet_models::{
    Amount, Charge, Facts, Parameter, PartialDate, Price, Unit, Weights, formats::Exported,
    presets::check_parameters,
};
use callsheet_types::{ModelKey, Preset};
use proptest::{collection, option, prelude::*};
use rust_decimal::Decimal;
use serde_json::{Map, Number, Value};
use std::collections::BTreeSet;

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9._/:-]{1,12}", "\\PC{1,8}"]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has finite numbers only", |f| f.is_finite())
            .prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            object(inner).prop_map(Value::from),
        ]
    })
}

fn object(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    collection::btree_map(text(), values, 0..3).prop_map(|map| map.into_iter().collect())
}

fn date() -> impl Strategy<Value = PartialDate> {
    "(19|20)[0-9]{2}(-(0[1-9]|1[0-2])(-(0[1-9]|1[0-9]|2[0-8]))?)?"
        .prop_map(|text| PartialDate::new(&text).unwrap())
}

/// Amounts that a JSON number says exactly.
fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        9 => (0_i64..1_000_000_000_000, 0_u32..9)
            .prop_map(|(digits, scale)| Amount::Usd(Decimal::new(digits, scale).normalize())),
        1 => Just(Amount::Dynamic),
    ]
}

fn charge() -> impl Strategy<Value = Charge> {
    let known = [
        "prompt",
        "completion",
        "cache_read",
        "cache_write",
        "reasoning",
        "audio_input",
        "image_output",
        "request",
        "search",
        "compute",
        "cache_write_1h",
        "prompt_flex",
        "_flex",
        "image_output_4k",
        "something",
    ];
    prop::sample::select(known.to_vec()).prop_map(|name| Charge::from(name.to_owned()))
}

fn unit() -> impl Strategy<Value = Unit> {
    let known = ["mtok", "image", "request", "second", "character", "pixel", "page", "week"];
    prop::sample::select(known.to_vec()).prop_map(|name| Unit::from(name.to_owned()))
}

fn price() -> impl Strategy<Value = Price> {
    let above = prop_oneof![3 => Just(None), 1 => (1_u64..400).prop_map(|k| Some(k * 500))];
    let rare = |date| prop_oneof![9 => Just(None), 1 => option::of(date)];
    (charge(), unit(), amount(), above, any::<bool>(), rare(date()), rare(date())).prop_map(
        |(what, per, amount, above_context, batch, from, until)| Price {
            above_context,
            batch,
            from,
            until,
            ..Price::new(what, per, amount)
        },
    )
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i32>().prop_map(Number::from),
        any::<f64>().prop_filter_map("JSON has finite numbers only", Number::from_f64),
    ]
}

fn parameter() -> impl Strategy<Value = Parameter> {
    prop_oneof![
        (option::of(number()), option::of(number()), option::of(said()))
            .prop_map(|(min, max, default)| Parameter::Mutable { min, max, default }),
        value().prop_map(|value| Parameter::ReadOnly { value }),
        Just(Parameter::Opaque),
        Just(Parameter::Unsupported),
    ]
}

/// A default of null is none.
fn said() -> impl Strategy<Value = Value> {
    value().prop_filter("null says nothing", |value| !value.is_null())
}

fn words() -> impl Strategy<Value = BTreeSet<String>> {
    let known = [
        "chat",
        "tools",
        "vision",
        "embed",
        "reasoning",
        "structured_output",
        "generate",
        "text",
        "image",
        "audio",
        "Rerank",
        "rerank",
        "odd word",
    ];
    collection::btree_set(prop::sample::select(known.to_vec()).prop_map(str::to_owned), 0..4)
}

fn weights() -> impl Strategy<Value = Weights> {
    (text(), option::of(text()), option::of(text())).prop_map(|(url, label, digest)| Weights {
        url,
        label,
        digest,
    })
}

pub(crate) fn facts() -> impl Strategy<Value = Facts> {
    let texts = collection::vec(option::of(text()), 8);
    let counts = collection::vec(option::of(1_u64..u64::MAX), 6);
    let dates = collection::vec(option::of(date()), 5);
    let modalities = (option::of(words()), option::of(words()));
    let flags = (option::of(any::<bool>()), option::of(any::<bool>()));
    (
        (texts, counts, dates, modalities, flags, words()),
        collection::btree_map(text(), parameter(), 0..3),
        option::of(collection::vec(price(), 0..5)),
        option::of(collection::vec(weights(), 0..3)),
        object(value()),
    )
        .prop_map(|(plain, parameters, prices, weights, extra)| {
            let (texts, counts, dates, modalities, flags, capabilities) = plain;
            let mut texts = texts.into_iter();
            let mut text = || texts.next().flatten();
            let mut counts = counts.into_iter();
            let mut count = || counts.next().flatten();
            let mut dates = dates.into_iter();
            let mut date = || dates.next().flatten();
            Facts {
                name: text(),
                canonical: text(),
                family: text(),
                capabilities,
                input_modalities: modalities.0,
                output_modalities: modalities.1,
                context_window: count(),
                context_window_trained: count(),
                max_input_tokens: count(),
                max_output_tokens: count(),
                embedding_dimensions: count(),
                parameter_count: count(),
                parameters,
                license: text(),
                open_weights: flags.0,
                weights,
                digest: text(),
                file_set: text(),
                quantization: text(),
                knowledge_cutoff: date(),
                released: date(),
                updated: date(),
                deprecated: date(),
                retires: date(),
                lifecycle: text(),
                prices,
                extra,
                removed: flags.1,
            }
        })
}

fn key() -> impl Strategy<Value = ModelKey> {
    ("(openrouter|a|b-c)", "[a-z]{1,3}(/[a-z]{1,3})?(:free)?")
        .prop_map(|(provider, id)| ModelKey::new(&provider, &id).unwrap())
}

fn preset() -> impl Strategy<Value = Preset> {
    let preset = (text(), object(value()));
    let preset = preset.prop_map(|(model, parameters)| Preset { model, parameters });
    preset.prop_map(|mut preset| {
        preset.model.insert(0, 'm');
        let value = |name: &String, value: &Value| {
            let one = [(name.clone(), value.clone())].into_iter().collect();
            check_parameters(&one).is_ok()
        };
        preset.parameters.retain(|name, said| value(name, said));
        preset
    })
}

/// Models with keys of their own, in the order of keys.
pub(crate) fn exported() -> impl Strategy<Value = Exported> {
    (
        collection::btree_map(key(), facts(), 1..5),
        collection::btree_map("[a-z]{1,3}/[a-z]{1,3}", facts(), 0..3),
        collection::btree_map("[a-z]{1,3}/[a-z]{1,3}", preset(), 0..3),
    )
        .prop_map(|(models, canonical, presets)| Exported {
            models: models.into_iter().collect(),
            canonical: canonical.into_iter().collect(),
            presets: presets.into_iter().collect(),
            as_of: None,
        })
}
