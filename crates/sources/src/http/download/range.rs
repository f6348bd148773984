//! What an answer means for a file of which some bytes are there: pure.

use super::partial::Origin;
use callsheet_types::Digest;
use http::{HeaderMap, StatusCode, header};

/// What becomes of the file.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// The rest follows, from where the file ends.
    Rest {
        /// How long all of it is.
        total_bytes: u64,
    },
    /// All of it follows, from the beginning.
    Whole {
        /// How long it is.
        total_bytes: Option<u64>,
        /// What it takes to go on later, where the server can do that.
        origin: Option<Origin>,
    },
    /// What is there is of no use: ask for all of it.
    Anew(&'static str),
    /// It makes no sense.
    Nonsense(String),
    /// It is an answer without success.
    Refused,
}

/// Sorts an answer to a request that asked for what follows `position`, or for all where it is 0.
pub(super) fn sort(
    status: StatusCode,
    headers: &HeaderMap,
    url: Digest,
    position: u64,
    origin: Option<&Origin>,
) -> Answer {
    match status {
        StatusCode::PARTIAL_CONTENT if position > 0 => rest(headers, position, origin),
        StatusCode::RANGE_NOT_SATISFIABLE if position > 0 => {
            Answer::Anew("there is nothing behind what is here")
        }
        StatusCode::PARTIAL_CONTENT => {
            Answer::Nonsense("a part, where all of it was asked for".to_owned())
        }
        status if status.is_success() => {
            let total_bytes = text(headers, header::CONTENT_LENGTH).and_then(|n| n.parse().ok());
            let validator = validator(headers).filter(|_| has_ranges(headers));
            let origin = total_bytes.zip(validator).map(|(total_bytes, validator)| Origin {
                url,
                validator,
                total_bytes,
            });
            Answer::Whole { total_bytes, origin }
        }
        _ => Answer::Refused,
    }
}

fn rest(headers: &HeaderMap, position: u64, origin: Option<&Origin>) -> Answer {
    let Some(origin) = origin else { return Answer::Anew("nothing is known of what is here") };
    let Some(range) = text(headers, header::CONTENT_RANGE).and_then(ContentRange::parse) else {
        return Answer::Anew("the part does not say where it belongs");
    };
    if range.first != position {
        return Answer::Anew("the part begins elsewhere");
    }
    if range.total_bytes.is_some_and(|total| total != origin.total_bytes)
        || range.last >= origin.total_bytes
    {
        return Answer::Anew("it has another length now");
    }
    // Not every server heeds `If-Range`.
    if validator(headers).is_some_and(|validator| validator != origin.validator) {
        return Answer::Anew("it is another one now");
    }
    Answer::Rest { total_bytes: origin.total_bytes }
}

/// Returns what tells one state from another byte for byte: a strong entity tag, or a date.
fn validator(headers: &HeaderMap) -> Option<String> {
    match text(headers, header::ETAG) {
        Some(tag) if tag.starts_with('"') => Some(tag.to_owned()),
        _ => text(headers, header::LAST_MODIFIED).map(str::to_owned),
    }
}

fn has_ranges(headers: &HeaderMap) -> bool {
    text(headers, header::ACCEPT_RANGES).is_none_or(|units| !units.eq_ignore_ascii_case("none"))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// `bytes FIRST-LAST/TOTAL`, where the total may be `*`.
#[derive(Debug, Eq, PartialEq)]
struct ContentRange {
    first: u64,
    last: u64,
    total_bytes: Option<u64>,
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let total_bytes = if total.trim() == "*" { None } else { Some(number(total)?) };
        (unit.eq_ignore_ascii_case("bytes") && first <= last).then_some(Self {
            first,
            last,
            total_bytes,
        })
    }
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    // `parse` would take a sign too.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_part_counts_only_where_it_fits() {
        let url = Digest::of(b"url");
        let origin = Origin { url, validator: "\"one\"".to_owned(), total_bytes: 100 };
        let of = |lines: &[(&'static str, &'static str)]| {
            sort(StatusCode::PARTIAL_CONTENT, &headers(lines), url, 40, Some(&origin))
        };
        let rest = Answer::Rest { total_bytes: 100 };
        assert_eq!(of(&[("content-range", "bytes 40-99/100"), ("etag", "\"one\"")]), rest);
        assert_eq!(of(&[("content-range", "bytes 40-59/*")]), rest);
        for wrong in [
            "",
            "bytes 39-99/100",
            "bytes 40-99/101",
            "bytes 40-100/*",
            "bytes 40-39/100",
            "bytes +40-99/100",
            "items 40-99/100",
            "bytes */100",
            "bytes 40-99999999999999999999999/*",
        ] {
            let answer = of(&[("content-range", wrong), ("etag", "\"one\"")]);
            assert!(matches!(answer, Answer::Anew(_)), "{wrong}: {answer:?}");
        }
        let other = of(&[("content-range", "bytes 40-99/100"), ("etag", "\"two\"")]);
        assert!(matches!(other, Answer::Anew(_)), "{other:?}");
    }

    #[test]
    fn only_what_can_be_told_apart_is_gone_on_with() {
        let url = Digest::of(b"url");
        let of = |lines: &[(&'static str, &'static str)]| match sort(
            StatusCode::OK,
            &headers(lines),
            url,
            0,
            None,
        ) {
            Answer::Whole { origin, .. } => origin.map(|origin| origin.validator),
            other => panic!("{other:?}"),
        };
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let length = ("content-length", "100");
        assert_eq!(of(&[length, ("etag", "\"a\"")]).as_deref(), Some("\"a\""));
        assert_eq!(
            of(&[length, ("etag", "W/\"a\""), ("last-modified", date)]).as_deref(),
            Some(date)
        );
        assert_eq!(of(&[length, ("etag", "W/\"a\"")]), None);
        assert_eq!(of(&[length, ("etag", "\"a\""), ("accept-ranges", "none")]), None);
        assert_eq!(of(&[("etag", "\"a\"")]), None);
    }

    #[test]
    fn what_was_not_asked_for_is_nonsense() {
        let url = Digest::of(b"url");
        let of = |status, position| sort(status, &HeaderMap::new(), url, position, None);
        assert!(matches!(of(StatusCode::PARTIAL_CONTENT, 0), Answer::Nonsense(_)));
        assert!(matches!(of(StatusCode::RANGE_NOT_SATISFIABLE, 9), Answer::Anew(_)));
        assert_eq!(of(StatusCode::RANGE_NOT_SATISFIABLE, 0), Answer::Refused);
        assert_eq!(of(StatusCode::NOT_FOUND, 9), Answer::Refused);
    }
}
