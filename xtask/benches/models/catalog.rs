//! Catalogs: the real ones where they are at hand, and made-up ones of any size.
//!
//! What is made up has words about as often as real ids do: a search for `gpt` finds a seventh of
//! all models.

use anyhow::{Context as _, Result};
use callsheet_models::{Amount, Charge, Facts, PartialDate, Price, Unit};
use callsheet_types::{Body, Entry, Kind, Snapshot, SourceName, plan::Extent};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use std::{
    fs::File,
    path::{Path, PathBuf},
};

const PROVIDERS: usize = 150;

/// Who makes a family, its name, and in how many of a hundred models it is.
const FAMILIES: [(&str, &str, usize); 16] = [
    ("openai", "gpt", 15),
    ("qwen", "qwen3", 12),
    ("anthropic", "claude", 10),
    ("qwen", "qwen", 8),
    ("zai", "glm", 7),
    ("google", "gemini", 7),
    ("deepseek", "deepseek", 6),
    ("moonshotai", "kimi", 5),
    ("meta", "llama", 5),
    ("minimax", "minimax", 4),
    ("mistral", "mistral", 4),
    ("xai", "grok", 4),
    ("google", "gemma", 4),
    ("nvidia", "nemotron", 3),
    ("microsoft", "phi", 3),
    ("cohere", "command", 3),
];

const VERSIONS: [&str; 9] = ["1", "2", "2.5", "3", "3.1", "3.5", "4", "4.5", "5"];
const SIZES: [&str; 12] = [
    "mini",
    "flash",
    "pro",
    "instruct",
    "8b-instruct",
    "70b-instruct",
    "thinking",
    "lite",
    "opus",
    "sonnet",
    "coder",
    "turbo",
];

/// A model that nobody provides.
struct MadeUp {
    provider: String,
    vendor: &'static str,
    family: &'static str,
    version: &'static str,
    size: &'static str,
    context: u64,
    price_cents: i64,
}

impl MadeUp {
    /// Returns the model of a number: every number's is another.
    fn new(index: usize) -> Self {
        let model = index / PROVIDERS;
        let mut share = model % 100;
        let mut family = FAMILIES[0];
        for candidate in FAMILIES {
            family = candidate;
            if share < candidate.2 {
                break;
            }
            share -= candidate.2;
        }
        // Within a family the share and the hundreds count the sizes and versions.
        let number = share + family.2 * (model / 100);
        Self {
            provider: format!("provider-{}", index % PROVIDERS),
            vendor: family.0,
            family: family.1,
            version: VERSIONS[number / SIZES.len() % VERSIONS.len()],
            size: SIZES[number % SIZES.len()],
            context: 8192 << (model % 8),
            price_cents: i64::try_from(index % 500).unwrap_or_default(),
        }
    }

    fn id(&self) -> String {
        format!("{}/{}-{}-{}", self.vendor, self.family, self.version, self.size)
    }

    fn name(&self) -> String {
        format!("{} {} {}", self.family, self.version, self.size.replace('-', " "))
    }
}

/// Returns what a source says of a model; another revision costs more.
fn entry(index: usize, revision: i64) -> Result<Entry> {
    let model = MadeUp::new(index);
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let price = |what, cents: i64| -> Result<Price> {
        let amount: Amount = format!("{}.{:02}", cents / 100, cents % 100).parse()?;
        Ok(Price::new(what, Unit::MillionTokens, amount))
    };
    let cents = model.price_cents + revision;
    let facts = Facts {
        name: Some(model.name()),
        canonical: Some(model.id()),
        family: Some(model.family.to_owned()),
        capabilities: texts(&["chat", "tools", "structured_output", "reasoning"]),
        input_modalities: Some(texts(&["text", "image"])),
        output_modalities: Some(texts(&["text"])),
        context_window: Some(model.context),
        max_output_tokens: Some(model.context / 4),
        open_weights: Some(index.is_multiple_of(2)),
        released: Some(PartialDate::new("2025-07-28")?),
        prices: Some(vec![price(Charge::Prompt, cents)?, price(Charge::Completion, cents * 4)?]),
        ..Facts::default()
    };
    let key = format!("{}:{}", model.provider, model.id());
    Ok(Entry::tracking(Kind::model(), &key, Body::of(&facts)?))
}

/// Returns a whole catalog in which the entries that are chosen have another revision.
pub(crate) fn snapshot(count: usize, is_changed: impl Fn(usize) -> bool) -> Result<Snapshot> {
    let entries = (0..count).map(|index| entry(index, i64::from(is_changed(index))));
    Ok(Snapshot {
        source: SourceName::parse("import/made-up")?,
        revision: None,
        observed_at: None,
        extent: Extent::Whole(vec![Kind::model()]),
        entries: entries.collect::<Result<_>>()?,
        problems: Vec::new(),
    })
}

/// A catalog in a file.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    pub(crate) path: PathBuf,
    pub(crate) format: &'static str,
    pub(crate) is_real: bool,
}

impl Catalog {
    /// Returns the archive of models.dev, or one like it that is made in the folder.
    pub(crate) fn models_dev(folder: &Path) -> Result<Self> {
        let format = "models.dev";
        if let Some(path) = real("models.dev.tar.gz") {
            return Ok(Self { path, format, is_real: true });
        }
        let path = folder.join("models.dev.tar.gz");
        write_models_dev(&path, 5_000)?;
        Ok(Self { path, format, is_real: false })
    }

    /// Returns a recorded answer of OpenRouter, or one like it that is made in the folder.
    pub(crate) fn openrouter(folder: &Path) -> Result<Self> {
        let format = "openrouter";
        if let Some(path) = real("openrouter/models.2026-05-15.json") {
            return Ok(Self { path, format, is_real: true });
        }
        let path = folder.join("openrouter.json");
        std::fs::write(&path, openrouter(364).to_string())?;
        Ok(Self { path, format, is_real: false })
    }

    /// Returns what the report says of it.
    pub(crate) fn described(&self) -> &'static str {
        if self.is_real { "as recorded" } else { "made up, since the recorded one is not here" }
    }

    /// Returns the path as an argument.
    pub(crate) fn argument(&self) -> Result<&str> {
        self.path.to_str().context("a path that is text")
    }
}

/// Recorded catalogs lie beside the project, where they are kept at all.
fn real(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    Some(root.join("../shared/data").join(name)).filter(|path| path.exists())
}

fn write_models_dev(path: &Path, count: usize) -> Result<()> {
    let gzip = GzEncoder::new(File::create(path)?, Compression::default());
    let mut archive = tar::Builder::new(gzip);
    let mut append = |name: &str, text: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, text.as_bytes())
    };
    for provider in 0..PROVIDERS.min(count) {
        let name = MadeUp::new(provider).provider;
        let text = format!(
            "name = \"{name}\"\nnpm = \"@ai-sdk/openai-compatible\"\nenv = [\"KEY\"]\n\
             doc = \"https://{name}.example/docs\"\napi = \"https://{name}.example/v1\"\n"
        );
        append(&format!("models.dev/providers/{name}/provider.toml"), &text)?;
    }
    for index in 0..count {
        let model = MadeUp::new(index);
        let text = format!(
            "name = \"{}\"\nfamily = \"{}\"\nattachment = true\nreasoning = true\n\
             tool_call = true\ntemperature = true\nknowledge = \"2025-01\"\n\
             release_date = \"2025-07-28\"\nlast_updated = \"2025-07-28\"\nopen_weights = false\n\n\
             [cost]\ninput = {}.{:02}\noutput = {}.00\n\n\
             [limit]\ncontext = {}\noutput = {}\n\n\
             [modalities]\ninput = [\"text\", \"image\"]\noutput = [\"text\"]\n",
            model.name(),
            model.family,
            model.price_cents / 100,
            model.price_cents % 100,
            model.price_cents / 20,
            model.context,
            model.context / 4,
        );
        let (provider, id) = (&model.provider, model.id());
        append(&format!("models.dev/providers/{provider}/models/{id}.toml"), &text)?;
    }
    archive.into_inner()?.finish()?;
    Ok(())
}

fn openrouter(count: usize) -> serde_json::Value {
    let models = (0..count).map(|index| {
        // One provider's models are as far apart as there are providers.
        let model = MadeUp::new(index * PROVIDERS);
        json!({
            "id": model.id(), "canonical_slug": model.id(), "name": model.name(),
            "created": 1_759_161_676, "context_length": model.context,
            "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
            "pricing": {"prompt": "0.000003", "completion": "0.000015"},
            "top_provider": {"context_length": model.context, "max_completion_tokens": 4096},
            "supported_parameters": ["max_tokens", "temperature", "tools"],
        })
    });
    json!({ "data": models.collect::<Vec<_>>() })
}
