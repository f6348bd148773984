//! The file that a download grows in, and what is known of it.

use bytes::Bytes;
use callsheet_types::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

/// What it takes to go on later.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// Of the address, which may hold what nobody should read on a disk.
    pub(super) url: Digest,
    /// A strong entity tag, or a date.
    pub(super) validator: String,
    pub(super) total_bytes: u64,
}

/// More than any note of an [`Origin`] has.
const MAX_NOTE_BYTES: u64 = 16 << 10;
/// How often the file may go away between being opened and being locked.
const MAX_OPENS: usize = 4;

/// A file that a download grows in. Blocks.
#[derive(Debug)]
pub(super) struct Partial {
    // Dropped before the file: nobody else is to find it unlocked.
    place: Kept,
    file: File,
    hasher: Sha256,
    position: u64,
    origin: Option<Origin>,
}

/// Where the file is. Unless it is kept, it goes away when this is dropped.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    /// The note beside it; none where the file is this download's own, and nobody goes on with it.
    note: Option<PathBuf>,
    stays: bool,
    identity: Option<Identity>,
}

/// Which file it is, whatever its name: one that another process put in its place stays.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = ();

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "other systems have none")]
fn identity(metadata: &fs::Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Option<Identity> {
    None
}

impl Drop for Kept {
    fn drop(&mut self) {
        let is_ours =
            || fs::metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity);
        if self.stays || !is_ours() {
            return;
        }
        if let Some(note) = &self.note {
            let _ = fs::remove_file(note);
        }
        let _ = fs::remove_file(&self.path);
    }
}

impl Partial {
    /// Opens the file, and finds out how much of it is of use.
    pub(super) fn open(path: &Path, url: Digest) -> io::Result<Self> {
        for _ in 0..MAX_OPENS {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            // Whether somebody has it, or nobody can lock here at all: a file of one's own is right.
            if file.try_lock().is_err() {
                return Self::apart(path);
            }
            let identity = identity(&file.metadata()?);
            let is_there = fs::metadata(path).is_ok_and(|found| self::identity(&found) == identity);
            // Whoever had it before may have finished and removed it meanwhile.
            if is_there {
                let note = beside(path, ".json");
                let place = Kept { path: path.to_owned(), note: Some(note), stays: true, identity };
                return Self::go_on(file, place, url);
            }
        }
        Self::apart(path)
    }

    /// Makes a file that no other process knows of.
    pub(super) fn apart(path: &Path) -> io::Result<Self> {
        let name = format!(".{}-{:016x}", std::process::id(), fastrand::u64(..));
        let path = beside(path, &name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let identity = identity(&file.metadata()?);
        let place = Kept { path, note: None, stays: false, identity };
        Ok(Self { file, place, hasher: Sha256::new(), position: 0, origin: None })
    }

    fn go_on(file: File, place: Kept, url: Digest) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let origin = place.note.as_deref().and_then(read_note);
        let origin = origin.filter(|o| o.url == url && (1..=o.total_bytes).contains(&length));
        let mut partial = Self { file, place, hasher: Sha256::new(), position: 0, origin: None };
        let Some(origin) = origin else {
            partial.begin(None)?;
            return Ok(partial);
        };
        // Of what is complete the last byte is asked for again: the answer says whether it is
        // still the same.
        partial.position = length.min(origin.total_bytes - 1);
        partial.hasher = hash(&mut partial.file, partial.position)?;
        partial.file.set_len(partial.position)?;
        partial.file.seek(SeekFrom::Start(partial.position))?;
        partial.origin = Some(origin);
        Ok(partial)
    }

    /// How many bytes are there.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    pub(super) fn path(&self) -> &Path {
        &self.place.path
    }

    /// Throws away what is there, and notes what comes now.
    pub(super) fn begin(&mut self, origin: Option<Origin>) -> io::Result<()> {
        // In this order: a note beside a file of something else would be a lie.
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.position = 0;
        self.hasher = Sha256::new();
        if let Some(note) = &self.place.note {
            match &origin {
                Some(origin) => write_note(note, origin)?,
                None => {
                    let _ = fs::remove_file(note);
                }
            }
        }
        self.origin = origin;
        Ok(())
    }

    /// Adds what came.
    pub(super) fn append(&mut self, bytes: &Bytes) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Lets the file stay for a later download if there is something to go on with.
    pub(super) fn keep(&mut self) {
        self.place.stays = self.place.note.is_some() && self.position > 0 && self.origin.is_some();
    }

    /// Lets the file go away.
    pub(super) fn discard(&mut self) {
        self.place.stays = false;
    }

    /// Returns the file, at its beginning, with its digest, its length and what removes it; or
    /// itself where the file does not hold what came, because somebody else wrote to it too.
    pub(super) fn finish(mut self) -> io::Result<Result<(File, Digest, u64, Kept), Self>> {
        // Locks are not to be relied on where file systems are shared.
        let came: [u8; 32] = self.hasher.clone().finalize().into();
        let is_there: [u8; 32] = hash(&mut self.file, self.position)?.finalize().into();
        if came != is_there || self.file.metadata()?.len() != self.position {
            return Ok(Err(self));
        }
        self.file.rewind()?;
        self.place.stays = false;
        Ok(Ok((self.file, Digest::from_bytes(came), self.position, self.place)))
    }
}

/// Hashes the first bytes; fewer where there are fewer.
fn hash(file: &mut File, count: u64) -> io::Result<Sha256> {
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut rest = file.take(count);
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(hasher),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
}

fn read_note(path: &Path) -> Option<Origin> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(MAX_NOTE_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Writes it whole or not at all, for whoever reads it after a crash.
fn write_note(path: &Path, origin: &Origin) -> io::Result<()> {
    let new = beside(path, &format!(".{}-{:016x}", std::process::id(), fastrand::u64(..)));
    let text = serde_json::to_vec(origin)?;
    fs::write(&new, text).and_then(|()| fs::rename(&new, path)).inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}
