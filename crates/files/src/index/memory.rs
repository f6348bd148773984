//! What the files of a folder looked like when they were last read, and their digests.

use super::{
    hash::Hashed,
    walk::{FoundFile, State, since_1970},
};
use callsheet_types::Digest;
use std::{
    collections::HashMap,
    fs,
    io::{self, Write as _},
    path::Path,
    time::SystemTime,
};

/// Has to change with the form.
const MARK: &[u8; 16] = b"callsheet index\x01";
/// A file may be written to again without looking otherwise, if its clock is as coarse as this.
const COARSE_NS: i128 = 2_000_000_000;
/// Of what has a fixed length.
const ENTRY_BYTES: usize = 8 + 16 + 16 + 8 + 32 + 4;

/// Digests by path.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: HashMap<Box<str>, (State, Digest)>,
}

impl Memory {
    /// Reads it; one that is missing or damaged is empty.
    pub(super) fn read(path: &Path) -> Self {
        let known = fs::read(path).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        Self { known }
    }

    /// Returns the digest of a file that still looks the same.
    pub(super) fn digest(&self, file: &FoundFile) -> Option<Digest> {
        let (state, digest) = self.known.get(&*file.path)?;
        (*state == file.state).then_some(*digest)
    }

    /// Writes what is to be remembered of an index that was begun then, all of it or nothing. Files
    /// that were written to just before may be written to again unseen: they are left out.
    pub(super) fn write(
        &self,
        path: &Path,
        files: &[FoundFile],
        hashed: &Hashed,
        begun: SystemTime,
    ) -> io::Result<()> {
        if hashed.read == 0 && files.len() == self.known.len() {
            return Ok(());
        }
        let settled = since_1970(begun) - COARSE_NS;
        let pairs = files.iter().zip(&hashed.digests);
        let kept = pairs.filter(|(file, _)| file.state.modified_ns < settled);
        let mut body = Vec::with_capacity(files.len() * (ENTRY_BYTES + 64));
        for (file, digest) in kept {
            let state = &file.state;
            body.extend(state.size.to_le_bytes());
            body.extend(state.modified_ns.to_le_bytes());
            body.extend(state.changed_ns.to_le_bytes());
            body.extend(state.inode.to_le_bytes());
            body.extend(digest.as_bytes());
            body.extend((file.path.len() as u32).to_le_bytes());
            body.extend(file.path.as_bytes());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(MARK)?;
        file.write_all(Digest::of(&body).as_bytes())?;
        file.write_all(&body)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

fn decode(bytes: &[u8]) -> Option<HashMap<Box<str>, (State, Digest)>> {
    let (digest, mut body) = bytes.strip_prefix(MARK)?.split_first_chunk::<32>()?;
    if Digest::of(body).as_bytes() != digest {
        return None;
    }
    let mut known = HashMap::with_capacity(body.len() / (ENTRY_BYTES + 32));
    while !body.is_empty() {
        let state = State {
            size: u64::from_le_bytes(take(&mut body)?),
            modified_ns: i128::from_le_bytes(take(&mut body)?),
            changed_ns: i128::from_le_bytes(take(&mut body)?),
            inode: u64::from_le_bytes(take(&mut body)?),
        };
        let digest = Digest::from_bytes(take(&mut body)?);
        let len = u32::from_le_bytes(take(&mut body)?);
        let (path, rest) = body.split_at_checked(len as usize)?;
        body = rest;
        known.insert(std::str::from_utf8(path).ok()?.into(), (state, digest));
    }
    Some(known)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*array)
}
