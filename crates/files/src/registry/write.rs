//! Writing registry files that this program and the Python package read.

use super::{Addresses, File, Model, Publishes, Registry};
use std::fmt::Write as _;

/// Writes a registry file; the same registry gives the same bytes.
pub(super) fn write(registry: &Registry, addresses: &Addresses) -> String {
    let mut out = String::with_capacity(64 + registry.files.len() * 256);
    out.push_str("schema_version = \"1.0\"\n");
    if registry.publishes == Publishes::Programs {
        write_programs(&mut out, registry);
        return out;
    }
    write_files(&mut out, registry, addresses);
    if registry.publishes == Publishes::Models {
        out.push_str("\n[models]\n");
        for model in &registry.models {
            let files = ordered(registry, model);
            write_list(&mut out, &model.name, files.iter().map(|file| file.key.as_str()));
        }
        out.push_str("\n[examples]\n");
        for example in &registry.examples {
            write_list(&mut out, &example.name, example.models.iter().map(|name| &**name));
        }
    }
    out
}

fn write_files(out: &mut String, registry: &Registry, addresses: &Addresses) {
    if *addresses == Addresses::None {
        out.push_str("\n[files]\n");
        for file in &registry.files {
            write_key(out, file.key.as_str());
            match file.digest {
                Some(digest) => put(out, format_args!(" = {{hash = \"{digest}\"}}\n")),
                None => out.push_str(" = {}\n"),
            }
        }
        return;
    }
    let mut files: Vec<(&str, Option<&File>)> =
        registry.files.iter().map(|file| (file.key.as_str(), Some(file))).collect();
    let archive = match addresses {
        Addresses::Archive(url) => Some(url.rsplit('/').next().unwrap_or(url)),
        Addresses::BeforeKey(_) | Addresses::None => None,
    };
    if let Some(name) = archive
        && registry.file(name).is_none()
        && callsheet_types::FilePath::new(name).is_ok()
    {
        // The Python package fetches the archive under a key of its own.
        files.push((name, None));
        files.sort_by_key(|(key, _)| *key);
    }
    if files.is_empty() {
        out.push_str("\n[files]\n");
    }
    for (key, file) in files {
        out.push_str("\n[files.");
        write_key(out, key);
        out.push_str("]\nurl = ");
        match addresses {
            Addresses::BeforeKey(base) => write_text(out, &format!("{base}/{key}")),
            Addresses::Archive(url) => write_text(out, url),
            Addresses::None => {}
        }
        out.push('\n');
        if let Some(digest) = file.and_then(|file| file.digest) {
            if archive.is_some_and(|archive| archive != key) {
                // The Python package unpacks no archive of whose files any has a `hash`: it would
                // fetch each of them, and get the archive.
                put(out, format_args!("digest = \"{digest}\"\n"));
            } else {
                put(out, format_args!("hash = \"{}\"\n", digest.hex()));
            }
        }
    }
}

fn write_list<'t>(out: &mut String, name: &str, items: impl ExactSizeIterator<Item = &'t str>) {
    write_key(out, name);
    if items.len() == 0 {
        out.push_str(" = []\n");
        return;
    }
    out.push_str(" = [\n");
    for item in items {
        out.push_str("    ");
        write_text(out, item);
        out.push_str(",\n");
    }
    out.push_str("]\n");
}

/// Returns a model's files as they are listed: those of its own folder first, since the Python
/// package takes the first one's folder for the model's.
fn ordered<'r>(registry: &'r Registry, model: &'r Model) -> Vec<&'r File> {
    let mut files: Vec<&File> = registry.files_of(model).collect();
    let folder = super::folder_of(&files);
    files.sort_by_key(|file| (file.key.folder() != folder, file.key.as_str()));
    files
}

fn write_programs(out: &mut String, registry: &Registry) {
    if registry.programs.is_empty() {
        out.push_str("\n[programs]\n");
    }
    for program in &registry.programs {
        out.push_str("\n[programs.");
        write_key(out, &program.name);
        out.push_str("]\n");
        write_field(out, "description", program.description.as_deref());
        write_field(out, "license", program.license.as_deref());
        write_field(out, "exe", program.exe.as_deref());
        for dist in &program.dists {
            out.push_str("\n[[programs.");
            write_key(out, &program.name);
            out.push_str(".dists]]\n");
            write_field(out, "name", Some(&dist.name));
            write_field(out, "asset", Some(dist.asset.as_str()));
            write_field(out, "exe", dist.exe.as_deref());
            let digest = registry.file(dist.asset.as_str()).and_then(|file| file.digest);
            if let Some(digest) = digest {
                put(out, format_args!("hash = \"{digest}\"\n"));
            }
        }
    }
}

fn write_field(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        put(out, format_args!("{name} = "));
        write_text(out, value);
        out.push('\n');
    }
}

fn write_key(out: &mut String, key: &str) {
    let is_bare = !key.is_empty()
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if is_bare {
        out.push_str(key);
    } else {
        write_text(out, key);
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    // Nearly every text stands as it is.
    let is_plain = text.bytes().all(|b| !matches!(b, 0..=0x1f | b'"' | b'\\' | 0x7f..));
    if is_plain {
        out.push_str(text);
        out.push('"');
        return;
    }
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => put(out, format_args!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    let _ = out.write_fmt(arguments);
}
