//! The models that are published, and what a copy of them has to be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::run::User;

/// Models of our own: in the order of names, a nested file, a nested model, and examples come before
/// what they belong to; and what is left out, by every rule.
const OWN: [(&str, &str); 22] = [
    ("own_plain/mfsim.nam", "a simulation"),
    ("own_plain/model.dis", "one layer"),
    ("own_plain/model.lst", "what MODFLOW printed"),
    ("own_plain/MODEL.HDS", "heads"),
    ("own_plain/model.cbc", "flows"),
    ("own_plain/model.bud", "a budget"),
    ("own_plain/old_compare.nam", "somebody's notes"),
    ("own_plain/.DS_Store", "a desktop's"),
    ("own_deep/a/first.npf", "k = 1"),
    ("own_deep/a/b/second.npf", "k = 2"),
    ("own_deep/mfsim.nam", "another simulation"),
    ("own_deep/model.dis", "one layer"),
    ("own_deep/inner/mfsim.nam", "an inner simulation"),
    ("own_deep/inner/arrays/k.npf", "k = 3"),
    ("own_deep/inner/arrays/k.ucn", "concentrations"),
    ("own_example/mf6gwt/mfsim.nam", "transport"),
    ("own_example/mf6gwt/flow.dis", "one layer"),
    ("own_example/mf6gwf/mfsim.nam", "flow"),
    ("own_example/mf6gwf/with space é.dis", "a name that has to be encoded"),
    ("own_example/mf6gwf/empty.dis", ""),
    ("own_example/notes.txt", "of no model"),
    ("no_model/model.dis", "of no model"),
];

/// Real models; see the notes beside them.
const REFERENCE: &str = "../../shared/data/mf6-testmodels/mf6";

pub(super) struct Models {
    root: PathBuf,
    /// The files of each model, by the model's path, by their path in it.
    models: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

impl Models {
    /// Writes models into a folder.
    pub(super) fn write(root: &Path) -> Result<Self> {
        let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join(REFERENCE);
        let mut files: BTreeMap<String, Vec<u8>> = if reference.is_dir() {
            read(&reference)?
        } else {
            println!("skipped: the models in {} are not here", reference.display());
            BTreeMap::new()
        };
        files.extend(OWN.map(|(path, content)| (path.to_owned(), content.as_bytes().to_vec())));
        for (path, content) in &files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().context("a folder above a file")?)?;
            std::fs::write(path, content)?;
        }
        let folders: BTreeSet<&str> =
            files.keys().filter_map(|path| path.strip_suffix("/mfsim.nam")).collect();
        let models = folders
            .into_iter()
            .map(|folder| {
                let inside = files.iter().filter(|(path, _)| is_input(path)).filter_map(
                    |(path, content)| {
                        let path = path.strip_prefix(folder)?.strip_prefix('/')?;
                        Some((path.to_owned(), content.clone()))
                    },
                );
                (folder.to_owned(), inside.collect())
            })
            .collect();
        Ok(Self { root: root.to_owned(), models })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn len(&self) -> usize {
        self.models.len()
    }

    /// Copies all models, and each that holds another by itself.
    pub(super) async fn ensure_copied_by_us(
        &self,
        user: &User,
        source: &str,
        reference: &str,
    ) -> Result<()> {
        let folder = user.path("copied");
        let shown = folder.display().to_string();
        let address = format!("{source}@{reference}");
        user.callsheet(&["files", "copy", &format!("{address}/**"), &shown]).await?;
        let all = self.models.iter().flat_map(|(model, files)| {
            files.iter().map(move |(path, content)| (format!("{model}/{path}"), content.clone()))
        });
        ensure_same("all models, copied by us", &all.collect(), &read(&folder)?)?;
        for (model, files) in &self.models {
            let is_outer = self.models.keys().any(|other| other.starts_with(&format!("{model}/")));
            if is_outer {
                let folder = user.path("copied-outer").join(model);
                let shown = folder.display().to_string();
                user.callsheet(&["files", "copy", &format!("{address}/{model}"), &shown]).await?;
                ensure_same(model, files, &read(&folder)?)?;
            }
        }
        Ok(())
    }

    /// Has the Python package copy all models.
    pub(super) async fn ensure_copied_by_them(&self, user: &User, source: &str) -> Result<()> {
        let folder = user.path("copied-by-them");
        user.copy_with_them(&folder).await?;
        let there: BTreeSet<String> = std::fs::read_dir(&folder)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        let folder_of = |model: &str| format!("{source}/{model}").replace('/', "__");
        let expected: BTreeSet<String> = self.models.keys().map(|name| folder_of(name)).collect();
        ensure!(there == expected, "they copied {there:?}, not {expected:?}");
        for (model, files) in &self.models {
            let copied = read(&folder.join(folder_of(model)))?;
            ensure_same(&format!("{model}, copied by them"), files, &copied)?;
        }
        Ok(())
    }
}

/// Returns whether a file is what somebody put into a model, and not what came out of it.
fn is_input(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix).to_ascii_lowercase();
    let outputs = ["lst", "hds", "hed", "cbb", "cbc", "bud", "ddn", "ucn", "glo"];
    !name.contains(".DS_Store") && !name.contains("compare") && !outputs.contains(&&*suffix)
}

fn ensure_same(
    what: &str,
    expected: &BTreeMap<String, Vec<u8>>,
    copied: &BTreeMap<String, Vec<u8>>,
) -> Result<()> {
    for (path, content) in expected {
        let copied = copied.get(path).with_context(|| format!("{what}: {path} is missing"))?;
        ensure!(copied == content, "{what}: {path} has other bytes");
    }
    let more = copied.keys().find(|path| !expected.contains_key(*path));
    ensure!(more.is_none(), "{what}: {more:?} is there, too");
    Ok(())
}

/// Returns every file below a folder, by its path.
fn read(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, below)) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            let path = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push((entry.path(), format!("{path}/")));
            } else {
                files.insert(path, std::fs::read(entry.path())?);
            }
        }
    }
    Ok(files)
}
