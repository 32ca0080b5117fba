use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The chunks of `plain`, compressed as they come.
pub(crate) struct Gzip<I> {
    plain: I,
    /// Gone once the stream is finished.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl<I: Iterator<Item = Bytes>> Gzip<I> {
    pub(crate) fn new(plain: I) -> Self {
        Self {
            plain,
            encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())),
        }
    }

    fn compress(&mut self) -> io::Result<Option<Bytes>> {
        while let Some(encoder) = &mut self.encoder {
            match self.plain.next() {
                Some(chunk) => encoder.write_all(&chunk)?,
                None => {
                    return self
                        .encoder
                        .take()
                        .map(|encoder| encoder.finish().map(Bytes::from))
                        .transpose();
                }
            }
            if !encoder.get_ref().is_empty() {
                return Ok(Some(std::mem::take(encoder.get_mut()).into()));
            }
        }
        Ok(None)
    }
}

impl<I: Iterator<Item = Bytes>> Iterator for Gzip<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.compress()
            .expect("a vector takes all that is written to it")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let chunks: Vec<Bytes> = (0..300u32)
            .map(|n| Bytes::from(n.to_string().repeat(500)))
            .collect();
        let packed: Vec<u8> = Gzip::new(chunks.clone().into_iter()).flatten().collect();
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        assert!(packed.len() < plain.len());
        assert_eq!(plain, chunks.concat());
    }
}
