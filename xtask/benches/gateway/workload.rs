//! What is asked and answered.

use std::net::SocketAddr;
use std::time::Duration;

/// The events of every stream, without its end marker.
pub(crate) const EVENTS: usize = 20;

/// The end marker of every stream.
pub(crate) const DONE: &str = "data: [DONE]\n\n";

/// The pause between two events of a paced stream.
pub(crate) const PACE: Duration = Duration::from_millis(11);

/// The pause between two events of a stream that is kept open to measure memory.
pub(crate) const SLOW_PACE: Duration = Duration::from_millis(500);

/// One kind of request; the model's name tells the stand-in which.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Workload {
    /// One JSON answer of about 600 bytes.
    Plain,
    /// All events in one write.
    BackToBack,
    /// Each event its own write, without pauses.
    EventByEvent,
    /// Each event its own write, [`PACE`] apart.
    Paced,
    /// Each event its own write, [`SLOW_PACE`] apart, for many more events.
    Slow,
}

impl Workload {
    pub(crate) const COMPARED: [Self; 4] =
        [Self::Plain, Self::BackToBack, Self::EventByEvent, Self::Paced];
    pub(crate) const ALL: [Self; 5] =
        [Self::Plain, Self::BackToBack, Self::EventByEvent, Self::Paced, Self::Slow];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::BackToBack => "back-to-back",
            Self::EventByEvent => "event-by-event",
            Self::Paced => "paced",
            Self::Slow => "slow",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Plain => "One plain answer",
            Self::BackToBack => "20 events in one write",
            Self::EventByEvent => "20 events, each its own write",
            Self::Paced => "20 events, 11 ms apart",
            Self::Slow => "Events, 500 ms apart",
        }
    }

    pub(crate) fn model(self) -> String {
        format!("bench-{}", self.name())
    }

    pub(crate) fn is_stream(self) -> bool {
        self != Self::Plain
    }

    /// Returns the whole body of the answer, without framing.
    pub(crate) fn body(self) -> Vec<u8> {
        if !self.is_stream() {
            return plain_body().into_bytes();
        }
        let mut body: String = (0..EVENTS).map(event).collect();
        body.push_str(DONE);
        body.into_bytes()
    }

    /// Returns the whole request, as the official Python client would send it.
    pub(crate) fn request(self, to: SocketAddr) -> Vec<u8> {
        let body = format!(
            concat!(
                r#"{{"messages":[{{"role":"system","content":"You are a helpful assistant."}},"#,
                r#"{{"role":"user","content":"Which films were shot in the desert, and by whom?"}}],"#,
                r#""model":"{}","max_tokens":256,"temperature":0.7,"stream":{}}}"#
            ),
            self.model(),
            self.is_stream()
        );
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {to}\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nUser-Agent: OpenAI/Python 1.0\r\n\
             Authorization: Bearer sk-bench\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// Returns the body of a plain answer.
fn plain_body() -> String {
    let content =
        "Lawrence of Arabia was shot in Jordan, Morocco and Spain by David Lean. ".repeat(5);
    format!(
        concat!(
            r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"#,
            r#""model":"bench-plain","choices":[{{"index":0,"message":{{"role":"assistant","#,
            r#""content":"{}"}},"logprobs":null,"finish_reason":"stop"}}],"#,
            r#""usage":{{"prompt_tokens":28,"completion_tokens":80,"total_tokens":108}}}}"#
        ),
        content
    )
}

/// Returns one event of a stream.
pub(crate) fn event(index: usize) -> String {
    format!(
        concat!(
            r#"data: {{"id":"chatcmpl-bench","object":"chat.completion.chunk","#,
            r#""created":1700000000,"model":"bench","choices":[{{"index":0,"#,
            r#""delta":{{"content":" word{:02}"}},"logprobs":null,"finish_reason":null}}]}}"#,
            "\n\n"
        ),
        index % 100
    )
}

/// Returns a piece of a body in its own HTTP chunk.
pub(crate) fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}
