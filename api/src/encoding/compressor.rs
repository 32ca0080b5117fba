//! One body on its way into a coding.

use std::io::{self, Write};

use brotli::CompressorWriter;
use flate2::write::GzEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;

use super::Encoding;

/// A level more costs twice the time for a thirtieth less of a search's answer.
const BR_QUALITY: u32 = 4;

/// As a power of two. One more finds nothing more in a search's answer; a small body pays for the
/// tables all the same.
const BR_WINDOW: u32 = 20;

const BR_BUFFER: usize = 8 << 10;

/// Levels up to 5 find a twentieth more, for twice the time and above.
const ZSTD_LEVEL: i32 = 3;

/// The usual 6 takes half as long again, and more, for a fiftieth less.
const GZIP_LEVEL: u32 = 5;

/// How much of a body may be in the works, in bytes, before what there is of it is given out. Left
/// to itself br would keep a megabyte, and gain a twentieth.
const HELD_BACK: usize = 256 << 10;

/// Takes a body piece by piece, and gives what has become of it so far.
pub(super) struct Compressor {
    coder: Coder,
    held_back: usize,
}

enum Coder {
    Br(Box<CompressorWriter<Vec<u8>>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Compressor {
    /// `None` where nothing is to be done, and where the library has no memory for it.
    pub(super) fn new(encoding: Encoding) -> Option<Self> {
        let out = Vec::new();
        let coder = match encoding {
            Encoding::Identity => return None,
            Encoding::Br => {
                let writer = CompressorWriter::new(out, BR_BUFFER, BR_QUALITY, BR_WINDOW);
                Coder::Br(Box::new(writer))
            }
            Encoding::Zstd => Coder::Zstd(ZstdEncoder::new(out, ZSTD_LEVEL).ok()?),
            Encoding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Coder::Gzip(GzEncoder::new(out, level))
            }
        };
        let held_back = 0;
        Some(Self { coder, held_back })
    }

    /// Takes all of `piece`; gives what is ready, which may be nothing.
    pub(super) fn feed(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        self.writer().write_all(piece)?;
        self.held_back += piece.len();
        if self.out().is_empty() && self.held_back >= HELD_BACK {
            self.writer().flush()?;
        }
        let out = std::mem::take(self.out());
        if !out.is_empty() {
            self.held_back = 0;
        }
        Ok(out)
    }

    /// The rest, up to the coding's end.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self.coder {
            Coder::Br(writer) => Ok(writer.into_inner()),
            Coder::Zstd(writer) => writer.finish(),
            Coder::Gzip(writer) => writer.finish(),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.coder {
            Coder::Br(writer) => writer,
            Coder::Zstd(writer) => writer,
            Coder::Gzip(writer) => writer,
        }
    }

    fn out(&mut self) -> &mut Vec<u8> {
        match &mut self.coder {
            Coder::Br(writer) => writer.get_mut(),
            Coder::Zstd(writer) => writer.get_mut(),
            Coder::Gzip(writer) => writer.get_mut(),
        }
    }
}
