//! Archives on disk, well meant and otherwise.

use callsheet_sources::{Member, MemberKind, TreeError, UnpackLimits, decompress, unpack};
use proptest::prelude::*;
use std::{
    fs::File,
    io::{self, Cursor, Write as _},
};
use tar::{Builder, EntryType, Header};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

const SMALL: UnpackLimits = UnpackLimits {
    max_bytes: 1_000_000,
    max_member_bytes: 100_000,
    max_members: 10,
    max_ratio: 200,
};

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

type Shown = (String, MemberKind, Vec<u8>);

/// Unpacks, and returns what was shown until then, too.
fn shown(
    bytes: &[u8],
    without_top: bool,
    limits: UnpackLimits,
) -> (Vec<Shown>, Result<(), TreeError>) {
    let mut members = Vec::new();
    let mut visit = |member: Member<'_>| {
        let mut content = Vec::new();
        member.content.read_to_end(&mut content)?;
        members.push((member.path.to_string(), member.kind, content));
        Ok(())
    };
    let result = unpack("up", &mut file_of(bytes), without_top, limits, &mut visit);
    (members, result)
}

fn all(bytes: &[u8], without_top: bool) -> Vec<(String, String)> {
    let (members, result) = shown(bytes, without_top, UnpackLimits::default());
    result.unwrap();
    let text = |content| String::from_utf8(content).unwrap();
    members.into_iter().map(|(path, _, content)| (path, text(content))).collect()
}

fn refused(bytes: &[u8]) -> TreeError {
    shown(bytes, false, SMALL).1.unwrap_err()
}

fn tar_of(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // The library would refuse to write some of these names.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with(SimpleFileOptions::default().compression_method(CompressionMethod::Deflated), files)
}

fn zip_with(options: SimpleFileOptions, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        if name.ends_with('/') {
            writer.add_directory(*name, options).unwrap();
        } else {
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

/// A zip in which some names are replaced by others of the same length, as no library writes them.
fn renamed(files: &[(&str, &[u8])], from: &str, to: &str) -> Vec<u8> {
    replaced(zip_of(files), from.as_bytes(), to.as_bytes())
}

fn replaced(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut count = 0;
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            count += 1;
        }
    }
    assert!(count > 0, "nothing was replaced");
    bytes
}

fn file<'a>(name: &'a str, content: &'a [u8]) -> (&'a str, EntryType, &'a [u8]) {
    (name, EntryType::Regular, content)
}

#[test]
fn every_sort_of_archive_shows_the_same() {
    let tar = tar_of(&[
        ("pax_global_header", EntryType::XGlobalHeader, b"52 comment=x\n"),
        ("r/", EntryType::Directory, b""),
        file("r/a", b"one"),
        file("r/b/c.dis", b"two"),
        file("r/empty", b""),
    ]);
    let files: &[(&str, &[u8])] =
        &[("r/", b""), ("r/a", b"one"), ("r/b/c.dis", b"two"), ("r/empty", b"")];
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let archives = [
        tar.clone(),
        gzip(&tar),
        zip_of(files),
        zip_with(stored, files),
        zip_with(stored.large_file(true), files),
    ];
    for archive in archives {
        let expected = [("a", "one"), ("b/c.dis", "two"), ("empty", "")];
        let got = all(&archive, true);
        assert_eq!(got, expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
        assert_eq!(all(&archive, false)[1].0, "r/b/c.dis");
    }
    assert!(all(&zip_of(&[]), true).is_empty());
}

#[test]
fn a_zip_that_was_written_as_a_stream_is_read() {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut writer = ZipWriter::new_stream(Vec::new());
    writer.start_file("a", options).unwrap();
    writer.write_all(b"streamed").unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    assert_eq!(all(&bytes, false), [("a".to_owned(), "streamed".to_owned())]);
}

#[test]
fn what_is_not_read_is_skipped() {
    let content = vec![b'x'; 300_000];
    let tar = tar_of(&[file("a", &content), file("b", &content), file("c", b"end")]);
    for archive in [gzip(&tar), tar, zip_of(&[("a", &content), ("b", &content), ("c", b"end")])] {
        let mut last = String::new();
        let mut visit = |member: Member<'_>| {
            match member.path.as_str() {
                "a" => {}
                "b" => member.content.read_exact(&mut [0; 1000])?,
                _ => {
                    member.content.read_to_string(&mut last)?;
                }
            }
            Ok(())
        };
        unpack("up", &mut file_of(&archive), false, UnpackLimits::default(), &mut visit).unwrap();
        assert_eq!(last, "end");
    }
}

#[test]
fn one_hostile_path_refuses_everything() {
    for path in ["../evil", "/etc/pw", "a/../../b", "a\\..\\..\\b", "C:\\x", "\\\\h\\x"] {
        for kind in [EntryType::Regular, EntryType::Directory, EntryType::Symlink] {
            let tar = tar_of(&[file("good", b"x"), (path, kind, b"")]);
            let error = refused(&gzip(&tar));
            assert!(matches!(&error, TreeError::Hostile { path: p, .. } if p == path), "{error}");
        }
        let placeholder = "p".repeat(path.len());
        let zip = renamed(&[("good", b"x"), (&placeholder, b"x")], &placeholder, path);
        let (members, result) = shown(&zip, false, SMALL);
        let error = result.unwrap_err();
        assert!(matches!(&error, TreeError::Hostile { path: p, .. } if p == path), "{error}");
        assert!(members.is_empty(), "a zip has a list, and nothing is shown before it is checked");
    }
    let zip = renamed(&[("a?b", b"x")], "a?b", "a\0b");
    assert!(matches!(refused(&zip), TreeError::Hostile { .. }));
}

#[test]
fn names_that_some_system_cannot_have_are_refused() {
    for name in ["a/nul.txt", "aux", "b.", "ab:c", "a\\b", "a /b", "a\u{1}b"] {
        let tar = gzip(&tar_of(&[file(name, b"x")]));
        let error = refused(&tar);
        assert!(matches!(&error, TreeError::BadPath { path, .. } if path == name), "{error}");
        let placeholder = "p".repeat(name.len());
        let error = refused(&renamed(&[(&placeholder, b"x")], &placeholder, name));
        assert!(matches!(&error, TreeError::BadPath { path, .. } if path == name), "{error}");
    }
    let mut tar = tar_of(&[file("ab", b"x")]);
    tar[1] = 0xff;
    let mut header = Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&tar[..512]);
    header.set_cksum();
    tar[..512].copy_from_slice(header.as_bytes());
    assert!(matches!(refused(&tar), TreeError::BadPath { reason: "it is not UTF-8", .. }));
}

#[test]
fn members_that_stand_there_twice_are_refused() {
    let tar = tar_of(&[file("a", b"1"), file("./a", b"2")]);
    assert!(matches!(refused(&tar), TreeError::Twice { path, .. } if path == "a"));
    let zip = renamed(&[("aa", b"1"), ("bb", b"2")], "bb", "aa");
    let (members, result) = shown(&zip, false, SMALL);
    assert!(matches!(result, Err(TreeError::Twice { path, .. }) if path == "aa"));
    assert!(members.is_empty());

    for (one, two) in [("a/B", "a/b"), ("A/x", "A"), ("link", "LINK/x")] {
        let tar = gzip(&tar_of(&[(one, EntryType::Symlink, b""), file(two, b"2")]));
        assert!(matches!(refused(&tar), TreeError::Alike { path, .. } if path == two));
        let (members, result) = shown(&zip_of(&[(one, b"1"), (two, b"2")]), false, SMALL);
        assert!(matches!(result, Err(TreeError::Alike { path, .. }) if path == two));
        assert!(members.is_empty());
    }
}

#[test]
fn links_and_devices_are_shown_empty() {
    let tar = tar_of(&[
        ("soft", EntryType::Symlink, b""),
        ("hard", EntryType::Link, b""),
        ("pipe", EntryType::Fifo, b""),
        file("f", b"x"),
    ]);
    let (members, result) = shown(&tar, false, SMALL);
    result.unwrap();
    let kinds: Vec<_> = members.iter().map(|(path, kind, _)| (path.as_str(), *kind)).collect();
    let (link, special) = (MemberKind::Link, MemberKind::Special);
    assert_eq!(kinds, [("soft", link), ("hard", link), ("pipe", special), ("f", MemberKind::File)]);

    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_symlink("soft", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let zip = writer.finish().unwrap().into_inner();
    let (members, result) = shown(&zip, false, SMALL);
    result.unwrap();
    assert_eq!(members, [("soft".to_owned(), link, Vec::new())]);
}

#[test]
fn an_archive_without_one_top_folder_is_refused_where_one_was_expected() {
    for archive in [
        gzip(&tar_of(&[file("r/a", b""), file("s/b", b"")])),
        zip_of(&[("r/a", b""), ("s/b", b"")]),
    ] {
        let error = shown(&archive, true, SMALL).1.unwrap_err().to_string();
        assert!(error.contains("\"s/b\"") && error.contains("\"r\""), "{error}");
    }
}

#[test]
fn bombs_do_not_go_off() {
    let zeros = vec![0; 40_000_000];
    let wide = UnpackLimits { max_ratio: 200, ..UnpackLimits::default() };
    for bomb in [gzip(&tar_of(&[file("bomb", &zeros)])), zip_of(&[("bomb", &zeros)])] {
        assert!(bomb.len() < 100_000);
        let mut came = 0;
        let mut visit = |member: Member<'_>| {
            let mut buffer = [0; 4096];
            loop {
                match member.content.read(&mut buffer)? {
                    0 => return Ok(()),
                    length => came += length,
                }
            }
        };
        let result = unpack("up", &mut file_of(&bomb), false, wide, &mut visit);
        assert!(matches!(result, Err(TreeError::Bomb { max_ratio: 200, .. })), "{result:?}");
        assert!(came < (16 << 20) + 200 * bomb.len(), "{came}");
        // Those who do not look are guarded too, as far as anything is unpacked for them.
        let result = unpack("up", &mut file_of(&bomb), false, SMALL, &mut |_| Ok(()));
        assert!(matches!(result, Err(TreeError::LargeMember { max_bytes: 100_000, .. })));
    }
    let part = vec![b'x'; 90_000];
    let many: Vec<String> = (0..12).map(|n| format!("f{n}")).collect();
    let files: Vec<_> = many.iter().map(|name| (name.as_str(), &part[..])).collect();
    let entries: Vec<_> = files.iter().map(|(name, content)| file(name, content)).collect();
    let limits = UnpackLimits { max_members: 100, ..SMALL };
    for archive in [gzip(&tar_of(&entries)), zip_of(&files)] {
        let error = shown(&archive, false, limits).1.unwrap_err();
        assert!(matches!(error, TreeError::TooLarge { max_bytes: 1_000_000, .. }), "{error:?}");
        let error = shown(&archive, false, SMALL).1.unwrap_err();
        let limits = UnpackLimits { max_members: 12, max_bytes: 2_000_000, ..SMALL };
        assert!(shown(&archive, false, limits).1.is_ok());
        assert!(matches!(
            error,
            TreeError::TooMany { max_entries: 10, .. } | TreeError::TooLarge { .. }
        ));
    }
    let folders: Vec<_> =
        many.iter().map(|name| (name.as_str(), EntryType::Directory, &b""[..])).collect();
    assert!(matches!(refused(&tar_of(&folders)), TreeError::TooMany { max_entries: 10, .. }));
}

#[test]
fn a_size_that_is_a_lie_is_not_believed() {
    let content = vec![b'x'; 5000];
    let zip = zip_of(&[("a", &content)]);
    for said in [4999_u32, 5001, 10] {
        let lying = replaced(zip.clone(), &5000_u32.to_le_bytes(), &said.to_le_bytes());
        let error = refused(&lying);
        assert!(
            matches!(&error, TreeError::BrokenMember { path, .. } if path == "a"),
            "{said} {error:?}"
        );
    }
    // The library is not to make room for what an archive claims to hold.
    let mut claims = zip.clone();
    let end = claims.len() - 22;
    claims[end + 8..end + 12].copy_from_slice(&[0xff; 4]);
    assert!(matches!(refused(&claims), TreeError::TooMany { .. }), "{:?}", refused(&claims));
}

#[test]
fn a_header_that_fills_memory_is_refused() {
    let long = vec![b'x'; 3 << 20];
    let tar = tar_of(&[("././@LongLink", EntryType::GNULongName, &long), file("a", b"x")]);
    for archive in [gzip(&tar), tar] {
        let error = shown(&archive, false, UnpackLimits::default()).1.unwrap_err();
        let TreeError::Broken { cause, .. } = error else { panic!("{error:?}") };
        assert!(cause.to_string().contains("header"), "{cause}");
    }
}

#[test]
fn what_follows_an_archive_counts_too() {
    let mut tar = tar_of(&[file("a", b"x")]);
    tar.resize(40_000_000, 0);
    let (members, result) = shown(&gzip(&tar), false, UnpackLimits::default());
    assert!(matches!(result, Err(TreeError::Bomb { .. })), "{result:?}");
    assert_eq!(members.len(), 1);
}

#[test]
fn damage_is_seen() {
    let content: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).take(90_000).collect();
    let mut zip = zip_of(&[("a", b"x"), ("b", &content)]);
    let middle = zip.len() / 2;
    zip[middle] ^= 1;
    assert!(matches!(refused(&zip), TreeError::BrokenMember { path, .. } if path == "b"));
    // Read to its last byte and no further, it is damaged all the same.
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let flipped = replaced(zip_with(stored, &[("a", b"12345")]), b"12345", b"12346");
    let mut visit = |member: Member<'_>| member.content.read_exact(&mut [0; 5]);
    let result = unpack("up", &mut file_of(&flipped), false, SMALL, &mut visit);
    assert!(matches!(result, Err(TreeError::BrokenMember { .. })), "{result:?}");

    let tar = tar_of(&[file("a", b"x"), file("b", &content)]);
    let packed = gzip(&tar);
    let mut wrong_sum = packed.clone();
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    assert!(matches!(refused(&wrong_sum), TreeError::Broken { .. }));
    for cut in [&packed[..packed.len() - 1], &packed[..packed.len() / 2], &tar[..50_000]] {
        let error = refused(cut);
        assert!(
            matches!(error, TreeError::Broken { .. } | TreeError::BrokenMember { .. }),
            "{error:?}"
        );
    }
    // Cut between two members, only the missing end tells.
    assert!(matches!(refused(&tar[..1024]), TreeError::Broken { .. }));
    assert!(matches!(refused(&zip[..zip.len() - 30]), TreeError::Broken { .. }));
    for nothing in [&b""[..], b"PK", b"<html>", &gzip(b"no tar")] {
        assert!(matches!(refused(nothing), TreeError::Broken { .. }));
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let mut zip = zip_of(&[("good", b"x"), ("secret", b"hidden")]);
    for magic in [&b"PK\x03\x04"[..], b"PK\x01\x02"] {
        let at = zip.windows(4).rposition(|four| four == magic).unwrap();
        zip[at + if magic[2] == 3 { 6 } else { 8 }] |= 1;
    }
    let (members, result) = shown(&zip, false, SMALL);
    let error = result.unwrap_err();
    assert!(matches!(&error, TreeError::Unsupported { path, .. } if path == "secret"), "{error:?}");
    assert!(error.to_string().contains("encrypted") && members.is_empty());

    let mut zip = zip_of(&[("odd", b"xxxxxxxxxxxxxxxxxxxxx")]);
    for (magic, offset) in [(&b"PK\x03\x04"[..], 8), (b"PK\x01\x02", 10)] {
        let at = zip.windows(4).rposition(|four| four == magic).unwrap();
        zip[at + offset] = 12;
    }
    let error = refused(&zip);
    assert!(matches!(&error, TreeError::Unsupported { path, .. } if path == "odd"), "{error:?}");
}

#[test]
fn whoever_cannot_take_a_member_ends_it() {
    for archive in
        [tar_of(&[file("a", b"x"), file("b", b"x")]), zip_of(&[("a", b"x"), ("b", b"x")])]
    {
        let mut count = 0;
        let mut visit = |_: Member<'_>| {
            count += 1;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        let result = unpack("up", &mut file_of(&archive), false, SMALL, &mut visit);
        assert!(matches!(result, Err(TreeError::NotTaken { path, .. }) if path == "a"));
        assert_eq!(count, 1);
    }
}

#[test]
fn a_single_file_is_decompressed() {
    let text = "a = 1\n".repeat(10_000);
    let zstd = ruzstd::encoding::compress_to_vec(
        text.as_bytes(),
        ruzstd::encoding::CompressionLevel::Fastest,
    );
    let twice = [gzip(text.as_bytes()), gzip(b"more")].concat();
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd, &zstd].concat();
    for (packed, expected) in [
        (gzip(text.as_bytes()), text.clone()),
        (twice, format!("{text}more")),
        (zstd.clone(), text.clone()),
        (skipped, format!("{text}{text}")),
        (text.clone().into_bytes(), text.clone()),
        (Vec::new(), String::new()),
    ] {
        let max_bytes = expected.len() as u64;
        assert_eq!(decompress("x", &packed, max_bytes).unwrap(), expected.as_bytes());
        if max_bytes > 0 {
            let error = decompress("x", &packed, max_bytes - 1).unwrap_err();
            assert!(matches!(error, TreeError::TooLarge { .. }), "{error:?}");
        }
    }
    let zeros = vec![0; 50_000_000];
    let bomb =
        ruzstd::encoding::compress_to_vec(&zeros[..], ruzstd::encoding::CompressionLevel::Fastest);
    assert!(matches!(decompress("x", &bomb, 1000), Err(TreeError::TooLarge { .. })));
    assert!(matches!(decompress("x", &gzip(&zeros), 1000), Err(TreeError::TooLarge { .. })));
    let packed = gzip(text.as_bytes());
    for cut in [&packed[..packed.len() - 3], &zstd[..zstd.len() - 3], &zstd[..5]] {
        assert!(matches!(decompress("x", cut, 1 << 20), Err(TreeError::Broken { .. })));
    }
    let mut flipped = zstd;
    let at = flipped.len() - 1;
    flipped[at] ^= 1;
    assert!(matches!(decompress("x", &flipped, 1 << 20), Err(TreeError::Broken { .. })));
}

#[test]
fn holes_count_as_what_they_become() {
    // A file of which the archive holds one block and says that a gigabyte of nothing is before it.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_path("holes").unwrap();
    header.set_size(512);
    let real_size: u64 = (1 << 30) + 512;
    let gnu = header.as_gnu_mut().unwrap();
    let octal = |field: &mut [u8], number: u64| {
        field.copy_from_slice(format!("{number:0width$o}\0", width = field.len() - 1).as_bytes());
    };
    octal(&mut gnu.sparse[0].offset, 1 << 30);
    octal(&mut gnu.sparse[0].numbytes, 512);
    octal(&mut gnu.realsize, real_size);
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, &[b'x'; 512][..]).unwrap();
    let tar = builder.into_inner().unwrap();
    let mut visit = |member: Member<'_>| {
        assert_eq!(member.size_bytes, (1 << 30) + 512);
        io::copy(member.content, &mut io::sink()).map(|_| ())
    };
    let limits = UnpackLimits::default();
    let result = unpack("up", &mut file_of(&tar), false, limits, &mut visit);
    assert!(matches!(result, Err(TreeError::Bomb { .. })), "{result:?}");
}

#[test]
fn the_models_of_modflow_come_out_as_they_went_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/mf6-testmodels/mf6");
    let folder = std::path::Path::new(path);
    if !folder.exists() {
        eprintln!("skipped: {} is not here", folder.display());
        return;
    }
    let mut builder = Builder::new(Vec::new());
    builder.append_dir_all("models-1/mf6", folder).unwrap();
    let archive = gzip(&builder.into_inner().unwrap());
    let mut count = 0;
    let mut visit = |member: Member<'_>| {
        let mut content = Vec::new();
        member.content.read_to_end(&mut content)?;
        let original = folder.join(member.path.below("mf6").unwrap());
        assert_eq!(content, std::fs::read(original)?, "{}", member.path);
        count += 1;
        Ok(())
    };
    let limits = UnpackLimits::default();
    unpack("models", &mut file_of(&archive), true, limits, &mut visit).unwrap();
    assert_eq!(count, 666);
}

fn archives() -> [Vec<u8>; 4] {
    let text = "0.1 0.2 0.3\n".repeat(300);
    let tar = tar_of(&[
        ("r/", EntryType::Directory, b""),
        file("r/a/b", text.as_bytes()),
        ("r/l", EntryType::Symlink, b""),
        ("././@LongLink", EntryType::GNULongName, b"r/long"),
        file("r/e", b""),
    ]);
    let files: &[(&str, &[u8])] = &[("r/a/b", text.as_bytes()), ("r/e", b""), ("r/c", b"c")];
    let stored =
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    [gzip(&tar), tar, zip_of(files), zip_with(stored, files)]
}

proptest! {
    #[test]
    fn no_damage_makes_it_panic_or_leave_its_bounds(
        which in 0usize..4,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut: Option<prop::sample::Index>,
        without_top: bool,
    ) {
        let mut bytes = archives()[which].clone();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let (members, _) = shown(&bytes, without_top, SMALL);
        prop_assert!(members.len() <= SMALL.max_members);
        let total: usize = members.iter().map(|(_, _, content)| content.len()).sum();
        prop_assert!(total as u64 <= SMALL.max_bytes);
        for (path, _, content) in members {
            prop_assert!(content.len() as u64 <= SMALL.max_member_bytes);
            prop_assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."));
        }
    }

    #[test]
    fn no_damage_makes_decompression_panic(
        is_zstd: bool,
        at: prop::sample::Index,
        byte: u8,
        cut: Option<prop::sample::Index>,
    ) {
        let text = "0.1 0.2 0.3\n".repeat(300);
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let mut bytes = if is_zstd {
            ruzstd::encoding::compress_to_vec(text.as_bytes(), level)
        } else {
            gzip(text.as_bytes())
        };
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(out) = decompress("x", &bytes, 10_000) {
            prop_assert!(out.len() <= 10_000);
        }
    }
}
