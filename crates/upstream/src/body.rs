use crate::BodyError;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use std::{
    future::poll_fn,
    task::{Context, Poll},
};

/// What a backend answered: the head at once, the body as it comes.
#[derive(Debug)]
pub struct Answer {
    /// The status, never 1xx.
    pub status: StatusCode,
    /// The headers without those that concern one connection only, and without `Content-Length`,
    /// which [`AnswerBody::exact_length`] tells.
    pub headers: HeaderMap,
    /// The body.
    pub body: AnswerBody,
}

/// An answer's body, which owns the connection that it comes from.
///
/// When it has come to its end the connection returns to its [`Upstream`](crate::Upstream), if it
/// can carry another request; dropping it earlier closes the connection, which tells the backend
/// to stop.
#[derive(Debug)]
pub struct AnswerBody {}

impl AnswerBody {
    /// Returns the next bytes, as they came: what is buffered already, otherwise one read. `None`
    /// is the end; after an error there is nothing but the end.
    pub fn poll_data(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        Poll::Ready(Some(Err(BodyError::Cut(std::io::ErrorKind::Unsupported.into()))))
    }

    /// Returns the next bytes, like [`AnswerBody::poll_data`]. Cancel safe.
    pub async fn data(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_data(cx)).await
    }

    /// Returns the whole body, if it has at most `limit` bytes.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, BodyError> {
        let Some(first) = self.data().await else { return Ok(Bytes::new()) };
        let mut all = BytesMut::from(first?);
        while let Some(data) = self.data().await {
            all.extend_from_slice(&data?);
            if all.len() > limit {
                return Err(BodyError::TooLarge);
            }
        }
        Ok(all.freeze())
    }

    /// Returns how many bytes are left, where `Content-Length` said.
    pub fn exact_length(&self) -> Option<u64> {
        None
    }

    /// Returns whether nothing more will come, as far as that is known without reading.
    pub fn is_end(&self) -> bool {
        false
    }

    /// Returns whether the body lasts until the backend closes the connection, so that a cut on a
    /// connection without TLS cannot be told from the end.
    pub fn is_close_delimited(&self) -> bool {
        false
    }
}
