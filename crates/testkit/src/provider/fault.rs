//! What goes wrong with lists.

use std::time::Duration;

use bytes::Bytes;

use super::Speaks;
use super::answer::Good;
use crate::{Behaviour, Gate, RawStep};

/// What goes wrong with an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It does something else altogether.
    Does(Behaviour),
    /// This status, with an error for a body.
    Status(u16),
    /// 429 with this `Retry-After`.
    TooMany(String),
    /// An error for a body, and 200 for a status.
    ErrorBody,
    /// Something that is JSON and no list.
    NoList,
    /// A list without models.
    EmptyList,
    /// The first half of the body, as if that were all.
    Truncated,
    /// The first half of the body, and then the connection ends.
    BrokenOff,
    /// A redirect.
    Redirect(String),
    /// The right answer, later.
    Delay(Duration),
    /// The right answer, when the test opens the gate.
    Held(Gate),
    /// The right answer in small pieces with this pause between them.
    Slow(Duration),
}

impl Fault {
    pub(super) fn behaviour(self, speaks: Speaks, good: &Good) -> Behaviour {
        let with_body = |body: &str| Behaviour::Status {
            code: 200,
            headers: good.headers.clone(),
            body: body.to_owned(),
        };
        let half = floor(&good.body, good.body.len() / 2);
        match self {
            Self::Does(behaviour) => behaviour,
            Self::Status(code) => Behaviour::status(code),
            Self::TooMany(after) => Behaviour::status_with_header(429, "Retry-After", &after),
            Self::ErrorBody => {
                with_body(r#"{"error":{"message":"stand-in is overloaded","code":529}}"#)
            }
            Self::NoList => with_body(r#"{"message":"welcome"}"#),
            Self::EmptyList => with_body(match speaks {
                Speaks::Google | Speaks::Ollama => r#"{"models":[]}"#,
                Speaks::HuggingFace if good.body.starts_with('[') => "[]",
                _ => r#"{"object":"list","data":[]}"#,
            }),
            Self::Truncated => with_body(&good.body[..half]),
            Self::BrokenOff => {
                let head = good.head();
                let written = format!("{head}{}", &good.body[..half]);
                Behaviour::Raw(vec![RawStep::text(&written), RawStep::Close])
            }
            Self::Redirect(to) => Behaviour::Status {
                code: 302,
                headers: vec![("Location".to_owned(), to)],
                body: String::new(),
            },
            Self::Delay(delay) => good.behaviour().after(delay),
            Self::Held(gate) => good.behaviour().held_by(&gate),
            Self::Slow(pause) => {
                let mut steps = vec![RawStep::text(&good.head())];
                for piece in good.body.as_bytes().chunks(64) {
                    steps.push(RawStep::Write(Bytes::copy_from_slice(piece)));
                    steps.push(RawStep::Wait(pause));
                }
                Behaviour::Raw(steps)
            }
        }
    }
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
