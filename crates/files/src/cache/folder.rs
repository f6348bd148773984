//! Where the cache keeps what, and how a file gets there: it is written under a name of its own,
//! flushed, and renamed. So nobody ever sees half a file, and no process waits for another.

use super::{Cache, CacheError};
use callsheet_types::Digest;
use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Tells backup programs that the folder can be made again.
const TAG_NAME: &str = "CACHEDIR.TAG";
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # What callsheet can fetch again lies here. See https://bford.info/cachedir/\n";

/// How often a folder is made again that a cleaning takes away, being empty.
const ATTEMPTS: usize = 16;

/// How much is read and hashed at once.
pub(crate) const BLOCK_BYTES: usize = 256 * 1024;

/// Blames a path for what failed.
pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> CacheError + use<'_> {
    move |cause| CacheError::Io { path: path.to_owned(), cause }
}

/// Returns a name that no other process chooses, on this machine or another.
pub(super) fn unique_name() -> String {
    format!("{}-{:016x}", std::process::id(), fastrand::u64(..))
}

/// Makes a file that everybody may read, as far as the umask allows.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
    options.open(path)
}

/// Makes a folder and those above it; `touched` gets the folders that have a new entry.
fn make_folder(path: &Path, touched: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let mut made = fs::create_dir(path);
    if let (Err(error), Some(parent)) = (&made, path.parent())
        && error.kind() == io::ErrorKind::NotFound
    {
        make_folder(parent, touched)?;
        made = fs::create_dir(path);
    }
    match made {
        Ok(()) => {
            touched.extend(path.parent().map(Path::to_owned));
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if path.is_dir() {
                Ok(())
            } else {
                Err(io::ErrorKind::NotADirectory.into())
            }
        }
        Err(error) => Err(error),
    }
}

/// Makes a folder of the cache, durably.
pub(super) fn make_folder_durably(folder: &Path) -> Result<(), CacheError> {
    let mut touched = BTreeSet::new();
    make_folder(folder, &mut touched).map_err(failed(folder))?;
    flush_folders(&touched)
}

/// Makes the entries of folders durable. What was cleaned away meanwhile needs it no more, and some
/// network file systems know no such request.
pub(super) fn flush_folders(folders: &BTreeSet<PathBuf>) -> Result<(), CacheError> {
    #[cfg(unix)]
    for folder in folders {
        match File::open(folder).and_then(|folder| folder.sync_all()) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::Unsupported
                ) =>
            {
                return Err(failed(folder)(error));
            }
            _ => {}
        }
    }
    #[cfg(not(unix))]
    let _ = folders;
    Ok(())
}

/// A file on its way into the cache; it goes away unless it arrives.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// Makes one, and the folders of the cache where they are missing.
    pub(super) fn create(cache: &Cache) -> Result<(Self, File), CacheError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let path = cache.temporaries().join(unique_name());
            match create_new(&path) {
                Ok(file) => return Ok((Self { path }, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempts < ATTEMPTS => {
                    cache.prepare()?;
                }
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && attempts < ATTEMPTS => {}
                Err(error) => return Err(failed(&path)(error)),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Renames it to where it belongs, and lets go of it.
    pub(super) fn rename(&self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the renaming there is nothing of this name, and no other process uses it.
        let _ = fs::remove_file(&self.path);
    }
}

impl Cache {
    pub(super) fn files(&self) -> PathBuf {
        self.root.join("files").join("sha256")
    }

    pub(super) fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    pub(super) fn deriveds(&self) -> PathBuf {
        self.root.join("derived")
    }

    pub(super) fn temporaries(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Returns where a file of this digest is, or would be.
    pub(super) fn path_of(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let (folder, name) = hex.split_at(2);
        self.files().join(folder).join(name)
    }

    /// Returns the length of the file of this digest, if there is one.
    pub fn length_of(&self, digest: &Digest) -> Option<u64> {
        let metadata = fs::symlink_metadata(self.path_of(digest)).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    fn prepare(&self) -> Result<(), CacheError> {
        let is_ours = fs::read_dir(&self.root).map_or(true, |mut entries| entries.next().is_none());
        make_folder_durably(&self.temporaries())?;
        // A folder that holds something else of the user's must stay in their backups.
        let tagged = if is_ours { self.root.clone() } else { self.root.join("files") };
        if !self.root.join(TAG_NAME).exists() {
            make_folder_durably(&tagged)?;
            // Without the tag the cache works as well.
            let _ = create_new(&tagged.join(TAG_NAME))
                .and_then(|mut file| io::Write::write_all(&mut file, TAG.as_bytes()));
        }
        Ok(())
    }

    /// Gives a file that is whole and flushed its place. `touched` gets the folders to be flushed.
    pub(super) fn settle(
        &self,
        temporary: &Temporary,
        digest: &Digest,
        touched: &mut BTreeSet<PathBuf>,
    ) -> Result<(), CacheError> {
        let to = self.path_of(digest);
        let folder = to.parent().unwrap_or(&self.root);
        let mut attempts = 0;
        loop {
            attempts += 1;
            match temporary.rename(&to) {
                Ok(()) => {
                    touched.insert(folder.to_owned());
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempts < ATTEMPTS => {
                    make_folder(folder, touched).map_err(failed(folder))?;
                }
                Err(error) => return Err(failed(&to)(error)),
            }
        }
    }

    /// Opens the file of a digest; `None` where there is none. What is no file, such as a link, was
    /// not put there by a cache.
    pub(super) fn open_kept(&self, digest: &Digest) -> Result<Option<(File, u64)>, CacheError> {
        let path = self.path_of(digest);
        let opened = fs::symlink_metadata(&path).and_then(|metadata| {
            if metadata.is_file() {
                File::open(&path).map(|file| Some((file, metadata.len())))
            } else {
                Ok(None)
            }
        });
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map_err(failed(&path)),
        }
    }

    /// Removes a damaged file. It is renamed away first and looked into once more: another process
    /// may have put a good one in its place since, and that one goes back.
    pub(super) fn discard(&self, digest: &Digest) -> Result<(), CacheError> {
        let path = self.path_of(digest);
        let away = Temporary { path: self.temporaries().join(unique_name()) };
        let mut renamed = fs::rename(&path, away.path());
        if matches!(&renamed, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            make_folder_durably(&self.temporaries())?;
            renamed = fs::rename(&path, away.path());
        }
        match renamed {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(&path)(error)),
        }
        let is_good =
            File::open(away.path()).and_then(digest_of).is_ok_and(|(got, _)| got == *digest);
        if is_good {
            // That it cannot go back costs fetching it again.
            let _ = self.settle(&away, digest, &mut BTreeSet::new());
        }
        Ok(())
    }
}

/// Returns the digest and the length of what a reader gives.
pub(crate) fn digest_of(mut content: impl Read) -> io::Result<(Digest, u64)> {
    let mut hasher = Hasher::default();
    let mut block = vec![0; BLOCK_BYTES];
    while let Some(bytes) = next_block(&mut content, &mut block)? {
        hasher.update(bytes);
    }
    Ok(hasher.finish())
}

/// Reads on; `None` at the end.
pub(super) fn next_block<'a>(
    content: &mut (impl Read + ?Sized),
    block: &'a mut [u8],
) -> io::Result<Option<&'a [u8]>> {
    loop {
        match content.read(block) {
            Ok(0) => return Ok(None),
            Ok(length) => return Ok(block.get(..length)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Takes digest and length of bytes that pass by.
#[derive(Default)]
pub(super) struct Hasher {
    state: sha2::Sha256,
    length: u64,
}

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.state, bytes);
        self.length += bytes.len() as u64;
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn finish(self) -> (Digest, u64) {
        (Digest::from_bytes(sha2::Digest::finalize(self.state).into()), self.length)
    }
}
