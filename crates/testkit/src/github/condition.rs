//! Conditions and ranges: what of an answer is sent to somebody who has a part of it.

use bytes::Bytes;

use super::GitHubRequest;

/// What is left of a whole answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Whole,
    NotModified,
    /// These bytes: the first, and the one after the last.
    Range(usize, usize),
    Unsatisfiable,
}

/// Decides by the request's headers; the tag is what the `ETag` header says.
pub(super) fn part(
    request: &GitHubRequest,
    etag: Option<&str>,
    has_ranges: bool,
    length: usize,
) -> Part {
    if let (Some(etag), Some(known)) = (etag, request.header("if-none-match")) {
        let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
        let mut known = known.split(',').map(str::trim);
        if known.any(|tag| tag == "*" || opaque(tag) == opaque(etag)) {
            return Part::NotModified;
        }
    }
    let Some(range) = request.header("range").filter(|_| has_ranges) else { return Part::Whole };
    // A weak tag never vouches for the bytes that somebody has already.
    let vouches = |tag: &str| !tag.starts_with("W/") && Some(tag) == etag;
    if request.header("if-range").is_some_and(|tag| !vouches(tag)) {
        return Part::Whole;
    }
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Part::Whole;
    };
    match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), _) if first >= length => Part::Unsatisfiable,
        (Ok(first), Err(_)) if last.is_empty() => Part::Range(first, length),
        (Ok(first), Ok(last)) if first <= last => {
            Part::Range(first, length.min(last.saturating_add(1)))
        }
        (Err(_), Ok(count)) if first.is_empty() && count.min(length) == 0 => Part::Unsatisfiable,
        (Err(_), Ok(count)) if first.is_empty() => {
            Part::Range(length.saturating_sub(count), length)
        }
        // Several ranges, or none that makes sense: nobody is obliged to heed them.
        _ => Part::Whole,
    }
}

/// Cuts a part out of the content and adds the headers that say so.
pub(super) fn cut(part: Part, content: Bytes, headers: &mut Vec<(String, String)>) -> (u16, Bytes) {
    let length = content.len();
    let mut says = |range: String| headers.push(("Content-Range".to_owned(), range));
    match part {
        Part::Whole => (200, content),
        Part::NotModified => (304, Bytes::new()),
        Part::Range(first, end) => {
            says(format!("bytes {first}-{}/{length}", end - 1));
            (206, content.slice(first..end))
        }
        Part::Unsatisfiable => {
            says(format!("bytes */{length}"));
            (416, Bytes::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GitHubHost;

    fn check(headers: &[(&str, &str)], length: usize, expected: Part) {
        check_with("\"e\"", headers, length, expected);
    }

    fn check_with(etag: &str, headers: &[(&str, &str)], length: usize, expected: Part) {
        let request = GitHubRequest {
            host: GitHubHost::Raw,
            method: "GET".to_owned(),
            path: "/".to_owned(),
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        };
        assert_eq!(part(&request, Some(etag), true, length), expected, "{headers:?} of {length}");
    }

    #[test]
    fn ranges_are_those_of_the_rfc() {
        for (range, length, expected) in [
            ("bytes=0-0", 10, Part::Range(0, 1)),
            ("bytes=4-", 10, Part::Range(4, 10)),
            ("bytes=4-99", 10, Part::Range(4, 10)),
            ("bytes=4-18446744073709551615", 10, Part::Range(4, 10)),
            ("bytes=-3", 10, Part::Range(7, 10)),
            ("bytes=-30", 10, Part::Range(0, 10)),
            ("bytes=-0", 10, Part::Unsatisfiable),
            ("bytes=-5", 0, Part::Unsatisfiable),
            ("bytes=10-", 10, Part::Unsatisfiable),
            ("bytes=0-", 0, Part::Unsatisfiable),
            ("bytes=5-4", 10, Part::Whole),
            ("bytes=0-1,3-4", 10, Part::Whole),
            ("bytes=-", 10, Part::Whole),
            ("lines=0-1", 10, Part::Whole),
        ] {
            check(&[("Range", range)], length, expected);
        }
    }

    #[test]
    fn conditions_come_before_ranges() {
        let range = ("range", "bytes=1-2");
        check(&[("If-None-Match", "\"e\"")], 9, Part::NotModified);
        check(&[("If-None-Match", "\"x\", W/\"e\""), range], 9, Part::NotModified);
        check(&[("If-None-Match", "*")], 9, Part::NotModified);
        check(&[("If-None-Match", "\"x\"")], 9, Part::Whole);
        check(&[("If-Range", "\"e\""), range], 9, Part::Range(1, 3));
        check(&[("If-Range", "\"x\""), range], 9, Part::Whole);
        check(&[("If-Range", "W/\"e\""), range], 9, Part::Whole);
        let weak = "W/\"e\"";
        check_with(weak, &[("If-None-Match", weak)], 9, Part::NotModified);
        check_with(weak, &[("If-None-Match", "\"e\"")], 9, Part::NotModified);
        check_with(weak, &[("If-Range", weak), range], 9, Part::Whole);
        check_with(weak, &[range], 9, Part::Range(1, 3));
    }
}
