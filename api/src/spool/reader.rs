//! Reading a spool, as often as one likes and while it is being filled.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, stream};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::{CHUNK, Progress, Stored, place_in_file};

/// What a writer fills. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    pub(super) stored: Arc<Stored>,
    progress: watch::Receiver<Progress>,
}

impl Spool {
    pub(super) fn new(stored: Arc<Stored>, progress: watch::Receiver<Progress>) -> Self {
        Self { stored, progress }
    }

    /// All of it from the start, in chunks of up to 256 KiB, one of which is held at a time. It
    /// waits for what is not written yet.
    ///
    /// It ends when the writer has finished. If the writer goes without that, the last item is an
    /// error, after what there is.
    pub(crate) fn read(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let start = (self.clone(), 0);
        stream::try_unfold(start, async |(mut spool, chunk)| {
            let Some(len) = spool.await_chunk(chunk).await? else {
                return Ok(None);
            };
            let bytes = spool.chunk(chunk, len).await?;
            Ok(Some((bytes, (spool, chunk + 1))))
        })
    }

    /// How long it is, in bytes, once its writer has finished.
    pub(crate) fn len_if_finished(&self) -> Option<u64> {
        let progress = *self.progress.borrow();
        progress.finished.then_some(progress.bytes)
    }

    /// The length of that chunk, once it is there; `None` when there will be none.
    async fn await_chunk(&mut self, chunk: usize) -> io::Result<Option<usize>> {
        let start = chunk as u64 * CHUNK as u64;
        let there = |progress: &Progress| progress.finished || progress.bytes > start;
        let Ok(progress) = self.progress.wait_for(there).await else {
            let problem = "the answer could not be read to its end";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
        };
        let left = usize::try_from(progress.bytes.saturating_sub(start)).unwrap_or(usize::MAX);
        Ok(Some(left.min(CHUNK)).filter(|len| *len > 0))
    }

    async fn chunk(&self, chunk: usize, len: usize) -> io::Result<Bytes> {
        if let Some(place) = self.stored.memory.get(chunk) {
            let bytes = place.get().cloned();
            return bytes.ok_or_else(|| io::Error::other("a part of the answer is not there"));
        }
        let stored = Arc::clone(&self.stored);
        let read = spawn_blocking(move || {
            let file = stored.file.get();
            let file = file.ok_or_else(|| io::Error::other("the file is not there"))?;
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, place_in_file(chunk))?;
            Ok(Bytes::from(bytes))
        });
        read.await.map_err(io::Error::other)?
    }
}
