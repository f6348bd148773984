//! `tar`, plain and with gzip, from its beginning to its end.

use super::{
    Member, MemberKind,
    budget::{Budget, Content},
    invalid,
    names::Names,
};
use crate::{TreeError, tree::is_tar};
use ::tar::{Archive, EntryType};
use flate2::bufread::MultiGzDecoder;
use std::{
    cell::Cell,
    fs::File,
    io::{self, BufReader, Cursor, Read},
};

/// What may stand between the contents of two members: headers, long names, maps of holes. The
/// library holds all of it in memory.
const MAX_HEADER_BYTES: u64 = 1 << 20;
const BUFFER_BYTES: usize = 64 << 10;

type Visit<'a> = &'a mut dyn FnMut(Member<'_>) -> io::Result<()>;

pub(super) fn packed(
    archive: &mut File,
    names: Names<'_>,
    budget: &Budget<'_>,
    visit: Visit<'_>,
) -> Result<(), TreeError> {
    let mut unpacked = MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, archive));
    let mut head = Vec::new();
    let begin = unpacked.by_ref().take(super::BLOCK).read_to_end(&mut head);
    begin.map_err(|cause| budget.broken(cause))?;
    if !is_tar(&head) {
        return Err(budget.broken(invalid("what is in it is no tar")));
    }
    let stream = Stream::default();
    let reader = Counted { inner: Cursor::new(head).chain(unpacked), stream: &stream, budget };
    let mut reader = go_through(reader, &stream, names, budget, visit)?;
    // The checksum stands at the end of the compression, behind what `tar` reads.
    let rest = io::copy(&mut reader, &mut io::sink());
    budget.check("")?;
    rest.map(|_| ()).map_err(|cause| budget.broken(cause))
}

pub(super) fn plain(
    archive: &mut File,
    names: Names<'_>,
    budget: &Budget<'_>,
    visit: Visit<'_>,
) -> Result<(), TreeError> {
    let stream = Stream::default();
    let inner = BufReader::with_capacity(BUFFER_BYTES, archive);
    go_through(Counted { inner, stream: &stream, budget }, &stream, names, budget, visit)
        .map(|_| ())
}

fn go_through<R: Read>(
    reader: R,
    stream: &Stream,
    mut names: Names<'_>,
    budget: &Budget<'_>,
    visit: Visit<'_>,
) -> Result<R, TreeError> {
    let mut archive = Archive::new(reader);
    let mut entries = archive.entries().map_err(|cause| budget.broken(cause))?;
    let mut last = String::new();
    loop {
        stream.header_bytes_left.set(Some(MAX_HEADER_BYTES));
        let next = entries.next();
        stream.header_bytes_left.set(None);
        budget.check(&last)?;
        let Some(entry) = next else { break };
        let mut entry = entry.map_err(|cause| budget.broken(cause))?;
        let kind = entry.header().entry_type();
        let size_bytes = entry.size();
        if kind == EntryType::XGlobalHeader {
            Content::new(&mut entry, size_bytes, budget).drain();
            budget.check("")?;
            continue;
        }
        let path = entry.path_bytes();
        let Ok(text) = std::str::from_utf8(&path) else {
            let path = String::from_utf8_lossy(&path).chars().take(200).collect();
            let name = budget.name.to_owned();
            return Err(TreeError::BadPath { name, path, reason: "it is not UTF-8" });
        };
        let text = text.to_owned();
        // The oldest variant of the format has no other sign for a folder.
        let is_folder =
            kind.is_dir() || kind == EntryType::Regular && text.ends_with('/') && size_bytes == 0;
        let kind = match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => MemberKind::File,
            EntryType::Symlink | EntryType::Link => MemberKind::Link,
            _ => MemberKind::Special,
        };
        if is_folder {
            names.folder(&text)?;
        } else {
            let path = names.file(&text)?;
            if kind == MemberKind::File {
                let mut content = Content::new(&mut entry, size_bytes, budget);
                let member = Member { path: &path, kind, size_bytes, content: &mut content };
                let taken = visit(member);
                budget.check(path.as_str())?;
                taken.map_err(|cause| not_taken(budget, path.as_str(), cause))?;
                content.drain();
                budget.check(path.as_str())?;
                last = path.into();
                continue;
            }
            let member = Member { path: &path, kind, size_bytes: 0, content: &mut io::empty() };
            visit(member).map_err(|cause| not_taken(budget, path.as_str(), cause))?;
        }
        Content::new(&mut entry, size_bytes, budget).drain();
        budget.check(&text)?;
        last = text;
    }
    if stream.has_ended.get() {
        let cause = io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut off");
        return Err(budget.broken(cause));
    }
    Ok(archive.into_inner())
}

pub(super) fn not_taken(budget: &Budget<'_>, path: &str, cause: io::Error) -> TreeError {
    TreeError::NotTaken { name: budget.name.to_owned(), path: path.to_owned(), cause }
}

/// What is to be known of the reader that the library has.
#[derive(Default)]
struct Stream {
    header_bytes_left: Cell<Option<u64>>,
    /// It has met its end, which `tar` has an own sign for and never reads as far as.
    has_ended: Cell<bool>,
}

/// Counts what comes.
struct Counted<'a, R> {
    inner: R,
    stream: &'a Stream,
    budget: &'a Budget<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, mut buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(left) = self.stream.header_bytes_left.get() {
            if left == 0 {
                return Err(invalid("a header of it is too large"));
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            buffer = &mut buffer[..most];
        }
        let length = self.inner.read(buffer)?;
        if length == 0 && !buffer.is_empty() {
            self.stream.has_ended.set(true);
        }
        if let Some(left) = self.stream.header_bytes_left.get() {
            self.stream.header_bytes_left.set(Some(left - length as u64));
        }
        self.budget.unpacked(length)?;
        Ok(length)
    }
}
