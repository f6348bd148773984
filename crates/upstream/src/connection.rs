//! One connection: the stream and what has been read from it.

use crate::{alarm::Alarm, buffer::ReadBuffer, stream::Stream};
use std::{
    future::Future,
    io,
    pin::pin,
    task::{Context, Poll, ready},
    thread::{self, ThreadId},
};
use tokio::io::AsyncReadExt;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) buffer: ReadBuffer,
    pub(crate) alarm: Alarm,
    /// Where it was made: the runtime of that thread is told of its events.
    pub(crate) home: ThreadId,
}

impl Connection {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            buffer: ReadBuffer::new(),
            alarm: Alarm::default(),
            home: thread::current().id(),
        }
    }

    /// Has this thread's runtime told of its events, where the stream allows that.
    pub(crate) fn move_here(&mut self) -> io::Result<()> {
        self.stream.register_anew()?;
        // Its timer belongs to the other runtime, and must not be asked once that one has ended.
        self.alarm = Alarm::default();
        self.home = thread::current().id();
        Ok(())
    }

    /// Reads once, into the buffer's spare room; 0 is the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = self.buffer.make_room();
        // The future keeps nothing between polls, so that a new one each time reads just as well.
        let length = ready!(pin!(self.stream.read_buf(&mut self.buffer.bytes)).poll(cx))?;
        self.buffer.note_read(length, room);
        Poll::Ready(Ok(length))
    }
}
