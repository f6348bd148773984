//! A registry as bytes that are read much faster than TOML.
//!
//! The head is a mark with the form's version, and the SHA-256 of all that follows; numbers are
//! little-endian, and every text and list has its length before it.

use super::{Base, Distribution, Example, File, Model, Program, Publishes, Registry};
use callsheet_types::{Digest, FilePath};

/// Has to change with the form, and with what a registry may hold.
const MARK: &[u8; 16] = b"callsheet reg 1\n";
const NONE: u32 = u32::MAX;

pub(super) fn compile(registry: &Registry) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + registry.files.len() * 112);
    out.extend(MARK);
    out.extend([0; 32]);
    out.push(registry.publishes as u8);
    list(&mut out, &registry.bases, |out, base| text(out, base));
    list(&mut out, &registry.files, |out, file| {
        text(out, file.key.as_str());
        let (kind, at) = match file.base {
            Base::None => (0, 0),
            Base::BeforeKey(at) => (1, at),
            Base::Archive(at) => (2, at),
        };
        out.push(kind | u8::from(file.digest.is_some()) << 7);
        out.extend(at.to_le_bytes());
        if let Some(digest) = file.digest {
            out.extend(digest.as_bytes());
        }
    });
    list(&mut out, &registry.models, |out, model| {
        text(out, &model.name);
        list(out, &model.files, |out, file| out.extend(file.to_le_bytes()));
    });
    list(&mut out, &registry.examples, |out, example| {
        text(out, &example.name);
        list(out, &example.models, |out, model| text(out, model));
    });
    list(&mut out, &registry.programs, |out, program| {
        text(out, &program.name);
        optional(out, program.description.as_deref());
        optional(out, program.license.as_deref());
        optional(out, program.exe.as_deref());
        list(out, &program.dists, |out, dist| {
            text(out, &dist.name);
            text(out, dist.asset.as_str());
            optional(out, dist.exe.as_deref());
        });
    });
    let digest = Digest::of(&out[MARK.len() + 32..]);
    out[MARK.len()..][..32].copy_from_slice(digest.as_bytes());
    out
}

fn list<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.extend((items.len() as u32).to_le_bytes());
    for item in items {
        write(out, item);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn optional(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) => text(out, value),
        None => out.extend(NONE.to_le_bytes()),
    }
}

pub(super) fn load(compiled: &[u8]) -> Option<Registry> {
    let (digest, body) = compiled.strip_prefix(MARK)?.split_first_chunk::<32>()?;
    if Digest::of(body).as_bytes() != digest {
        return None;
    }
    let mut rest = Rest(body);
    let publishes = *Publishes::ALL.get(usize::from(rest.byte()?))?;
    let bases = rest.list(|rest| Some(rest.text()?.into()))?;
    let files: Vec<File> = rest.list(|rest| {
        let key = FilePath::new(rest.text()?).ok()?;
        let kind = rest.byte()?;
        let at = rest.number()?;
        let base = match kind & 0x7f {
            0 => Base::None,
            1 | 2 if at as usize >= bases.len() => return None,
            1 => Base::BeforeKey(at),
            2 => Base::Archive(at),
            _ => return None,
        };
        let digest = if kind & 0x80 == 0 { None } else { Some(Digest::from_bytes(rest.array()?)) };
        Some(File { key, digest, base })
    })?;
    let models = rest.list(|rest| {
        let name = rest.text()?.into();
        let files = rest.list(|rest| rest.number().filter(|&at| (at as usize) < files.len()))?;
        Some(Model { name, files })
    })?;
    let examples = rest.list(|rest| {
        let name = rest.text()?.into();
        let models = rest.list(|rest| Some(rest.text()?.into()))?;
        Some(Example { name, models })
    })?;
    let programs = rest.list(Rest::program)?;
    let is_sorted = files.is_sorted_by(|a, b| a.key < b.key)
        && models.is_sorted_by(|a: &Model, b| a.name < b.name)
        && examples.is_sorted_by(|a: &Example, b| a.name < b.name);
    let registry = Registry { publishes, files, models, examples, bases, programs };
    (rest.0.is_empty() && is_sorted).then_some(registry)
}

/// What is not read yet.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn bytes(&mut self, len: u32) -> Option<&'b str> {
        let (bytes, rest) = self.0.split_at_checked(len as usize)?;
        self.0 = rest;
        std::str::from_utf8(bytes).ok()
    }

    fn text(&mut self) -> Option<&'b str> {
        let len = self.number()?;
        self.bytes(len)
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one is of the form, the inner of the value"
    )]
    fn optional(&mut self) -> Option<Option<String>> {
        match self.number()? {
            NONE => Some(None),
            len => self.bytes(len).map(|text| Some(text.to_owned())),
        }
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let len = self.number()? as usize;
        // Whatever is listed takes some bytes: a damaged length reserves no more memory than that.
        let mut items = Vec::with_capacity(len.min(self.0.len() / 4));
        for _ in 0..len {
            items.push(read(self)?);
        }
        Some(items)
    }

    fn program(&mut self) -> Option<Program> {
        let name = self.text()?.into();
        let description = self.optional()?;
        let license = self.optional()?;
        let exe = self.optional()?;
        let dists = self.list(|rest| {
            let name = rest.text()?.into();
            let asset = FilePath::new(rest.text()?).ok()?;
            Some(Distribution { name, asset, exe: rest.optional()? })
        })?;
        Some(Program { name, description, license, exe, dists })
    }
}
