//! Content codings: which one a client gets, and how a body becomes one.
//!
//! A client lists what it takes in `Accept-Encoding`, each coding with a weight from 0, never, to
//! 1 (RFC 9110, section 12.5.3). `*` stands for all that the list does not name. No coding at all,
//! `identity`, is taken by everybody who does not rule it out.

mod compressor;

use std::io;

use axum::http::HeaderValue;
use bytes::Bytes;
use futures::future::Either;
use futures::{Stream, StreamExt, stream};

use compressor::Compressor;

/// Bodies that are shorter than this, in bytes, are not compressed: they fit in a packet.
pub(crate) const WORTH: usize = 1024;

/// How a body travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    /// As it is.
    Identity,
    /// RFC 7932.
    Br,
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

impl Encoding {
    /// What to send to a client with these `Accept-Encoding` fields, of which there may be none.
    ///
    /// It is the coding of the highest weight; among equals zstd, which takes a quarter of br's time
    /// for nearly the same size, then br, then gzip. It is
    /// `Identity` when that weighs more than all of them, and also when the client takes nothing
    /// that we have: an answer is better than none. Members that can't be read are skipped.
    pub(crate) fn negotiate<'a>(fields: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let mut fields = fields.into_iter();
        let Some(first) = fields.next() else {
            return Self::Identity;
        };
        let second = fields.next();
        if second.is_none()
            && let Some(encoding) = of_common(first.as_bytes())
        {
            return encoding;
        }
        let mut weights = Weights::default();
        for field in [first].into_iter().chain(second).chain(fields) {
            weights.add(field.as_bytes());
        }
        weights.choose()
    }

    /// What stands in `Content-Encoding`, where anything does.
    pub(crate) fn name(self) -> Option<HeaderValue> {
        let name = match self {
            Self::Identity => return None,
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        };
        Some(HeaderValue::from_static(name))
    }

    /// The body in this coding; `None` when it had better be sent as it is.
    ///
    /// It works where it is called, for about 10 ms a megabyte: a large body belongs on a thread
    /// that may block.
    pub(crate) fn compress(self, body: &[u8]) -> Option<Vec<u8>> {
        if body.len() < WORTH {
            return None;
        }
        let mut compressor = Compressor::new(self)?;
        let mut compressed = compressor.feed(body).ok()?;
        compressed.append(&mut compressor.finish().ok()?);
        compressed.shrink_to_fit();
        (compressed.len() < body.len()).then_some(compressed)
    }

    /// The body in this coding, as it comes. Up to 256 KiB of what the source has given wait for
    /// more, so this is not for bodies that trickle.
    ///
    /// An error of the source is the last item: the coding's end is never written then, and no
    /// reader takes the part for the whole.
    pub(crate) fn compress_stream<S>(self, source: S) -> impl Stream<Item = io::Result<Bytes>>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        let Some(compressor) = Compressor::new(self) else {
            return Either::Left(source);
        };
        let state = (Box::pin(source), Some(compressor));
        Either::Right(stream::try_unfold(
            state,
            async |(mut source, compressor)| {
                let Some(mut compressor) = compressor else {
                    return Ok(None);
                };
                while let Some(piece) = source.next().await.transpose()? {
                    let compressed = compressor.feed(&piece)?;
                    if !compressed.is_empty() {
                        return Ok(Some((compressed.into(), (source, Some(compressor)))));
                    }
                }
                Ok(Some((compressor.finish()?.into(), (source, None))))
            },
        ))
    }
}

/// What browsers and the usual clients send, letter by letter: most requests end here.
fn of_common(field: &[u8]) -> Option<Encoding> {
    Some(match field {
        b"gzip, deflate, br, zstd" | b"deflate, gzip, br, zstd" | b"zstd" | b"*" => Encoding::Zstd,
        b"gzip, deflate, br" | b"gzip, br" | b"br" | b"deflate, gzip, br" => Encoding::Br,
        b"gzip, deflate" | b"gzip,deflate" | b"deflate, gzip" | b"gzip" => Encoding::Gzip,
        b"identity" | b"" => Encoding::Identity,
        _ => return None,
    })
}

/// Weights in thousandths, of what is named. What is named twice has the higher one, so that
/// `gzip, x-gzip;q=0.5` is gzip.
#[derive(Debug, Default)]
struct Weights {
    br: Option<u16>,
    zstd: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    rest: Option<u16>,
}

impl Weights {
    fn add(&mut self, field: &[u8]) {
        for member in field.split(|byte| *byte == b',') {
            let mut parts = member.splitn(2, |byte| *byte == b';');
            let name = parts.next().unwrap_or_default().trim_ascii();
            let Some(slot) = self.slot(name) else {
                continue;
            };
            let given = match parts.next() {
                None => Some(1000),
                Some(parameter) => weight(parameter.trim_ascii()),
            };
            *slot = given.max(*slot);
        }
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut Option<u16>> {
        let named = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if named("gzip") || named("x-gzip") {
            Some(&mut self.gzip)
        } else if named("br") {
            Some(&mut self.br)
        } else if named("zstd") {
            Some(&mut self.zstd)
        } else if named("identity") {
            Some(&mut self.identity)
        } else if name == b"*" {
            Some(&mut self.rest)
        } else {
            None
        }
    }

    fn choose(&self) -> Encoding {
        let weight = |named: Option<u16>| named.or(self.rest).unwrap_or(0);
        let codings = [
            (weight(self.gzip), Encoding::Gzip),
            (weight(self.br), Encoding::Br),
            (weight(self.zstd), Encoding::Zstd),
        ];
        // Of equals, this is the last one.
        match codings.into_iter().max_by_key(|(weight, _)| *weight) {
            Some((highest, encoding)) if highest > 0 && highest >= weight(self.identity) => {
                encoding
            }
            _ => Encoding::Identity,
        }
    }
}

/// The weight that `q=0.123` gives, in thousandths: 0 to 1, with up to three decimals.
fn weight(parameter: &[u8]) -> Option<u16> {
    let (b"q=" | b"Q=", value) = parameter.split_at_checked(2)? else {
        return None;
    };
    let (whole, decimals) = match value {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', decimals @ ..] => (whole, decimals),
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| u16::from(decimals.get(at).map_or(0, |digit| digit - b'0'));
    let thousandths = u16::from(whole - b'0') * 1000 + digit(0) * 100 + digit(1) * 10 + digit(2);
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests;
