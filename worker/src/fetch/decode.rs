//! Content codings (RFC 9110, section 8.4): which an answer has, and how to undo them.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use brotli_decompressor::{BrotliDecoderParameter, Decompressor};
use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use tokio::sync::mpsc::Receiver;

use super::FetchError;

/// What is asked for.
pub(super) const ACCEPTED: &str = "gzip, br, zstd";

/// The largest window of zstd in HTTP (RFC 9659), as a power of two.
const ZSTD_WINDOW: u32 = 23;

/// How a body is compressed, if it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ContentCoding(Option<Coding>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

impl ContentCoding {
    /// Only one: of several, a decoder could be fed by the one below it for hours without anything
    /// to show for it.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, FetchError> {
        let mut found = None;
        for line in headers.get_all(CONTENT_ENCODING) {
            let line = String::from_utf8_lossy(line.as_bytes()).to_ascii_lowercase();
            for name in line.split(',').map(str::trim) {
                let coding = match name {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Coding::Gzip,
                    "br" => Coding::Brotli,
                    "zstd" => Coding::Zstd,
                    _ => {
                        let name = name.chars().filter(|c| !c.is_control()).take(40).collect();
                        return Err(FetchError::UnknownCoding { name });
                    }
                };
                if found.replace(coding).is_some() {
                    return Err(FetchError::SeveralCodings);
                }
            }
        }
        Ok(Self(found))
    }

    pub(super) fn is_none(self) -> bool {
        self.0.is_none()
    }

    /// Undoes it.
    pub(super) fn decoder(self, source: &mut Source) -> io::Result<Box<dyn Read + '_>> {
        match self.0 {
            Some(coding) => coding.decoder(source),
            None => Ok(Box::new(source)),
        }
    }
}

impl Coding {
    fn decoder<'a>(self, source: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        const BUFFER: usize = 32 << 10;
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(source)),
            Self::Brotli => {
                let mut decoder = Decompressor::new(source, BUFFER);
                // Windows of up to a gigabyte are no part of the coding `br` (RFC 7932).
                let large = BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW;
                decoder.set_parameter(large, 0);
                Box::new(Brotli(decoder))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Box::new(decoder)
            }
        })
    }
}

/// Unlike the other decoders, that of brotli does not care whether its source ends where it does.
struct Brotli<R: BufRead>(Decompressor<R>);

impl<R: BufRead> Read for Brotli<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        // Asked again it tells whether something is left in its own buffer.
        if self.0.read(buffer)? == 0 && self.0.get_mut().fill_buf()?.is_empty() {
            return Ok(0);
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "something follows its end",
        ))
    }
}

impl fmt::Display for ContentCoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            None => "identity",
            Some(Coding::Gzip) => "gzip",
            Some(Coding::Brotli) => "br",
            Some(Coding::Zstd) => "zstd",
        })
    }
}

/// A body as it comes from the wire: `None` is its end, and a sender that leaves without it broke
/// off.
#[derive(Debug)]
pub(super) struct Source {
    pieces: Receiver<Option<Bytes>>,
    current: Bytes,
    ended: bool,
    received: Rc<Cell<u64>>,
}

impl Source {
    pub(super) fn new(pieces: Receiver<Option<Bytes>>) -> Self {
        Self {
            pieces,
            current: Bytes::new(),
            ended: false,
            received: Rc::default(),
        }
    }

    /// How many bytes have come, now and later.
    pub(super) fn received(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.received)
    }

    /// The next piece, or `None` at the end.
    pub(super) fn piece(&mut self) -> io::Result<Option<Bytes>> {
        if self.ended {
            return Ok(None);
        }
        let Some(piece) = self.pieces.blocking_recv() else {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the body broke off",
            ));
        };
        match &piece {
            Some(bytes) => self.received.set(self.received.get() + bytes.len() as u64),
            None => self.ended = true,
        }
        Ok(piece)
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            match self.piece()? {
                Some(piece) => self.current = piece,
                None => break,
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount);
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let taken = ready.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&ready[..taken]);
        self.consume(taken);
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coding(lines: &[&str]) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CONTENT_ENCODING, line.parse().unwrap());
        }
        ContentCoding::of(&headers)
            .map(|coding| coding.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_coding_is_read_from_all_lines() {
        for (lines, expected) in [
            (&[][..], "identity"),
            (&[""], "identity"),
            (&["identity"], "identity"),
            (&["GZip"], "gzip"),
            (&["x-gzip"], "gzip"),
            (&["identity, br"], "br"),
            (&["", "identity, zstd"], "zstd"),
        ] {
            assert_eq!(coding(lines).as_deref(), Ok(expected), "{lines:?}");
        }
    }

    #[test]
    fn codings_that_are_unknown_or_several_are_refused() {
        let unknown = "the body has the content coding `deflate`, which was not asked for: only gzip, \
                       br, zstd are understood";
        assert_eq!(coding(&["deflate, gzip"]).unwrap_err(), unknown);
        let several = "the body is compressed several times over, which is not understood";
        for lines in [&["gzip, br"][..], &["gzip", "identity, gzip"]] {
            assert_eq!(coding(lines).unwrap_err(), several);
        }
        let long = coding(&["x".repeat(9_000).as_str()]).unwrap_err();
        assert!(long.len() < 200, "{long}");
    }

    #[test]
    fn a_sender_that_leaves_before_the_end_broke_off() {
        let (sender, receiver) = tokio::sync::mpsc::channel(2);
        sender.try_send(Some(Bytes::from_static(b"half"))).unwrap();
        drop(sender);
        let mut read = Vec::new();
        let error = Source::new(receiver).read_to_end(&mut read).unwrap_err();
        assert_eq!(error.to_string(), "the body broke off");
    }
}
