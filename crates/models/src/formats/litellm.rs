//! `LiteLLM`'s map of prices and context windows: one JSON object, a model under each key.

use super::{
    Catalog, Exported, Format, FormatError, Written, decimal,
    fields::Fields,
    json::{self, Document},
    litellm_cost,
    omissions::Omissions,
    prices,
};
use crate::{Amount, Charge, Facts, Parameter, Price, Unit};
use callsheet_types::{ModelKey, Problem};
use rust_decimal::Decimal;
use serde_json::{Map, Value};

/// Entries that are no models: one explains the others, one says what follows from names.
const NO_MODELS: [&str; 2] = ["sample_spec", "fallback_generalizations"];

/// Its words for what can be done, where ours are others; for the rest `supports_X` is `X`, and a
/// mode is itself.
const CAPABILITIES: [(&str, &str); 5] = [
    ("supports_function_calling", "tools"),
    ("supports_parallel_function_calling", "parallel_tools"),
    ("supports_response_schema", "structured_output"),
    ("supports_native_streaming", "streaming"),
    ("supports_system_message", "system_messages"),
];
const MODES: [(&str, &str); 3] =
    [("embedding", "embed"), ("completion", "generate"), ("audio_transcription", "transcription")];

/// The modes that there are, by our words.
const MODE_WORDS: [&str; 19] = [
    "chat",
    "embed",
    "generate",
    "responses",
    "image_generation",
    "image_edit",
    "transcription",
    "audio_speech",
    "video_generation",
    "moderation",
    "rerank",
    "ocr",
    "search",
    "realtime",
    "vector_store",
    "container",
    "evaluation",
    "guardrail",
    "classify",
];

/// Switches that stand for a request's parameter.
const PARAMETERS: [(&str, &str); 5] = [
    ("supports_function_calling", "tools"),
    ("supports_parallel_function_calling", "parallel_tool_calls"),
    ("supports_tool_choice", "tool_choice"),
    ("supports_reasoning", "reasoning"),
    ("supports_response_schema", "structured_outputs"),
];

/// What has no field of its own. The prices in Databricks units are no dollars.
const KEPT: [&str; 45] = [
    "audio_transcription_config",
    "bedrock_converse_supports_strict_tools",
    "bedrock_output_config_effort_ceiling",
    "comment",
    "default_reasoning_effort",
    "gemini_audio_only_live",
    "gemini_native_audio",
    "guardrail_cost_per_unit",
    "inference_geo",
    "input_dbu_cost_per_token",
    "itpm",
    "max_audio_length_hours",
    "max_audio_per_prompt",
    "max_document_chunks_per_query",
    "max_images_per_prompt",
    "max_pdf_size_mb",
    "max_query_tokens",
    "max_tokens_per_document_chunk",
    "max_video_length",
    "max_videos_per_prompt",
    "metadata",
    "off_peak_pricing",
    "otpm",
    "output_db_cost_per_token",
    "output_dbu_cost_per_token",
    "prompt_cache_min_tokens",
    "provider_specific_entry",
    "reasoning_effort_levels",
    "regional_endpoint_uplift_multiplier",
    "regional_processing_uplift_multiplier_eu",
    "regional_processing_uplift_multiplier_us",
    "rpd",
    "rpm",
    "source",
    "supported_audio_formats",
    "supported_endpoints",
    "supported_regions",
    "thinking_always_on",
    "tiered_pricing",
    "tool_use_system_prompt_tokens",
    "tpm",
    "use_openai_responses_path",
    "uses_embed_content",
    "vertex_ai_audio_api",
    "web_search_billing_unit",
];

/// Prices by tiers.
const TIERS: &str = "tiered_pricing";

/// The price of a search, by how much of what it finds is read; the medium is what is meant where
/// nothing is said.
const SEARCH: &str = "search_context_cost_per_query";
const SEARCH_SIZES: [(&str, &str); 3] = [
    ("search_context_size_low", "search_low"),
    ("search_context_size_medium", "search"),
    ("search_context_size_high", "search_high"),
];

/// The facts for which it has a place.
const SAID: [&str; 9] = [
    "capabilities",
    "embedding_dimensions",
    "extra",
    "input_modalities",
    "max_input_tokens",
    "max_output_tokens",
    "output_modalities",
    "prices",
    "retires",
];

pub(super) fn read(document: Document) -> Result<Catalog, FormatError> {
    let Document { file, value } = document;
    let foreign = |message: &str| FormatError::Foreign {
        format: Format::LiteLlm,
        file: file.clone(),
        message: message.to_owned(),
    };
    let Value::Object(models) = value else { return Err(foreign("expected models by name")) };
    if !models.is_empty() && !models.values().any(|model| model.get("litellm_provider").is_some()) {
        return Err(foreign("no entry in it has `litellm_provider`"));
    }
    let mut catalog = Catalog::default();
    for (name, value) in models {
        if NO_MODELS.contains(&name.as_str()) {
            continue;
        }
        let place = format!("{file} {name}");
        let Value::Object(table) = value else {
            let message = "the model is no table".to_owned();
            catalog.problems.push(Problem { place, message });
            continue;
        };
        let mut fields = Fields::new(table, place, &mut catalog.problems);
        let Some(provider) = fields.text("litellm_provider") else {
            fields.problem("`litellm_provider` is missing: the model is left out");
            continue;
        };
        let Ok(key) = ModelKey::new(&provider, id(&name, &provider)) else {
            fields.problem("provider and name make no key: the model is left out");
            continue;
        };
        catalog.models.push((key, model(fields)));
    }
    Ok(catalog)
}

/// Returns a model's id: its name without the provider, if it begins with it. Of providers with
/// several services (`vertex_ai-language-models`) names have the first part only.
fn id<'a>(name: &'a str, provider: &str) -> &'a str {
    let Some((first, rest)) = name.split_once('/') else { return name };
    let beginning = provider.strip_prefix(first);
    let is_provider = beginning.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']));
    if is_provider && !rest.is_empty() { rest } else { name }
}

fn model(mut fields: Fields<'_>) -> Facts {
    let mut facts = Facts {
        embedding_dimensions: fields.count("output_vector_size"),
        input_modalities: fields.words("supported_modalities"),
        output_modalities: fields.words("supported_output_modalities"),
        // The day is called that of deprecation; those that are given are days of shutdown.
        retires: fields.date("deprecation_date"),
        ..Facts::default()
    };
    let mode = fields.text("mode");
    if let Some(mode) = &mode {
        let ours = MODES.iter().find(|(theirs, _)| theirs == mode).map_or(&**mode, |(_, o)| o);
        facts.capabilities.insert(ours.to_owned());
    }
    limits(&mut fields, &mut facts);
    for key in fields.left().into_iter().filter(|key| key.starts_with("supports_")) {
        let Some(does) = fields.flag(&key) else { continue };
        if does {
            facts.capabilities.insert(capability(&key));
        } else if let Some((_, parameter)) = PARAMETERS.iter().find(|(known, _)| *known == key) {
            facts.parameters.insert((*parameter).to_owned(), Parameter::Unsupported);
        }
    }
    let mut rows = Vec::new();
    costs(&mut fields, None, &mut rows);
    searches(&mut fields, &mut rows);
    tiers(&mut fields, &mut rows, &mut facts.extra);
    for row in &mut rows {
        settle(row, mode.as_deref());
    }
    facts.prices = Some(rows).filter(|rows| !rows.is_empty());
    fields.keep(&KEPT, &mut facts.extra);
    fields.finish();
    facts
}

fn limits(fields: &mut Fields<'_>, facts: &mut Facts) {
    facts.max_input_tokens = fields.count("max_input_tokens");
    facts.max_output_tokens = fields.count("max_output_tokens");
    // It means the longest answer, or where nobody knows that the longest prompt: it says something
    // only where it is one of them.
    if let Some(either) = fields.count("max_tokens") {
        let known = [facts.max_input_tokens, facts.max_output_tokens];
        if known.contains(&Some(either)) {
        } else if facts.max_output_tokens.is_none() && facts.max_input_tokens.is_some() {
            facts.max_output_tokens = Some(either);
        } else if known == [None, None] {
            facts.extra.insert("max_tokens".to_owned(), either.into());
        } else {
            fields.problem("`max_tokens` is neither `max_input_tokens` nor `max_output_tokens`");
        }
    }
}

fn capability(key: &str) -> String {
    let known = CAPABILITIES.iter().find(|(theirs, _)| *theirs == key);
    let rest = key.strip_prefix("supports_").unwrap_or(key);
    known.map_or(rest, |(_, ours)| ours).to_owned()
}

/// Reads every key that is a price; `above` holds for those that say no size of context.
fn costs(fields: &mut Fields<'_>, above: Option<u64>, rows: &mut Vec<Price>) {
    for key in fields.left() {
        let Some(cost) = litellm_cost::parse(&key) else { continue };
        let Some(amount) = fields.amount(&key, cost.times) else { continue };
        let above_context = cost.row.above_context.or(above);
        if prices::add(rows, Price { amount, above_context, ..cost.row }) {
            fields.problem(format!("`{key}` differs from another key of the same meaning"));
        }
    }
}

fn searches(fields: &mut Fields<'_>, rows: &mut Vec<Price>) {
    let Some(mut sizes) = fields.nested(SEARCH) else { return };
    for (key, what) in SEARCH_SIZES {
        let amount = sizes.amount(key, Decimal::ONE);
        let charge = Charge::from(what.to_owned());
        rows.extend(amount.map(|amount| Price::new(charge, Unit::Request, amount)));
    }
    sizes.finish();
}

/// Reads prices by the size of the context. Those by the number of results have no such size, and
/// are kept as they are.
fn tiers(fields: &mut Fields<'_>, rows: &mut Vec<Price>, extra: &mut Map<String, Value>) {
    let tiers = fields.list(TIERS).unwrap_or_default();
    if tiers.iter().any(|tier| tier.get("max_results_range").is_some()) {
        extra.insert(TIERS.to_owned(), tiers.into());
        return;
    }
    for value in tiers {
        let Value::Object(table) = value else {
            fields.problem("`tiered_pricing[]` is no table");
            continue;
        };
        let mut tier = fields.inside(table, TIERS);
        let range = tier.list("range").unwrap_or_default();
        match range.first().and_then(super::fields::whole) {
            Some(above) => {
                costs(&mut tier, Some(above).filter(|above| *above > 0), rows);
                tier.finish();
            }
            None => tier.problem("`range` has no beginning: the tier is left out"),
        }
    }
}

/// Says what seconds are counted, which depends on what the model does.
fn settle(row: &mut Price, mode: Option<&str>) {
    if row.per != Unit::Second {
        return;
    }
    let what = match (mode, row.what.as_str()) {
        (Some("audio_transcription"), "compute") => "audio_input",
        (Some("audio_speech"), "output") => "audio_output",
        (Some("video_generation"), "output") => "video_output",
        _ => return,
    };
    row.what = Charge::from(what.to_owned());
}

pub(super) fn write(exported: &Exported) -> Written {
    let mut omissions = Omissions::default();
    let mut models = Map::new();
    for (key, facts) in &exported.models {
        let name = format!("{}/{}", key.provider(), key.id());
        models.insert(name, Value::Object(entry(key, facts, &mut omissions)));
    }
    omissions.canonical(&exported.canonical);
    omissions.presets(&exported.presets);
    let (count, omissions) = (models.len(), omissions.into_problems());
    Written { bytes: json::pretty(&Value::Object(models)), models: count, omissions }
}

fn entry(key: &ModelKey, facts: &Facts, omissions: &mut Omissions) -> Map<String, Value> {
    let place = key.as_str();
    let mut entry = Map::new();
    let mut put = |key: &str, value: Value| {
        entry.insert(key.to_owned(), value);
    };
    put("litellm_provider", key.provider().into());
    if facts.max_input_tokens.is_none() && facts.context_window.is_some() {
        // It has no other window, and no prompt is longer than this one.
        omissions.note(place, "`context_window` is written as `max_input_tokens`");
    } else if facts.context_window.is_some() {
        omissions.note(place, "`context_window` has no place in it beside `max_input_tokens`");
    }
    let counts = [
        ("max_input_tokens", facts.max_input_tokens.or(facts.context_window)),
        ("max_output_tokens", facts.max_output_tokens),
        ("output_vector_size", facts.embedding_dimensions),
    ];
    for (key, count) in counts {
        if let Some(count) = count {
            put(key, count.into());
        }
    }
    let modalities = [
        ("supported_modalities", &facts.input_modalities),
        ("supported_output_modalities", &facts.output_modalities),
    ];
    for (key, words) in modalities {
        if let Some(words) = words {
            put(key, words.iter().cloned().collect());
        }
    }
    if let Some(day) = &facts.retires {
        put("deprecation_date", day.as_str().into());
    }
    let modes: Vec<_> =
        MODE_WORDS.iter().filter(|mode| facts.capabilities.contains(**mode)).collect();
    if let Some(mode) = modes.first() {
        let theirs = MODES.iter().find(|(_, ours)| ours == *mode).map_or(**mode, |(t, _)| *t);
        put("mode", theirs.into());
    }
    for mode in modes.iter().skip(1) {
        omissions.note(place, format!("capability `{mode}` has no place beside another mode"));
    }
    for word in facts.capabilities.iter().filter(|word| !MODE_WORDS.contains(&word.as_str())) {
        let known = CAPABILITIES.iter().find(|(_, ours)| ours == word);
        put(
            &known.map_or_else(|| format!("supports_{word}"), |(k, _)| (*k).to_owned()),
            true.into(),
        );
    }
    for (name, parameter) in &facts.parameters {
        let switch = PARAMETERS.iter().find(|(_, known)| known == name);
        match (switch, parameter) {
            (Some((switch, _)), Parameter::Unsupported)
                if !facts.capabilities.contains(&capability(switch)) =>
            {
                put(switch, false.into());
            }
            _ => omissions.note(place, format!("parameter `{name}` has no place in it")),
        }
    }
    let mut searches = Map::new();
    for price in facts.prices.iter().flatten() {
        let search = SEARCH_SIZES.iter().find(|(_, what)| *what == price.what.as_str());
        let search = search.filter(|_| {
            prices::is_about_the_same(
                price,
                &Price::new(price.what.clone(), Unit::Request, price.amount),
            )
        });
        let named = match search {
            Some((size, _)) => Some(((*size).to_owned(), Decimal::ONE)),
            None => litellm_cost::key(price),
        };
        let Amount::Usd(amount) = price.amount else {
            omissions.dynamic(place, price);
            continue;
        };
        let number = named.and_then(|(key, times)| Some((key, amount.checked_div(times)?, times)));
        let Some((key, each, times)) = number else {
            omissions.price(place, price);
            continue;
        };
        let (number, is_exact) = decimal::to_number(each);
        if !is_exact || each.checked_mul(times) != Some(amount) {
            omissions.rounded(place, price);
        }
        if search.is_some() {
            searches.insert(key, number.into());
        } else {
            put(&key, number.into());
        }
    }
    if !searches.is_empty() {
        put(SEARCH, searches.into());
    }
    for (key, value) in &facts.extra {
        if KEPT.contains(&key.as_str()) || key == "max_tokens" {
            put(key, value.clone());
        } else {
            omissions.note(place, format!("`extra.{key}` has no place in it"));
        }
    }
    omissions.unsaid(place, facts, &[SAID.as_slice(), &["context_window", "parameters"]].concat());
    entry
}
