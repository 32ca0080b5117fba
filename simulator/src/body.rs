//! How the bytes of a document leave: at once or dripping, whole or cut off.

use std::io;
use std::iter::Peekable;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;

use crate::stats::Visit;

/// A document's chunks, made while they are sent.
pub(crate) type Chunks = Box<dyn Iterator<Item = Bytes> + Send>;

/// One body under way. Dropping it, as happens when the client leaves, ends all work on it.
pub(crate) struct Delivery {
    chunks: Peekable<Chunks>,
    /// Ends before its reader sees the end of the body, so that fetches in sequence never count as concurrent.
    visit: Option<Visit>,
    ending: Ending,
    bytes_per_second: Option<u64>,
}

/// What follows the last chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// The body ends as it should; this round has been served whole.
    Served { round: u64 },
    /// The body ends as it should.
    Complete,
    /// The connection breaks.
    Broken,
}

impl Delivery {
    pub(crate) fn new(chunks: Chunks, visit: Visit, ending: Ending) -> Self {
        Self {
            chunks: chunks.peekable(),
            visit: Some(visit),
            ending,
            bytes_per_second: None,
        }
    }

    /// Lets the body drip, ten times in a second.
    pub(crate) fn slowed(self, bytes_per_second: u64) -> Self {
        let bytes_per_second = bytes_per_second.max(1);
        let piece = usize::try_from(bytes_per_second.div_ceil(10)).unwrap_or(usize::MAX);
        let chunks: Chunks = Box::new(self.chunks.flat_map(move |chunk| split(chunk, piece)));
        Self {
            chunks: chunks.peekable(),
            bytes_per_second: Some(bytes_per_second),
            ..self
        }
    }

    /// The length of the whole body, if a single chunk holds it.
    pub(crate) fn known_length(&mut self) -> Option<usize> {
        // The pieces of a slowed body say nothing about its length.
        let first = self.chunks.next()?;
        let length = self.chunks.peek().is_none().then_some(first.len());
        let rest = std::mem::replace(
            &mut self.chunks,
            (Box::new(std::iter::empty()) as Chunks).peekable(),
        );
        self.chunks = (Box::new(std::iter::once(first).chain(rest)) as Chunks).peekable();
        length
    }

    pub(crate) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, Self::step))
    }

    async fn step(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let Some(chunk) = self.chunks.next() else {
            return self.end().await;
        };
        match self.bytes_per_second {
            Some(rate) => tokio::time::sleep(pause(chunk.len(), rate)).await,
            // Making a chunk is work; others on this thread get their turn.
            None => tokio::task::yield_now().await,
        }
        if self.chunks.peek().is_none() {
            self.finish();
        }
        Some((Ok(chunk), self))
    }

    /// Before the last chunk leaves, so that a reader that has it all finds it recorded.
    fn finish(&mut self) {
        let visit = self.visit.take();
        if let (Some(visit), Ending::Served { round }) = (visit, self.ending) {
            visit.served(round);
        }
    }

    async fn end(mut self) -> Option<(io::Result<Bytes>, Self)> {
        match self.ending {
            Ending::Served { .. } | Ending::Complete => None,
            Ending::Broken => {
                self.ending = Ending::Complete;
                // A pause lets the server flush; otherwise what was sent so far would be thrown away as well.
                tokio::task::yield_now().await;
                Some((Err(io::ErrorKind::ConnectionAborted.into()), self))
            }
        }
    }
}

/// The first `bytes` bytes of `chunks`.
pub(crate) fn take(chunks: impl Iterator<Item = Bytes> + Send + 'static, bytes: usize) -> Chunks {
    Box::new(chunks.scan(bytes, |left, mut chunk| {
        chunk.truncate(*left);
        *left -= chunk.len();
        (!chunk.is_empty()).then_some(chunk)
    }))
}

fn split(mut chunk: Bytes, piece: usize) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let length = piece.min(chunk.len());
        (length > 0).then(|| chunk.split_to(length))
    })
}

fn pause(bytes: usize, rate: u64) -> Duration {
    Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / rate)
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;
    use crate::config::Config;
    use crate::simulator::Simulator;

    #[tokio::test]
    async fn a_visit_ends_and_is_recorded_before_its_reader_has_the_last_chunk() {
        let simulator = Simulator::new(Config::default(), ([127, 0, 0, 1], 1).into());
        let chunks = ["first", "last"].map(|chunk| Bytes::from_static(chunk.as_bytes()));
        let delivery = Delivery::new(
            Box::new(chunks.into_iter()),
            simulator.visit(0, "host"),
            Ending::Served { round: 4 },
        );
        let mut body = delivery.into_body().into_data_stream();
        let state = || {
            (
                simulator.stats().total.concurrent,
                simulator.served("provider-0001").unwrap(),
            )
        };
        assert_eq!(body.next().await.unwrap().unwrap(), "first");
        assert_eq!(state(), (1, vec![]));
        assert_eq!(body.next().await.unwrap().unwrap(), "last");
        assert_eq!(state(), (0, vec![4]));
        assert!(body.next().await.is_none());
    }

    #[test]
    fn taking_ends_within_a_chunk() {
        let chunks = vec![
            Bytes::from_static(b"abc"),
            Bytes::from_static(b"def"),
            Bytes::from_static(b"ghi"),
        ];
        for (bytes, taken) in [(0, ""), (3, "abc"), (4, "abcd"), (100, "abcdefghi")] {
            assert_eq!(
                take(chunks.clone().into_iter(), bytes)
                    .collect::<Vec<_>>()
                    .concat(),
                taken.as_bytes()
            );
        }
    }

    #[test]
    fn splitting_loses_nothing() {
        let pieces: Vec<Bytes> = split(Bytes::from_static(b"abcdefg"), 3).collect();
        assert_eq!(pieces, ["abc", "def", "g"]);
    }
}
