//! Taking bytes in: hashed while they come, and written to disk only when they are many or new.

use super::{
    Cache, CacheError,
    folder::{BLOCK_BYTES, Hasher, Temporary, failed, next_block},
};
use callsheet_types::Digest;
use std::io::{Read, Write};

/// Up to this length a file is hashed before it is written, so that one that the cache already has
/// costs no writing.
const IN_MEMORY_BYTES: u64 = 1 << 20;

/// Something that was read to its end and is what it should be.
pub(super) struct Arrived {
    pub(super) digest: Digest,
    pub(super) length: u64,
    held: Held,
}

enum Held {
    InMemory(Vec<u8>),
    OnDisk(Temporary),
}

impl Arrived {
    /// Reads all that there is, and checks it.
    pub(super) fn read(
        cache: &Cache,
        mut content: &mut dyn Read,
        expected: Option<Digest>,
        max_bytes: u64,
    ) -> Result<Self, CacheError> {
        let mut hasher = Hasher::default();
        let mut start = Vec::new();
        let at_once = IN_MEMORY_BYTES.min(max_bytes).saturating_add(1);
        (&mut content).take(at_once).read_to_end(&mut start).map_err(CacheError::Content)?;
        hasher.update(&start);
        let check_length = |length: u64| {
            if length > max_bytes { Err(CacheError::TooLong { max_bytes }) } else { Ok(()) }
        };
        check_length(hasher.length())?;
        let held = if hasher.length() <= IN_MEMORY_BYTES {
            Held::InMemory(start)
        } else {
            let (temporary, mut file) = Temporary::create(cache)?;
            file.write_all(&start).map_err(failed(temporary.path()))?;
            drop(start);
            let mut block = vec![0; BLOCK_BYTES];
            while let Some(bytes) = next_block(content, &mut block).map_err(CacheError::Content)? {
                hasher.update(bytes);
                check_length(hasher.length())?;
                file.write_all(bytes).map_err(failed(temporary.path()))?;
            }
            Held::OnDisk(temporary)
        };
        let (digest, length) = hasher.finish();
        match expected {
            Some(expected) if expected != digest => {
                Err(CacheError::WrongDigest { expected, got: digest })
            }
            _ => Ok(Self { digest, length, held }),
        }
    }

    /// Returns it as a file, which is not flushed yet.
    pub(super) fn on_disk(self, cache: &Cache) -> Result<Temporary, CacheError> {
        match self.held {
            Held::OnDisk(temporary) => Ok(temporary),
            Held::InMemory(bytes) => {
                let (temporary, mut file) = Temporary::create(cache)?;
                file.write_all(&bytes).map_err(failed(temporary.path()))?;
                Ok(temporary)
            }
        }
    }
}
