//! Server-sent events as bytes: where events end, whether a first one makes sense, and whether the
//! stream said that it was complete. Nothing is decoded or rewritten.

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use serde::de::IgnoredAny;

/// Cuts a stream of bytes into whole events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// What has come of an event that is not whole yet.
    partial: BytesMut,
    seen_done: bool,
    seen_error: bool,
}

/// More than the limit came without the end of an event.
#[derive(Debug, thiserror::Error)]
#[error("an event is longer than {0} bytes")]
pub(crate) struct EventTooLong(pub(crate) usize);

impl Events {
    /// Takes what was read and returns all whole events that are there now, comments included;
    /// empty where none has ended.
    pub(crate) fn push(&mut self, chunk: Bytes, limit: usize) -> Result<Bytes, EventTooLong> {
        let whole = if self.partial.is_empty() {
            match events_end(&chunk) {
                end if end == chunk.len() => chunk,
                end => {
                    self.partial.extend_from_slice(&chunk[end..]);
                    chunk.slice(..end)
                }
            }
        } else {
            // A blank line may begin in what is held and end in what has come.
            let searched_from = self.partial.len().saturating_sub(3);
            self.partial.extend_from_slice(&chunk);
            match events_end(&self.partial[searched_from..]) {
                0 => Bytes::new(),
                end => self.partial.split_to(searched_from + end).freeze(),
            }
        };
        if self.partial.len() > limit || holds_longer(&whole, limit) {
            return Err(EventTooLong(limit));
        }
        self.note(&whole);
        Ok(whole)
    }

    /// Returns what is left when the backend has ended the stream properly: nothing, or a last
    /// event whose blank line it left out.
    pub(crate) fn finish(&mut self) -> Bytes {
        let rest = self.partial.split().freeze();
        self.note(&rest);
        rest
    }

    /// Returns whether the stream has said that it is complete, by `[DONE]` or by an error.
    pub(crate) fn is_complete(&self) -> bool {
        self.seen_done || self.seen_error
    }

    fn note(&mut self, events: &[u8]) {
        self.seen_done |= has_done(events);
        // An error is final: whatever follows in the same read does not take it back.
        self.seen_error |= has_error(events);
    }
}

/// Returns where the last whole event ends: just after the last blank line, 0 where there is none.
fn events_end(bytes: &[u8]) -> usize {
    if bytes.ends_with(b"\n\n") || bytes.ends_with(b"\n\r\n") {
        return bytes.len();
    }
    let ends = |mark: &[u8]| memmem::rfind(bytes, mark).map_or(0, |at| at + mark.len());
    ends(b"\n\n").max(ends(b"\n\r\n")).max(ends(b"\r\r"))
}

/// Returns whether one of these whole events is longer than the limit, which must not depend on how
/// many of them a read brought.
fn holds_longer(mut events: &[u8], limit: usize) -> bool {
    while events.len() > limit {
        match events_end(&events[..limit]) {
            0 => return true,
            end => events = &events[end..],
        }
    }
    false
}

fn has_done(events: &[u8]) -> bool {
    memmem::find_iter(events, b"[DONE]").any(|at| {
        let after = &events[at + 6..];
        let ends_line = after.is_empty() || after[0] == b'\n' || after[0] == b'\r';
        let before = events[..at].strip_suffix(b" ").unwrap_or(&events[..at]);
        ends_line && before.strip_suffix(b"data:").is_some_and(begins_line)
    })
}

/// Returns whether the data of an event begins with an error, as OpenAI-compatible servers send it.
fn has_error(events: &[u8]) -> bool {
    const START: &[u8] = b"{\"error\":";
    memmem::find_iter(events, START).any(|at| {
        let is_set =
            matches!(events[at + START.len()..].trim_ascii_start().first(), Some(b'{' | b'"'));
        let before = events[..at].strip_suffix(b" ").unwrap_or(&events[..at]);
        is_set && before.strip_suffix(b"data:").is_some_and(begins_line)
    })
}

fn begins_line(before: &[u8]) -> bool {
    before.last().is_none_or(|byte| matches!(byte, b'\n' | b'\r'))
}

/// What the first whole events of a stream are.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Opening {
    /// Nothing but comments, which say only that the backend is alive.
    Comments,
    /// At least one event.
    Events,
    /// Something that is not an event stream of JSON.
    Garbage,
}

/// Judges the first whole events.
pub(crate) fn opening(events: &[u8]) -> Opening {
    let events = events.strip_prefix(b"\xef\xbb\xbf").unwrap_or(events);
    let mut data = Vec::new();
    let mut has_field = false;
    let newline = if memchr::memchr(b'\n', events).is_some() { b'\n' } else { b'\r' };
    for line in events.split(|byte| *byte == newline) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        match field {
            // An empty line ends an event; an empty field name is a comment.
            b"" if line.is_empty() && !data.is_empty() => break,
            b"" => {}
            b"data" => {
                has_field = true;
                data.extend_from_slice(value);
                data.push(b'\n');
            }
            b"event" | b"id" | b"retry" => has_field = true,
            _ => return Opening::Garbage,
        }
    }
    let payload = data.trim_ascii();
    match (has_field, payload) {
        (false, _) => Opening::Comments,
        (true, b"" | b"[DONE]") => Opening::Events,
        (true, payload) => match serde_json::from_slice::<IgnoredAny>(payload) {
            Ok(_) => Opening::Events,
            Err(_) => Opening::Garbage,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 1 << 20;

    #[test]
    fn the_end_of_the_last_whole_event_is_found() {
        for (bytes, end) in [
            ("", 0),
            ("data: 1", 0),
            ("data: 1\n", 0),
            ("data: 1\n\n", 9),
            ("data: 1\r\n\r\n", 11),
            ("data: 1\r\r", 9),
            ("data: 1\n\ndata: 2", 9),
            ("data: 1\r\n\r\ndata: 2\r\n", 11),
        ] {
            assert_eq!(events_end(bytes.as_bytes()), end, "{bytes:?}");
        }
    }

    #[test]
    fn only_an_event_longer_than_the_limit_is_too_long_whatever_comes_with_it() {
        for (stream, limit, fits) in [
            ("data: 1\n\ndata: 2\n\n", 9, true),
            ("data: 1\n\ndata: 2\n\n", 8, false),
            ("data: 1\n\ndata: 22\n\ndata: 3\n\n", 9, false),
            ("data: 1\n\ndata: 22\n\ndata: 3\n\n", 10, true),
            ("data: 1\r\n\r\ndata: 2\r\n\r\n", 11, true),
            ("data: 1\r\n\r\ndata: 2\r\n\r\n", 10, false),
        ] {
            for size in 1..=stream.len() {
                let mut events = Events::default();
                let all_fit = stream
                    .as_bytes()
                    .chunks(size)
                    .all(|chunk| events.push(Bytes::copy_from_slice(chunk), limit).is_ok());
                assert_eq!(all_fit, fits, "{stream:?} in pieces of {size}, limit {limit}");
            }
        }
    }

    #[test]
    fn only_a_data_line_of_its_own_is_the_end_marker() {
        for (bytes, done) in [
            ("data: [DONE]\n\n", true),
            ("data:[DONE]\r\n\r\n", true),
            ("data: 1\n\ndata: [DONE]\n\n: bye\n\n", true),
            ("data: [DONE]", true),
            ("data: {\"content\":\"data: [DONE]\"}\n\n", false),
            ("data: [DONE] \"\n\n", false),
            ("x-data: [DONE]\n\n", false),
            (": [DONE]\n\n", false),
        ] {
            assert_eq!(has_done(bytes.as_bytes()), done, "{bytes:?}");
        }
    }

    #[test]
    fn an_error_event_is_told_from_a_field_that_is_null() {
        for (bytes, error) in [
            ("data: {\"error\":{\"message\":\"out of memory\"}}\n\n", true),
            ("data:{\"error\": \"x\"}\n\n", true),
            ("data: {\"error\":null,\"choices\":[]}\n\n", false),
            ("data: {\"text\":\"data: {\\\"error\\\":{\"}\n\n", false),
        ] {
            assert_eq!(has_error(bytes.as_bytes()), error, "{bytes:?}");
        }
    }

    #[test]
    fn an_opening_is_events_comments_or_garbage() {
        for (bytes, expected) in [
            ("data: {\"a\":1}\n\n", Opening::Events),
            ("data: [DONE]\n\n", Opening::Events),
            ("event: x\nid: 1\ndata: {\"a\":\ndata: 1}\n\n", Opening::Events),
            ("event: x\r\nid: 1\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\n", Opening::Events),
            ("event: x\rid: 1\rdata: {\"a\":\rdata: 1}\r\r", Opening::Events),
            ("\u{feff}data: {}\r\n\r\n", Opening::Events),
            (": waiting\n\n", Opening::Comments),
            ("\n\n", Opening::Comments),
            (": waiting\n\ndata: {}\n\n", Opening::Events),
            ("<html>\n\n", Opening::Garbage),
            ("data: {\"a\"\n\n", Opening::Garbage),
            ("{\"id\":1}\n\n", Opening::Garbage),
        ] {
            assert_eq!(opening(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }

    #[test]
    fn an_event_without_end_is_not_held_forever() {
        let mut events = Events::default();
        assert!(events.push(Bytes::from(vec![b'x'; 100]), 100).unwrap().is_empty());
        assert!(events.push(Bytes::from_static(b"x"), 100).is_err());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_bytes_in_whole_events(
            texts in proptest::collection::vec("[a-zäß🦀 \\[\\]]{0,12}", 1..12),
            newline in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
            sizes in proptest::collection::vec(1usize..20, 1..60),
        ) {
            let mut stream = String::new();
            for text in &texts {
                stream.push_str(&format!("data: \"{text}\"{newline}{newline}"));
            }
            stream.push_str(&format!("data: [DONE]{newline}{newline}"));
            let mut rest = Bytes::from(stream.clone());
            let mut events = Events::default();
            let mut joined = Vec::new();
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let whole = events.push(rest.split_to((*size).min(rest.len())), LIMIT).unwrap();
                prop_assert!(whole.is_empty() || events_end(&whole) == whole.len());
                joined.extend_from_slice(&whole);
            }
            joined.extend_from_slice(&events.finish());
            prop_assert_eq!(std::str::from_utf8(&joined).unwrap(), stream);
            prop_assert!(events.is_complete());
        }
    }
}
