//! TOML, one statement at a time: what a registry of 100,000 files says never stands in memory as a
//! tree, nor as a list of tokens.

use super::value::{Table, Value};
use std::borrow::Cow;
use toml_parser::{
    ErrorSink, Expected, ParseError, Raw, Source, Span,
    decoder::{Encoding, ScalarKind},
    lexer::{Lexer, Token, TokenKind},
    parser::{EventReceiver, RecursionGuard, parse_document},
};

/// How deep arrays and tables may be nested in a value, and how many parts a key may have: each
/// part but the last is a table too.
pub(super) const MAX_DEPTH: u32 = 80;
/// How many tokens a value may have: a list of half a million files has fewer. It bounds what an
/// unclosed bracket makes us remember.
const MAX_TOKENS: usize = 3_000_000;

/// A part of a dotted key.
#[derive(Clone, Debug)]
pub(super) struct Key<'i> {
    pub(super) text: Cow<'i, str>,
    pub(super) span: Span,
}

/// A line, or several where a value needs them.
#[derive(Debug)]
pub(super) enum Statement<'i> {
    /// `[path]`
    Table(Vec<Key<'i>>),
    /// `[[path]]`
    Element(Vec<Key<'i>>),
    /// `path = value`
    Pair(Vec<Key<'i>>, Value<'i>),
}

/// What is no TOML, and at which byte.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: String,
}

/// The statements of a text, up to the first that is none.
pub(super) struct Statements<'i> {
    source: Source<'i>,
    lexer: Lexer<'i>,
    /// Those of one statement.
    tokens: Vec<Token>,
}

impl<'i> Statements<'i> {
    pub(super) fn of(text: &'i str) -> Self {
        let source = Source::new(text);
        Self { source, lexer: source.lex(), tokens: Vec::new() }
    }

    /// Collects tokens up to the line's end that also ends the statement; returns whether there
    /// were any.
    fn collect(&mut self) -> Result<bool, Fault> {
        self.tokens.clear();
        let mut depth = 0_usize;
        let mut is_header = None;
        for token in self.lexer.by_ref() {
            let kind = token.kind();
            if kind == TokenKind::Whitespace && self.tokens.is_empty() {
                continue;
            }
            self.tokens.push(token);
            // A header ends with its line, whatever its brackets; so does the damage of a bad one.
            let ends_with_line = *is_header.get_or_insert(kind == TokenKind::LeftSquareBracket);
            match kind {
                TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => depth += 1,
                TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                    depth = depth.saturating_sub(1);
                }
                TokenKind::Newline if depth == 0 || ends_with_line => break,
                _ => {}
            }
            if self.tokens.len() > MAX_TOKENS {
                let at = self.tokens.first().map_or(0, |token| token.span().start());
                return Err(Fault { at, message: "a value is too long, or is not closed".into() });
            }
        }
        Ok(!self.tokens.is_empty())
    }

    fn read(&mut self) -> Result<Option<Statement<'i>>, Fault> {
        let mut reader = Reader::new(self.source);
        let mut first: Option<ParseError> = None;
        let mut guard = RecursionGuard::new(&mut reader, MAX_DEPTH);
        parse_document(&self.tokens, &mut guard, &mut first);
        match first {
            Some(error) => Err(fault(&error)),
            None => Ok(reader.statement()),
        }
    }
}

impl<'i> Iterator for Statements<'i> {
    type Item = Result<Statement<'i>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.collect() {
                Ok(false) => return None,
                Ok(true) => {}
                Err(fault) => return Some(Err(fault)),
            }
            match self.read() {
                Ok(None) => {}
                Ok(Some(statement)) => return Some(Ok(statement)),
                Err(fault) => return Some(Err(fault)),
            }
        }
    }
}

fn fault(error: &ParseError) -> Fault {
    let span = error.unexpected().or(error.context()).unwrap_or_default();
    let mut message = error.description().to_owned();
    for (nth, expected) in error.expected().unwrap_or_default().iter().enumerate() {
        message.push_str(if nth == 0 { ", expected " } else { " or " });
        match expected {
            Expected::Literal("\n") => message.push_str("the line's end"),
            Expected::Literal(text) => message.push_str(&format!("`{text}`")),
            Expected::Description(text) => message.push_str(text),
            _ => message.push_str("something else"),
        }
    }
    Fault { at: span.start(), message }
}

/// Decodes a key as it is written, quotes included.
pub(super) fn decode_key<'i>(
    raw: &'i str,
    encoding: Option<Encoding>,
    span: Span,
    errors: &mut dyn ErrorSink,
) -> Cow<'i, str> {
    let mut text = Cow::Borrowed("");
    Raw::new_unchecked(raw, encoding, span).decode_key(&mut text, errors);
    text
}

/// What is being read of a statement.
struct Reader<'i> {
    source: Source<'i>,
    header: Option<Header>,
    path: Vec<Key<'i>>,
    open: Vec<Open<'i>>,
    value: Option<Value<'i>>,
}

#[derive(Clone, Copy)]
enum Header {
    Table,
    Element,
}

/// A value that is not closed yet.
enum Open<'i> {
    Array(Vec<Value<'i>>),
    /// With the path of the key that waits for its value.
    Table(Table<'i>, Vec<Key<'i>>),
}

impl<'i> Reader<'i> {
    fn new(source: Source<'i>) -> Self {
        Self { source, header: None, path: Vec::new(), open: Vec::new(), value: None }
    }

    fn statement(self) -> Option<Statement<'i>> {
        match (self.header, self.value) {
            (Some(Header::Table), _) => Some(Statement::Table(self.path)),
            (Some(Header::Element), _) => Some(Statement::Element(self.path)),
            (None, Some(value)) => Some(Statement::Pair(self.path, value)),
            (None, None) => None,
        }
    }

    fn close(&mut self, value: Value<'i>, errors: &mut dyn ErrorSink) {
        match self.open.last_mut() {
            None => self.value = Some(value),
            Some(Open::Array(values)) => values.push(value),
            Some(Open::Table(table, path)) => {
                if let Err(at) = table.insert(std::mem::take(path), value) {
                    errors.report_error(ParseError::new("duplicate key").with_unexpected(at));
                }
            }
        }
    }

    /// Returns how deep what comes next would be nested, the tables of dotted keys included.
    fn depth(&self) -> usize {
        let depths = self.open.iter().map(|open| match open {
            Open::Array(_) => 1,
            Open::Table(_, path) => path.len(),
        });
        if self.open.is_empty() { self.path.len() } else { depths.sum() }
    }

    fn raw(&self, span: Span, encoding: Option<Encoding>) -> Raw<'i> {
        let text = self.source.input().get(span.start()..span.end()).unwrap_or_default();
        Raw::new_unchecked(text, encoding, span)
    }
}

impl EventReceiver for Reader<'_> {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header = Some(Header::Table);
    }

    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header = Some(Header::Element);
    }

    fn inline_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        self.open.push(Open::Table(Table::default(), Vec::new()));
        true
    }

    fn inline_table_close(&mut self, _: Span, errors: &mut dyn ErrorSink) {
        if let Some(Open::Table(table, _)) = self.open.pop() {
            self.close(Value::Table(table), errors);
        }
    }

    fn array_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        self.open.push(Open::Array(Vec::new()));
        true
    }

    fn array_close(&mut self, _: Span, errors: &mut dyn ErrorSink) {
        if let Some(Open::Array(values)) = self.open.pop() {
            self.close(Value::Array(values), errors);
        }
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, errors: &mut dyn ErrorSink) {
        // What is nested without a bound cannot even be dropped: that takes stack for each level.
        if self.depth() >= MAX_DEPTH as usize {
            errors.report_error(ParseError::new("a key is nested too deep").with_unexpected(span));
            return;
        }
        let raw = self.raw(span, encoding);
        let key = Key { text: decode_key(raw.as_str(), encoding, span, errors), span };
        match self.open.last_mut() {
            Some(Open::Table(_, path)) => path.push(key),
            _ => self.path.push(key),
        }
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, errors: &mut dyn ErrorSink) {
        let mut text = Cow::Borrowed("");
        let kind = self.raw(span, encoding).decode_scalar(&mut text, errors);
        let is_good = match kind {
            ScalarKind::String | ScalarKind::Boolean(_) => true,
            ScalarKind::DateTime => text.parse::<toml::value::Datetime>().is_ok(),
            ScalarKind::Integer(radix) => i64::from_str_radix(&text, radix.value()).is_ok(),
            ScalarKind::Float => {
                text.parse::<f64>().is_ok_and(|float| float.is_finite() || !is_number(&text))
            }
        };
        if !is_good {
            let message = kind.invalid_description();
            errors.report_error(ParseError::new(message).with_unexpected(span));
        }
        let value = match kind {
            ScalarKind::String => Value::Text(text),
            _ => Value::Other(text, kind),
        };
        self.close(value, errors);
    }

    fn comment(&mut self, span: Span, errors: &mut dyn ErrorSink) {
        self.raw(span, None).decode_comment(errors);
    }

    fn newline(&mut self, span: Span, errors: &mut dyn ErrorSink) {
        self.raw(span, None).decode_newline(errors);
    }
}

/// Returns whether a float is written in digits, and not as `inf` or `nan`.
fn is_number(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}
