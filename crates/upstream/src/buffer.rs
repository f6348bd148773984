//! What has been read from a connection and not yet been used.

use bytes::BytesMut;

/// What a connection holds while little is read: enough for the head and the body of a usual
/// answer, or for many events, in one read.
const SMALL_BYTES: usize = 8 * 1024;
/// What is read at once where answers are large.
const LARGE_BYTES: usize = 64 * 1024;

/// A buffer that is small until large reads show that more pays, and small again afterwards, so
/// that a thousand open streams and idle connections hold little.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    pub(crate) bytes: BytesMut,
    /// How much is read at once.
    read_size: usize,
    /// How much the memory behind `bytes` holds.
    allocated: usize,
}

impl ReadBuffer {
    pub(crate) fn new() -> Self {
        Self { bytes: BytesMut::new(), read_size: SMALL_BYTES, allocated: 0 }
    }

    /// Expects so many bytes, so that room for them is made at once.
    pub(crate) fn expect(&mut self, length: u64) {
        if length > SMALL_BYTES as u64 {
            self.read_size = LARGE_BYTES.min(usize::try_from(length).unwrap_or(LARGE_BYTES));
        }
    }

    /// Makes room for a read, and returns it.
    ///
    /// Room that is there is used up before more is asked for: payloads that were cut out are often
    /// still on their way to the client when the next read is tried, and then more means a new
    /// allocation.
    pub(crate) fn make_room(&mut self) -> usize {
        let room = self.bytes.capacity() - self.bytes.len();
        if room >= self.read_size / 2 {
            return room;
        }
        self.refill();
        self.bytes.capacity() - self.bytes.len()
    }

    /// Makes as much room as one read may fill, in the same memory if nobody else refers to it any
    /// more: that is so when a new answer begins, and then one read takes in a usual answer whole.
    pub(crate) fn refill(&mut self) {
        if self.bytes.is_empty() && self.allocated > self.read_size {
            self.bytes = BytesMut::new();
            self.allocated = 0;
        }
        let wanted = self.read_size.saturating_sub(self.bytes.len()).max(self.read_size / 2);
        self.bytes.reserve(wanted);
        self.allocated = self.allocated.max(self.bytes.capacity());
    }

    /// Learns from a read of `length` bytes into `room`.
    pub(crate) fn note_read(&mut self, length: usize, room: usize) {
        if length == room && length >= self.read_size / 2 {
            self.read_size = (self.read_size * 2).min(LARGE_BYTES);
        } else if length < self.read_size / 4 {
            self.read_size = (self.read_size / 2).max(SMALL_BYTES);
        }
    }

    /// Lets go of a large allocation before the connection is laid aside.
    pub(crate) fn rest(&mut self) {
        if self.allocated > SMALL_BYTES {
            *self = Self::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffer: &mut ReadBuffer, length: usize) {
        let room = buffer.make_room();
        let length = length.min(room);
        buffer.bytes.extend_from_slice(&vec![b'x'; length]);
        buffer.note_read(length, room);
    }

    #[test]
    fn small_reads_keep_it_small() {
        let mut buffer = ReadBuffer::new();
        let mut sent = Vec::new();
        for _ in 0..1000 {
            read(&mut buffer, 300);
            let event = buffer.bytes.split().freeze();
            sent.push(event);
            // Each event leaves after the next read has been tried.
            if sent.len() > 1 {
                sent.remove(0);
            }
            assert!(buffer.allocated <= SMALL_BYTES, "{buffer:?}");
        }
    }

    #[test]
    fn it_grows_with_full_reads_and_shrinks_afterwards() {
        let mut buffer = ReadBuffer::new();
        for _ in 0..8 {
            read(&mut buffer, usize::MAX);
            drop(buffer.bytes.split());
        }
        assert_eq!(buffer.read_size, LARGE_BYTES);
        assert!(buffer.allocated >= LARGE_BYTES);
        for _ in 0..1000 {
            read(&mut buffer, 100);
            drop(buffer.bytes.split());
        }
        assert!(buffer.allocated <= SMALL_BYTES, "{buffer:?}");
    }

    #[test]
    fn a_known_length_is_read_at_once() {
        let mut buffer = ReadBuffer::new();
        buffer.expect(1 << 40);
        assert!(buffer.make_room() >= LARGE_BYTES);
        buffer.rest();
        assert!(buffer.allocated == 0 && buffer.bytes.capacity() == 0);
    }
}
