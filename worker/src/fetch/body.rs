//! Reading a body: the async side takes pieces from the wire, and one blocking thread decodes,
//! digests and spools them at the same time. Between the two is a short queue, so that neither runs
//! away from the other.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::FetchError;
use super::decode::{ContentCoding, Source};
use crate::spool::{Spool, SpoolWriter};

/// Pieces that may wait for the blocking thread.
const WAITING: usize = 4;

/// Smaller pieces are gathered, so that a provider which drips holds no thread and wakes none.
const GATHERED: usize = 64 << 10;

/// From here on the ratio of a body to what came over the wire is judged.
const RATIO_FROM: u64 = 16 << 20;

/// What a body may be.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) wire: u64,
    pub(super) body: u64,
    pub(super) ratio: u64,
    pub(super) idle: Duration,
}

impl Bounds {
    /// What can be known before the first byte.
    pub(super) fn announced(&self, length: u64, coding: &ContentCoding) -> Result<(), FetchError> {
        if length > self.wire {
            return Err(FetchError::WireTooLarge { limit: self.wire });
        }
        if coding.is_none() && length > self.body {
            return Err(FetchError::BodyTooLarge { limit: self.body });
        }
        Ok(())
    }
}

/// A body that has come whole.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) body: Spool,
    pub(super) digest: [u8; 32],
    pub(super) wire: u64,
}

/// Reads a body to its end. Dropping the future stops it soon, and leaves nothing.
pub(super) async fn receive(
    mut response: Response,
    coding: ContentCoding,
    bounds: Bounds,
    writer: SpoolWriter,
) -> Result<Received, FetchError> {
    let Bounds {
        wire: limit, idle, ..
    } = bounds;
    let (sender, pieces) = channel(WAITING);
    let stopped = CancellationToken::new();
    let job = Job {
        source: pieces,
        coding,
        sink: Sink::new(bounds, writer),
        stopped: stopped.clone(),
    };
    let mut line = Line {
        sender,
        gathered: BytesMut::new(),
        thread: Thread::Waits(Box::new(job)),
        _stop_on_drop: stopped.drop_guard(),
    };
    let mut wire = 0;
    loop {
        let piece = tokio::select! {
            biased;
            // The thread has found something wrong.
            () = line.sender.closed() => break,
            piece = tokio::time::timeout(idle, response.chunk()) => piece,
        };
        let piece = piece
            .map_err(|_| FetchError::IdleTimeout { limit: idle })?
            .map_err(FetchError::from_body)?;
        let Some(piece) = piece else {
            line.end().await;
            break;
        };
        wire += piece.len() as u64;
        if wire > limit {
            return Err(FetchError::WireTooLarge { limit });
        }
        line.take(piece).await;
    }
    let (body, digest) = line.finish().await?;
    Ok(Received { body, digest, wire })
}

/// The async side's end of the queue.
struct Line {
    sender: Sender<Option<Bytes>>,
    gathered: BytesMut,
    thread: Thread,
    _stop_on_drop: DropGuard,
}

/// The blocking thread starts when the queue is full or the body is there, so that a provider can't
/// hold one with nothing.
enum Thread {
    Waits(Box<Job>),
    Runs(JoinHandle<Result<(Spool, [u8; 32]), FetchError>>),
    Over,
}

impl Line {
    async fn take(&mut self, piece: Bytes) {
        if self.gathered.is_empty() && piece.len() >= GATHERED {
            return self.send(Some(piece)).await;
        }
        self.gathered.extend_from_slice(&piece);
        if self.gathered.len() >= GATHERED {
            let gathered = self.gathered.split().freeze();
            self.send(Some(gathered)).await;
        }
    }

    async fn end(&mut self) {
        let gathered = self.gathered.split().freeze();
        if !gathered.is_empty() {
            self.send(Some(gathered)).await;
        }
        self.send(None).await;
    }

    /// If nobody takes it any more, the thread's result says why.
    async fn send(&mut self, piece: Option<Bytes>) {
        if let Err(TrySendError::Full(piece)) = self.sender.try_send(piece) {
            self.start();
            let _ = self.sender.send(piece).await;
        }
    }

    fn start(&mut self) {
        self.thread = match std::mem::replace(&mut self.thread, Thread::Over) {
            Thread::Waits(job) => {
                let span = tracing::Span::current();
                Thread::Runs(tokio::task::spawn_blocking(move || {
                    span.in_scope(|| job.run())
                }))
            }
            thread => thread,
        };
    }

    async fn finish(mut self) -> Result<(Spool, [u8; 32]), FetchError> {
        self.start();
        let Thread::Runs(thread) = self.thread else {
            return Err(FetchError::Interrupted);
        };
        match thread.await {
            Ok(stored) => stored,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(FetchError::Interrupted),
            },
        }
    }
}

/// What the blocking thread does.
struct Job {
    source: Receiver<Option<Bytes>>,
    coding: ContentCoding,
    sink: Sink,
    stopped: CancellationToken,
}

impl Job {
    fn run(self) -> Result<(Spool, [u8; 32]), FetchError> {
        let mut source = Source::new(self.source);
        let mut sink = self.sink;
        if self.coding.is_none() {
            while let Some(piece) = source.piece().map_err(|_| FetchError::Interrupted)? {
                sink.take(&piece, None)?;
            }
            return sink.finish();
        }
        let failed = |source| FetchError::Decode {
            coding: self.coding.to_string(),
            source,
        };
        let received = source.received();
        let mut decoder = self.coding.decoder(&mut source).map_err(failed)?;
        let mut buffer = vec![0; GATHERED];
        loop {
            let read = decoder.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            if self.stopped.is_cancelled() {
                return Err(FetchError::Interrupted);
            }
            sink.take(&buffer[..read], Some(received.get()))?;
        }
        sink.finish()
    }
}

/// Where decoded bytes go.
struct Sink {
    bounds: Bounds,
    writer: SpoolWriter,
    hasher: blake3::Hasher,
}

impl Sink {
    fn new(bounds: Bounds, writer: SpoolWriter) -> Self {
        Self {
            bounds,
            writer,
            hasher: blake3::Hasher::new(),
        }
    }

    /// `wire` is what came over the wire so far, if that is something else.
    fn take(&mut self, bytes: &[u8], wire: Option<u64>) -> Result<(), FetchError> {
        let Bounds { body, ratio, .. } = self.bounds;
        let len = self.writer.len() + bytes.len() as u64;
        if len > body {
            return Err(FetchError::BodyTooLarge { limit: body });
        }
        if let Some(wire) = wire
            && len > RATIO_FROM
            && len > wire.saturating_mul(ratio)
        {
            return Err(FetchError::RatioTooLarge { limit: ratio });
        }
        self.hasher.update(bytes);
        self.writer.append(bytes)?;
        Ok(())
    }

    fn finish(self) -> Result<(Spool, [u8; 32]), FetchError> {
        let digest = *self.hasher.finalize().as_bytes();
        Ok((self.writer.finish()?, digest))
    }
}
