//! `LiteLLM`'s names of prices, `cache_read_input_token_cost_above_272k_tokens_priority`, taken apart
//! and put together.
//!
//! A name is a core, which says what is charged for and by what unit, and suffixes: a size of
//! context, batches, a tier of service, how long a cache keeps. The first two have fields in a
//! [`Price`]; the others become part of the charge's name, so that `completion_flex` is never taken
//! for `completion`.

use super::prices::MILLION;
use crate::{Amount, Charge, Price, Unit};
use rust_decimal::Decimal;

/// What a name says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Cost {
    /// The row that it stands for, without its amount.
    pub(crate) row: Price,
    /// By what its number is multiplied to be that row's amount.
    pub(crate) times: Decimal,
}

/// Cores, what is charged for, its unit, and how many of `LiteLLM`'s units are one of it. Of several
/// with one meaning the first is written.
const CORES: [(&str, &str, &str, Scale); 41] = [
    ("input_cost_per_token", "prompt", "mtok", Scale::Million),
    ("output_cost_per_token", "completion", "mtok", Scale::Million),
    ("cache_read_input_token_cost", "cache_read", "mtok", Scale::Million),
    ("input_cost_per_token_cache_hit", "cache_read", "mtok", Scale::Million),
    ("cache_creation_input_token_cost", "cache_write", "mtok", Scale::Million),
    ("cache_read_input_audio_token_cost", "cache_read_audio", "mtok", Scale::Million),
    ("cache_read_input_image_token_cost", "cache_read_image", "mtok", Scale::Million),
    ("cache_creation_input_audio_token_cost", "cache_write_audio", "mtok", Scale::Million),
    ("output_cost_per_reasoning_token", "reasoning", "mtok", Scale::Million),
    ("citation_cost_per_token", "citation", "mtok", Scale::Million),
    ("input_cost_per_audio_token", "audio_input", "mtok", Scale::Million),
    ("output_cost_per_audio_token", "audio_output", "mtok", Scale::Million),
    ("input_cost_per_image_token", "image_input", "mtok", Scale::Million),
    ("output_cost_per_image_token", "image_output", "mtok", Scale::Million),
    ("input_cost_per_video_token", "video_input", "mtok", Scale::Million),
    ("output_cost_per_video_token", "video_output", "mtok", Scale::Million),
    ("computer_use_input_cost_per_1k_tokens", "computer_use_input", "mtok", Scale::Thousand),
    ("computer_use_output_cost_per_1k_tokens", "computer_use_output", "mtok", Scale::Thousand),
    ("input_cost_per_audio_per_second", "audio_input", "second", Scale::One),
    ("output_cost_per_audio_per_second", "audio_output", "second", Scale::One),
    ("input_cost_per_video_per_second", "video_input", "second", Scale::One),
    ("output_cost_per_video_per_second", "video_output", "second", Scale::One),
    ("input_cost_per_second", "compute", "second", Scale::One),
    ("output_cost_per_second", "output", "second", Scale::One),
    ("input_cost_per_character", "prompt", "character", Scale::One),
    ("output_cost_per_character", "completion", "character", Scale::One),
    ("input_cost_per_image", "image_input", "image", Scale::One),
    ("output_cost_per_image", "image_output", "image", Scale::One),
    ("input_cost_per_pixel", "image_input", "pixel", Scale::One),
    ("output_cost_per_pixel", "image_output", "pixel", Scale::One),
    ("input_cost_per_request", "request", "request", Scale::One),
    ("input_cost_per_query", "query", "request", Scale::One),
    ("cost_per_query", "query", "request", Scale::One),
    ("google_maps_grounding_cost_per_query", "maps_search", "request", Scale::One),
    ("file_search_cost_per_1k_calls", "file_search", "request", Scale::Thousandth),
    ("file_search_cost_per_gb_per_day", "file_search_storage", "gb_day", Scale::One),
    ("vector_store_cost_per_gb_per_day", "vector_storage", "gb_day", Scale::One),
    ("code_interpreter_cost_per_session", "code_interpreter", "session", Scale::One),
    ("annotation_cost_per_page", "annotation", "page", Scale::One),
    ("ocr_cost_per_page", "ocr", "page", Scale::One),
    ("ocr_cost_per_credit", "ocr", "credit", Scale::One),
];

/// Cores after which anything may follow: the sizes and qualities of images.
const IMAGES: [(&str, &str); 2] =
    [("input_cost_per_image_", "image_input_"), ("output_cost_per_image_", "image_output_")];

/// Suffixes before a size of context, and the words that they become.
const BEFORE: [(&str, &str); 9] = [
    ("_above_1hr", "_1h"),
    ("_above_8s_interval", "_above_8s"),
    ("_above_15s_interval", "_above_15s"),
    ("_480p", "_480p"),
    ("_720p", "_720p"),
    ("_768p", "_768p"),
    ("_1080p", "_1080p"),
    ("_2k", "_2k"),
    ("_4k", "_4k"),
];

/// Suffixes after it, which stay as they are.
const AFTER: [&str; 3] = ["_priority", "_flex", "_ultrafast"];

const BATCHES: &str = "_batches";

#[derive(Clone, Copy)]
enum Scale {
    One,
    Thousandth,
    Thousand,
    Million,
}

impl Scale {
    fn times(self) -> Decimal {
        match self {
            Self::One => Decimal::ONE,
            Self::Thousandth => Decimal::new(1, 3),
            Self::Thousand => Decimal::ONE_THOUSAND,
            Self::Million => MILLION,
        }
    }
}

/// Takes a key apart; `None` where it is no price that is known.
pub(crate) fn parse(key: &str) -> Option<Cost> {
    let mut core = key;
    let mut words = String::new();
    let (mut above_context, mut batch) = (None, false);
    if let Some(rest) = core.strip_suffix(BATCHES) {
        (core, batch) = (rest, true);
    }
    if let Some((rest, tier)) = AFTER.iter().find_map(|t| Some((core.strip_suffix(t)?, *t))) {
        core = rest;
        words.push_str(tier);
    }
    if let Some((rest, tokens)) = context_of(core) {
        (core, above_context) = (rest, Some(tokens));
    }
    for (suffix, word) in BEFORE {
        if let Some(rest) = core.strip_suffix(suffix) {
            core = rest;
            words.insert_str(0, word);
            break;
        }
    }
    let known = CORES.iter().find(|(name, ..)| *name == core);
    let (what, per, times) = if let Some((_, what, per, scale)) = known {
        (format!("{what}{words}"), *per, scale.times())
    } else {
        let image = IMAGES.iter().find_map(|(name, what)| {
            let kind = core.strip_prefix(name)?;
            let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.');
            let is_kind = !kind.is_empty() && kind.bytes().all(is_word);
            is_kind.then(|| format!("{what}{kind}{words}"))
        });
        (image?, "image", Decimal::ONE)
    };
    let amount = Amount::Usd(Decimal::ZERO);
    let row = Price::new(Charge::from(what), Unit::from(per.to_owned()), amount);
    Some(Cost { row: Price { above_context, batch, ..row }, times })
}

/// Splits `…_above_272k_tokens`.
fn context_of(key: &str) -> Option<(&str, u64)> {
    let (core, bound) = key.strip_suffix("k_tokens")?.rsplit_once("_above_")?;
    let thousands: u64 = bound.parse().ok().filter(|_| !bound.starts_with(['+', '0']))?;
    Some((core, thousands.checked_mul(1000)?))
}

/// Returns the key for a row, and by what its number is multiplied to be the row's amount; `None`
/// where `LiteLLM` has no name for it.
pub(crate) fn key(row: &Price) -> Option<(String, Decimal)> {
    if row.from.is_some() || row.until.is_some() {
        return None;
    }
    let (what, tier) = split(row.what.as_str(), AFTER.iter().map(|tier| (*tier, *tier)));
    let whole = core(what, row.per.as_str()).map(|core| (core, ""));
    let (core, before) = whole.or_else(|| {
        let (what, before) = split(what, BEFORE.iter().map(|(suffix, word)| (*word, *suffix)));
        Some((core(what, row.per.as_str())?, before))
    })?;
    let context = match row.above_context {
        Some(tokens) if tokens % 1000 == 0 => format!("_above_{}k_tokens", tokens / 1000),
        Some(_) => return None,
        None => String::new(),
    };
    let batches = if row.batch { BATCHES } else { "" };
    let key = format!("{core}{before}{context}{tier}{batches}");
    // Some words mean something else once they stand in a key.
    let cost = parse(&key)?;
    super::prices::is_about_the_same(&cost.row, row).then_some((key, cost.times))
}

/// Takes a word off the end of a charge's name; returns the suffix that it stands for.
fn split(
    what: &str,
    words: impl Iterator<Item = (&'static str, &'static str)>,
) -> (&str, &'static str) {
    let mut words = words;
    let found = words.find_map(|(word, suffix)| Some((what.strip_suffix(word)?, suffix)));
    found.filter(|(what, _)| !what.is_empty()).unwrap_or((what, ""))
}

fn core(what: &str, per: &str) -> Option<String> {
    let known = CORES.iter().find(|(_, known, unit, _)| *known == what && *unit == per);
    if let Some((core, ..)) = known {
        return Some((*core).to_owned());
    }
    let image =
        |(core, prefix): &(&str, &str)| Some(format!("{core}{}", what.strip_prefix(prefix)?));
    IMAGES.iter().filter(|_| per == "image").find_map(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_and_put_together() {
        for (key, what, per, above, batch) in [
            ("input_cost_per_token", "prompt", "mtok", None, false),
            ("input_cost_per_token_batches", "prompt", "mtok", None, true),
            ("output_cost_per_token_flex", "completion_flex", "mtok", None, false),
            (
                "cache_read_input_token_cost_above_272k_tokens_priority",
                "cache_read_priority",
                "mtok",
                Some(272_000),
                false,
            ),
            (
                "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
                "cache_write_1h",
                "mtok",
                Some(200_000),
                false,
            ),
            ("input_cost_per_audio_token_batches", "audio_input", "mtok", None, true),
            (
                "input_cost_per_video_per_second_above_15s_interval",
                "video_input_above_15s",
                "second",
                None,
                false,
            ),
            ("output_cost_per_second_1080p", "output_1080p", "second", None, false),
            ("output_cost_per_image", "image_output", "image", None, false),
            (
                "output_cost_per_image_above_512_and_512_pixels",
                "image_output_above_512_and_512_pixels",
                "image",
                None,
                false,
            ),
            ("output_cost_per_image_0.5K", "image_output_0.5K", "image", None, false),
            ("output_cost_per_image_token", "image_output", "mtok", None, false),
            ("input_cost_per_pixel", "image_input", "pixel", None, false),
            ("input_cost_per_query", "query", "request", None, false),
            ("output_cost_per_reasoning_token_flex", "reasoning_flex", "mtok", None, false),
        ] {
            let cost = parse(key).unwrap_or_else(|| panic!("{key}"));
            assert_eq!(cost.row.what.as_str(), what, "{key}");
            assert_eq!(cost.row.per.as_str(), per, "{key}");
            assert_eq!((cost.row.above_context, cost.row.batch), (above, batch), "{key}");
            assert_eq!(super::key(&cost.row), Some((key.to_owned(), cost.times)), "{key}");
        }
    }

    #[test]
    fn other_keys_are_no_prices() {
        for key in [
            "input_cost_per_tokn",
            "inputs_cost_per_token",
            "input_cost_per_token_above_k_tokens",
            "input_cost_per_token_above_+5k_tokens",
            "input_dbu_cost_per_token",
            "output_cost_per_image_",
            "max_tokens",
            "",
        ] {
            assert_eq!(parse(key), None, "{key}");
        }
    }
}
