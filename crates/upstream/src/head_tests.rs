use super::*;

fn head(wire: &str) -> Result<Head, Malformed> {
    match parse(wire.as_bytes(), false)? {
        Some((Parsed::Final(head), used)) => {
            assert_eq!(used, wire.len());
            Ok(head)
        }
        other => panic!("{other:?}"),
    }
}

/// Says in a word how the body of an answer with these header lines ends.
fn framing(status_line: &str, headers: &[&str]) -> Result<String, Malformed> {
    let lines = headers.iter().flat_map(|line| [*line, "\r\n"]).collect::<String>();
    let head = head(&format!("{status_line}\r\n{lines}\r\n"))?;
    let framing = match head.framing {
        Framing::Length(length) => length.to_string(),
        Framing::Chunked(_) => "chunked".to_owned(),
        Framing::UntilClose => "until close".to_owned(),
    };
    Ok(if head.persistent { framing } else { format!("{framing}, closes") })
}

#[test]
fn the_end_of_the_body_is_beyond_doubt() {
    for (status_line, headers, expected) in [
        ("HTTP/1.1 200 OK", &["content-length: 5"][..], "5"),
        ("HTTP/1.1 200 OK", &["content-length: 005"], "5"),
        ("HTTP/1.1 200 OK", &["content-length: 18446744073709551615"], "18446744073709551615"),
        ("HTTP/1.1 200 OK", &["content-length: 5", "Content-Length: 5"], "5"),
        ("HTTP/1.1 200 OK", &["content-length: 5, 5 ,5"], "5"),
        ("HTTP/1.1 200 OK", &["content-length: 5", "connection: close"], "5, closes"),
        ("HTTP/1.1 200 OK", &["content-length: 5", "connection: x, Close"], "5, closes"),
        ("HTTP/1.1 200 OK", &["content-length: 5", "connection: closed"], "5"),
        ("HTTP/1.1 200 OK", &["transfer-encoding: chunked"], "chunked"),
        ("HTTP/1.1 200 OK", &["Transfer-Encoding:  CHUNKED "], "chunked"),
        ("HTTP/1.1 200 OK", &[], "until close, closes"),
        ("HTTP/1.1 200 OK", &["connection: keep-alive"], "until close, closes"),
        ("HTTP/1.1 200", &["content-length: 0"], "0"),
        ("HTTP/1.0 200 OK", &["content-length: 5"], "5, closes"),
        ("HTTP/1.0 200 OK", &["content-length: 5", "connection: Keep-Alive"], "5"),
        (
            "HTTP/1.0 200 OK",
            &["content-length: 5", "connection: keep-alive", "connection: close"],
            "5, closes",
        ),
        ("HTTP/1.0 200 OK", &[], "until close, closes"),
        ("HTTP/1.1 204 No Content", &[], "0"),
        ("HTTP/1.1 204 No Content", &["content-length: 0"], "0"),
        ("HTTP/1.1 204 No Content", &["content-length: 5"], "0, closes"),
        ("HTTP/1.1 204 No Content", &["transfer-encoding: chunked"], "0, closes"),
        ("HTTP/1.1 304 Not Modified", &["content-length: 5"], "0"),
    ] {
        assert_eq!(framing(status_line, headers).unwrap(), expected, "{status_line} {headers:?}");
    }
}

#[test]
fn doubtful_ends_are_refused() {
    for (status_line, headers, expected) in [
        (
            "HTTP/1.1 200 OK",
            &["transfer-encoding: chunked", "content-length: 5"][..],
            Malformed::TwoLengths,
        ),
        (
            "HTTP/1.1 200 OK",
            &["content-length: 5", "transfer-encoding: identity"],
            Malformed::TwoLengths,
        ),
        ("HTTP/1.1 200 OK", &["transfer-encoding: gzip, chunked"], Malformed::TransferCoding),
        ("HTTP/1.1 200 OK", &["transfer-encoding: chunked, chunked"], Malformed::TransferCoding),
        ("HTTP/1.1 200 OK", &["transfer-encoding: xchunked"], Malformed::TransferCoding),
        ("HTTP/1.1 200 OK", &["transfer-encoding: identity"], Malformed::TransferCoding),
        ("HTTP/1.1 200 OK", &["transfer-encoding:"], Malformed::TransferCoding),
        (
            "HTTP/1.1 200 OK",
            &["transfer-encoding: gzip", "transfer-encoding: chunked"],
            Malformed::TransferCoding,
        ),
        ("HTTP/1.0 200 OK", &["transfer-encoding: chunked"], Malformed::TransferCoding),
        ("HTTP/1.1 200 OK", &["content-length: 5", "content-length: 6"], Malformed::ContentLength),
        ("HTTP/1.1 200 OK", &["content-length: 5, 6"], Malformed::ContentLength),
        ("HTTP/1.1 200 OK", &["content-length: 5,"], Malformed::ContentLength),
        ("HTTP/1.1 200 OK", &["content-length:"], Malformed::ContentLength),
        ("HTTP/1.1 200 OK", &["content-length: +5"], Malformed::ContentLength),
        ("HTTP/1.1 200 OK", &["content-length: -5"], Malformed::ContentLength),
        ("HTTP/1.1 200 OK", &["content-length: 0x5"], Malformed::ContentLength),
        ("HTTP/1.1 200 OK", &["content-length: 5 5"], Malformed::ContentLength),
        ("HTTP/1.1 200 OK", &["content-length: 18446744073709551616"], Malformed::ContentLength),
        ("HTTP/1.1 101 Switching Protocols", &["upgrade: websocket"], Malformed::Upgrade),
        ("HTTP/1.1 099 What", &["content-length: 5"], Malformed::Status),
    ] {
        assert_eq!(framing(status_line, headers), Err(expected), "{status_line} {headers:?}");
    }
}

#[test]
fn what_is_no_head_is_refused() {
    for wire in [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nname : value\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\0c\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n",
    ] {
        let error = parse(wire.as_bytes(), false).unwrap_err();
        assert!(matches!(error, Malformed::Head(_)), "{wire:?}: {error:?}");
    }
    for (count, sound) in [(MAX_HEADERS, true), (MAX_HEADERS + 1, false)] {
        let wire = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count));
        let outcome = parse(wire.as_bytes(), false);
        assert_eq!(outcome.is_ok(), sound, "{count}: {outcome:?}");
        assert!(sound || matches!(outcome, Err(Malformed::TooManyHeaders)));
    }
}

#[test]
fn headers_of_one_connection_are_left_out() {
    let head = head(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: X-Private, keep-alive\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: x\r\n\
         Upgrade: h2c\r\nX-Private: 1\r\nx-private: 2\r\nContent-Length: 0\r\nX-Kept: a\r\n\
         X-Kept: b\r\nConnection: x-also\r\nX-Also: 3\r\n\r\n",
    )
    .unwrap();
    let kept: Vec<_> = head.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
    assert_eq!(kept, [("content-type", &b"text/plain"[..]), ("x-kept", b"a"), ("x-kept", b"b")]);
    assert!(head.persistent);
}

#[test]
fn an_answer_to_head_has_no_body() {
    let wire = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    let Some((Parsed::Final(head), _)) = parse(wire, true).unwrap() else { panic!() };
    assert!(matches!(head.framing, Framing::Length(0)));
    assert!(head.persistent);
}

#[test]
fn interim_answers_are_skipped_up_to_a_bound() {
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
    for (count, expected) in
        [(0, None), (MAX_INTERIM, None), (MAX_INTERIM + 1, Some(Malformed::TooManyInterim))]
    {
        let wire = interim.repeat(usize::from(count)) + last;
        let mut buffer = BytesMut::from(wire.as_bytes());
        let outcome = Reader::new(false, 1000).read(&mut buffer);
        match expected {
            None => {
                assert_eq!(outcome.unwrap().unwrap().status, 200);
                assert_eq!(buffer, "x");
            }
            Some(error) => assert_eq!(outcome.unwrap_err(), HeadError::Malformed(error)),
        }
    }
}

#[test]
fn a_head_has_its_limit_however_it_comes() {
    let wire = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n";
    for (limit, fits) in [(wire.len(), true), (wire.len() - 1, false)] {
        for step in [1, 7, wire.len()] {
            let mut reader = Reader::new(false, limit);
            let mut buffer = BytesMut::new();
            let mut outcome = Ok(None);
            for piece in wire.chunks(step) {
                buffer.extend_from_slice(piece);
                outcome = reader.read(&mut buffer);
                if !matches!(outcome, Ok(None)) {
                    break;
                }
            }
            match outcome {
                Ok(Some(_)) => assert!(fits, "limit {limit}, step {step}"),
                other => {
                    assert_eq!(other.unwrap_err(), HeadError::TooLarge);
                    assert!(!fits, "limit {limit}, step {step}");
                }
            }
        }
    }
}

#[test]
fn garbage_is_known_before_a_line_is_complete() {
    let mut buffer = BytesMut::from(&b"\x15\x03\x01"[..]);
    let outcome = Reader::new(false, 1000).read(&mut buffer);
    assert!(matches!(outcome, Err(HeadError::Malformed(Malformed::Head(_)))), "{outcome:?}");
}
