//! A single compressed file, in memory.

use super::invalid;
use crate::TreeError;
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};
use std::io::{self, Read};

const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A frame may want this much memory, whatever comes out of it.
const MIN_WINDOW_BYTES: u64 = 8 << 20;
const MAX_WINDOW_BYTES: u64 = 128 << 20;

/// Decompresses gzip or zstd, told by its content, up to a size; other content is as it is.
pub fn decompress(name: &str, bytes: &[u8], max_bytes: u64) -> Result<Vec<u8>, TreeError> {
    let mut out = Vec::new();
    let done = match bytes {
        [0x1f, 0x8b, ..] => copy(MultiGzDecoder::new(bytes), &mut out, max_bytes),
        bytes if is_zstd(bytes) => frames(bytes, &mut out, max_bytes),
        _ => copy(bytes, &mut out, max_bytes),
    };
    match done {
        Ok(()) => Ok(out),
        Err(Stop::TooLarge) => Err(TreeError::TooLarge { name: name.to_owned(), max_bytes }),
        Err(Stop::Broken(cause)) => Err(TreeError::Broken { name: name.to_owned(), cause }),
    }
}

enum Stop {
    TooLarge,
    Broken(io::Error),
}

/// Reads to the end, or a byte further than allowed.
fn copy(from: impl Read, out: &mut Vec<u8>, max_bytes: u64) -> Result<(), Stop> {
    let left = max_bytes.saturating_sub(out.len() as u64);
    let length = from.take(left.saturating_add(1)).read_to_end(out).map_err(Stop::Broken)?;
    if length as u64 > left { Err(Stop::TooLarge) } else { Ok(()) }
}

fn is_zstd(bytes: &[u8]) -> bool {
    let Some(magic) = bytes.first_chunk::<4>() else { return false };
    // Frames that are to be skipped may stand before the first that counts.
    *magic == ZSTD || (magic[0] & 0xf0 == 0x50 && magic[1..] == [0x2a, 0x4d, 0x18])
}

/// Reads frame after frame.
fn frames(mut bytes: &[u8], out: &mut Vec<u8>, max_bytes: u64) -> Result<(), Stop> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(max_bytes.clamp(MIN_WINDOW_BYTES, MAX_WINDOW_BYTES));
    while !bytes.is_empty() {
        match decoder.reset(&mut bytes) {
            Ok(()) => {}
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                bytes = usize::try_from(length)
                    .ok()
                    .and_then(|length| bytes.get(length..))
                    .ok_or_else(|| Stop::Broken(io::ErrorKind::UnexpectedEof.into()))?;
                continue;
            }
            Err(error) => return Err(of_zstd(error)),
        }
        while !decoder.is_finished() {
            decoder
                .decode_blocks(&mut bytes, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(of_zstd)?;
            copy(&mut decoder, out, max_bytes)?;
        }
        copy(&mut decoder, out, max_bytes)?;
        let expected = decoder.get_checksum_from_data();
        if expected.is_some() && expected != decoder.get_calculated_checksum() {
            return Err(Stop::Broken(invalid("its checksum is wrong")));
        }
    }
    Ok(())
}

fn of_zstd(error: FrameDecoderError) -> Stop {
    Stop::Broken(io::Error::new(io::ErrorKind::InvalidData, error))
}
