//! Whole catalogs in and out.

use super::ModelError;
use crate::App;
use callsheet_models::formats::{self, Format, Grouped};
use callsheet_models::merge::Card;
use callsheet_sources::Tree;
use callsheet_store::{CardQuery, Intent};
use callsheet_types::{
    Body, Entry, Kind, Layer, ModelKey, Problem, Snapshot, SourceName,
    plan::{Action, Extent, PlanPolicy},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a catalog is to be taken in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportAsked {
    /// `registry`, `openrouter`, `models.dev`, `litellm`, `callsheet`
    pub format: String,
    /// What the catalog is called here. Where nothing is said it is the format's name, or for
    /// `registry` and `callsheet` the file's, without what follows the last dot, if it is of
    /// letters, digits, `.`, `_` and `-`.
    #[serde(default)]
    pub source: Option<String>,
    /// When it was taken, where that is not now.
    #[serde(default)]
    pub as_of: Option<Timestamp>,
    /// The name of the file, or its path or address.
    #[serde(default)]
    pub file: Option<String>,
    /// Whether it comes from a registry elsewhere, which counts more than a catalog.
    #[serde(default)]
    pub remote: bool,
    /// Takes a catalog that has lost most of its entries.
    #[serde(default)]
    pub allow_shrink: bool,
    /// Says what would happen and does nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of a catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// What it is called here.
    pub source: SourceName,
    /// Cards in it, one for each `provider:id`.
    pub models: usize,
    /// Cards in it that are of no provider.
    pub canonical: usize,
    /// Presets in it.
    pub presets: usize,
    /// New entries.
    pub added: usize,
    /// Entries whose content changed.
    pub updated: usize,
    /// Entries that were as they are.
    pub unchanged: usize,
    /// Entries that it no longer has.
    pub withdrawn: usize,
    /// Withdrawn models that presets or aliases lead to.
    pub orphans: Vec<Orphan>,
    /// What could not be used.
    pub problems: Vec<Grouped>,
    /// Whether nothing was written.
    pub dry_run: bool,
}

/// A model that is gone, and what still leads to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Orphan {
    /// `provider:id`
    pub key: String,
    /// Presets and aliases.
    pub used_by: Vec<String>,
}

/// A catalog on its way out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exported {
    /// The format.
    pub format: String,
    /// The file's text.
    pub content: String,
    /// How many models of providers are in it.
    pub models: usize,
    /// What is not in it: what the format cannot say, and models that are gone.
    pub omissions: Vec<Grouped>,
}

impl App {
    /// Takes a catalog in: everything that it says is what its source says now.
    pub fn import_models(
        &self,
        asked: &ImportAsked,
        bytes: &bytes::Bytes,
        actor: &str,
    ) -> Result<Imported, ModelError> {
        let format: Format = asked.format.parse()?;
        let layer = if asked.remote { Layer::Remote } else { Layer::Import };
        let name = asked.source.clone().unwrap_or_else(|| own_name(format, asked.file.as_deref()));
        let source = SourceName::new(layer, &name)
            .map_err(|error| ModelError::Question(error.to_string()))?;
        let tree = Tree::from_bytes(file_name(asked.file.as_deref()), bytes)
            .map_err(|error| ModelError::Question(callsheet_types::with_causes(&error)))?;
        let mut catalog = formats::read(format, &tree.files)?;
        catalog.problems.extend(tree.problems);
        let models = catalog.models.len();
        let canonical = catalog.canonical.len();
        let presets = catalog.presets.len();

        let mut entries = Vec::with_capacity(models + canonical + presets);
        for (key, facts) in &catalog.models {
            entries.push(Entry::tracking(Kind::model(), key.as_str(), body(facts)?));
        }
        for (id, facts) in &catalog.canonical {
            entries.push(Entry::tracking(Kind::canonical(), id, body(facts)?));
        }
        for (name, preset) in &catalog.presets {
            entries.push(Entry::tracking(Kind::preset(), name, body(preset)?));
        }
        let snapshot = Snapshot {
            source: source.clone(),
            revision: None,
            observed_at: asked.as_of.or(catalog.as_of),
            extent: Extent::Whole(vec![Kind::model(), Kind::canonical(), Kind::preset()]),
            entries,
            problems: catalog.problems,
        };
        let policy = PlanPolicy { allow_shrink: asked.allow_shrink, ..PlanPolicy::default() };
        let intent = Intent { dry_run: asked.dry_run, ..Intent::now(actor) };
        let plan = self.catalog.publish(&snapshot, policy, &intent)?.plan;
        self.take_presets(&intent)?;
        let gone = plan.changes.iter().filter(|change| change.action == Action::Withdrawn);
        let orphans = gone.filter(|change| change.id.kind == Kind::model()).filter_map(|change| {
            let used_by = self.users_of(&change.id.key);
            (!used_by.is_empty()).then(|| Orphan { key: change.id.key.to_string(), used_by })
        });
        Ok(Imported {
            orphans: orphans.collect(),
            source,
            models,
            canonical,
            presets,
            added: plan.count(Action::Added),
            updated: plan.count(Action::Updated),
            unchanged: plan.unchanged,
            withdrawn: plan.count(Action::Withdrawn),
            problems: formats::group(&plan.problems),
            dry_run: asked.dry_run,
        })
    }

    /// Writes all cards in a format, but for what is withdrawn or removed: whoever read it back
    /// would have it alive again. The same state gives the same bytes.
    pub fn export_models(
        &self,
        format: &str,
        provider: Option<&str>,
    ) -> Result<Exported, ModelError> {
        let format: Format = format.parse()?;
        let store = self.catalog.store();
        let read = |kind: &str, statuses: &[&str]| -> Result<Vec<Card>, ModelError> {
            let query = CardQuery {
                kind: kind.to_owned(),
                statuses: statuses.iter().map(|status| (*status).to_owned()).collect(),
                providers: provider
                    .map(str::to_owned)
                    .filter(|_| kind == "model")
                    .into_iter()
                    .collect(),
                ..CardQuery::default()
            };
            let rows = store.cards(&query)?.rows;
            Ok(rows.iter().filter_map(|row| serde_json::from_str(&row.body).ok()).collect())
        };
        let mut omissions = Vec::new();
        let mut living = |cards: Vec<Card>| -> Vec<Card> {
            let (gone, living) = cards
                .into_iter()
                .partition(|card| matches!(card.status.as_str(), "withdrawn" | "removed"));
            let note = |card: Card| Problem {
                message: format!("is {} and left out", card.status),
                place: card.key,
            };
            omissions.extend(Vec::<Card>::into_iter(gone).map(note));
            living
        };
        let (models, canonical) = (living(read("model", &[])?), living(read("canonical", &[])?));
        // These are not in a list that asks for no status.
        for kind in ["model", "canonical"] {
            living(read(kind, &["removed"])?);
        }
        let presets = self.catalog.saved()?.presets;
        let mut as_of: Option<Timestamp> =
            models.iter().chain(&canonical).map(|card| card.updated_at).max();
        for head in store.entries(&Kind::preset())? {
            let is_meant =
                presets.get(&*head.id.key).is_some_and(|(_, source)| *source == head.source);
            as_of = if is_meant { as_of.max(Some(head.changed_at)) } else { as_of };
        }
        let key = |card: Card| Some((ModelKey::parse(&card.key).ok()?, card.facts));
        let exported = formats::Exported {
            models: models.into_iter().filter_map(key).collect(),
            canonical: canonical.into_iter().map(|card| (card.key, card.facts)).collect(),
            presets: presets.into_iter().map(|(name, (preset, _))| (name, preset)).collect(),
            as_of,
        };
        let written = formats::write(format, &exported);
        omissions.extend(written.omissions);
        Ok(Exported {
            format: format.to_string(),
            content: String::from_utf8_lossy(&written.bytes).into_owned(),
            models: written.models,
            omissions: formats::group(&omissions),
        })
    }
}

/// Returns what a catalog is called of which nobody says it. A list that everybody has goes by its
/// format; of registries there may be many, and one must not take another's place.
fn own_name(format: Format, file: Option<&str>) -> String {
    let file = file_name(file);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let is_many = matches!(format, Format::Registry | Format::Callsheet);
    if is_many && SourceName::new(Layer::Import, stem).is_ok() {
        stem.to_owned()
    } else {
        format.to_string()
    }
}

/// Returns what messages call a catalog: the last part of its path or address.
fn file_name(place: Option<&str>) -> &str {
    let place = place.unwrap_or_default();
    let path = place.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    match path.rsplit('/').next() {
        None | Some("" | "-") => "the catalog",
        Some(name) => name,
    }
}

fn body(value: &impl Serialize) -> Result<Body, ModelError> {
    Ok(Body::of(value).map_err(callsheet_store::StoreError::from)?)
}
