//! How much may still come out of an archive, counted while it comes.

use super::{UnpackLimits, invalid};
use crate::TreeError;
use std::{
    cell::{Cell, RefCell},
    io::{self, Read},
};

/// What no ratio forbids.
const FREE_BYTES: u64 = 16 << 20;

/// What was read of an archive, and what went wrong on the way. Readers can only return an
/// [`io::Error`], and whoever reads may swallow it; so the first fault is kept here.
pub(super) struct Budget<'a> {
    pub(super) name: &'a str,
    pub(super) limits: UnpackLimits,
    /// The most that the ratio allows for the archive as it is on the disk.
    max_unpacked_bytes: u64,
    content_bytes: Cell<u64>,
    unpacked_bytes: Cell<u64>,
    fault: RefCell<Option<Fault>>,
}

enum Fault {
    TooLarge,
    LargeMember,
    Bomb,
    Broken(io::Error),
}

impl<'a> Budget<'a> {
    pub(super) fn new(name: &'a str, limits: UnpackLimits, archive_bytes: u64) -> Self {
        let max_unpacked_bytes =
            archive_bytes.saturating_mul(limits.max_ratio).saturating_add(FREE_BYTES);
        Self {
            name,
            limits,
            max_unpacked_bytes,
            content_bytes: Cell::new(0),
            unpacked_bytes: Cell::new(0),
            fault: RefCell::new(None),
        }
    }

    /// Counts bytes that came out of compression, headers among them.
    pub(super) fn unpacked(&self, bytes: usize) -> io::Result<()> {
        let all = self.unpacked_bytes.get().saturating_add(bytes as u64);
        self.unpacked_bytes.set(all);
        if all > self.max_unpacked_bytes { Err(self.fault(Fault::Bomb)) } else { Ok(()) }
    }

    fn content(&self, bytes: usize, of_member: u64) -> io::Result<()> {
        let all = self.content_bytes.get().saturating_add(bytes as u64);
        self.content_bytes.set(all);
        if of_member > self.limits.max_member_bytes {
            Err(self.fault(Fault::LargeMember))
        } else if all > self.limits.max_bytes {
            Err(self.fault(Fault::TooLarge))
        } else if all > self.max_unpacked_bytes {
            // Holes are nowhere in the archive and still come out of it.
            Err(self.fault(Fault::Bomb))
        } else {
            Ok(())
        }
    }

    fn fault(&self, fault: Fault) -> io::Error {
        let said = match &fault {
            Fault::TooLarge | Fault::LargeMember | Fault::Bomb => "it is larger than it may be",
            Fault::Broken(_) => "it is broken",
        };
        self.fault.borrow_mut().get_or_insert(fault);
        invalid(said)
    }

    /// Returns the first fault, if there was one; `path` is the member that was read.
    pub(super) fn check(&self, path: &str) -> Result<(), TreeError> {
        let Some(fault) = self.fault.take() else { return Ok(()) };
        let (name, path) = (self.name.to_owned(), path.to_owned());
        let limits = self.limits;
        Err(match fault {
            Fault::TooLarge => TreeError::TooLarge { name, max_bytes: limits.max_bytes },
            Fault::LargeMember => {
                TreeError::LargeMember { name, path, max_bytes: limits.max_member_bytes }
            }
            Fault::Bomb => TreeError::Bomb { name, max_ratio: limits.max_ratio },
            Fault::Broken(cause) => TreeError::BrokenMember { name, path, cause },
        })
    }

    pub(super) fn broken(&self, cause: io::Error) -> TreeError {
        TreeError::Broken { name: self.name.to_owned(), cause }
    }
}

/// The content of one member, which is exactly as long as the archive says.
pub(super) struct Content<'a> {
    inner: &'a mut dyn Read,
    budget: &'a Budget<'a>,
    size_bytes: u64,
    came_bytes: u64,
    has_ended: bool,
}

impl<'a> Content<'a> {
    pub(super) fn new(inner: &'a mut dyn Read, size_bytes: u64, budget: &'a Budget<'a>) -> Self {
        Self { inner, budget, size_bytes, came_bytes: 0, has_ended: false }
    }

    /// Reads what is left. What goes wrong is in the budget.
    pub(super) fn drain(&mut self) {
        let _ = io::copy(self, &mut io::sink());
    }

    /// Reads on where everything was read and its end was not met: checksums are checked there.
    pub(super) fn meet_end(&mut self) {
        if self.came_bytes == self.size_bytes && !self.has_ended {
            self.drain();
        }
    }

    fn broken(&self, cause: io::Error) -> io::Error {
        self.budget.fault(Fault::Broken(cause))
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.has_ended {
            return Ok(0);
        }
        let length = match self.inner.read(buffer) {
            Ok(length) => length,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => return Err(cause),
            Err(cause) => return Err(self.broken(cause)),
        };
        if length == 0 {
            self.has_ended = true;
            if self.came_bytes < self.size_bytes {
                return Err(self.broken(io::ErrorKind::UnexpectedEof.into()));
            }
            return Ok(0);
        }
        self.came_bytes = self.came_bytes.saturating_add(length as u64);
        self.budget.content(length, self.came_bytes)?;
        if self.came_bytes > self.size_bytes {
            return Err(self.broken(invalid("it is longer than the archive says")));
        }
        Ok(length)
    }
}
