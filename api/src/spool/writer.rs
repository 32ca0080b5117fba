//! Filling a spool.

use std::fs::File;
use std::io;
use std::mem;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::{CHUNK, Progress, SpoolError, Stored, place_in_file};

/// A spool that is being filled. Dropped before it is finished, it leaves its readers an error.
#[derive(Debug)]
pub(crate) struct Writer {
    stored: Arc<Stored>,
    tell: watch::Sender<Progress>,
    /// What is not a whole chunk yet.
    gathered: Vec<u8>,
    /// How many chunks are stored.
    chunks: usize,
    /// Whether all that was written is there: a chunk may be lost with a failed write, and with one
    /// that was not waited for.
    intact: bool,
}

impl Writer {
    pub(super) fn new(stored: Arc<Stored>, tell: watch::Sender<Progress>) -> Self {
        Self {
            stored,
            tell,
            gathered: Vec::new(),
            chunks: 0,
            intact: true,
        }
    }

    /// Appends all of it. Waits for the disk, never for a reader.
    ///
    /// # Errors
    /// See [`SpoolError`]; readers get one as well once the writer is dropped.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), SpoolError> {
        if !self.intact {
            return Err(SpoolError::Broken);
        }
        self.intact = false;
        self.stored.share.grow(bytes.len() as u64)?;
        while !bytes.is_empty() {
            let fits = bytes.len().min(CHUNK - self.gathered.len());
            if self.chunks > 0 {
                self.gathered.reserve_exact(CHUNK - self.gathered.len());
            }
            self.gathered.extend_from_slice(&bytes[..fits]);
            bytes = &bytes[fits..];
            if self.gathered.len() == CHUNK {
                self.store().await?;
            }
        }
        self.intact = true;
        Ok(())
    }

    /// Ends it: readers end cleanly where it ends.
    ///
    /// # Errors
    /// See [`SpoolError`], for what was not stored yet.
    pub(crate) async fn finish(mut self) -> Result<(), SpoolError> {
        if !self.intact {
            return Err(SpoolError::Broken);
        }
        if !self.gathered.is_empty() {
            self.store().await?;
        }
        self.tell.send_modify(|progress| progress.finished = true);
        Ok(())
    }

    /// Puts what is gathered where it stays, and lets readers have it.
    async fn store(&mut self) -> Result<(), SpoolError> {
        self.gathered.shrink_to_fit();
        let chunk = Bytes::from(mem::take(&mut self.gathered));
        let bytes = chunk.len() as u64;
        match self.stored.memory.get(self.chunks) {
            Some(place) => place.set(chunk).map_err(|_| SpoolError::Broken)?,
            None => self.store_in_file(chunk).await?,
        }
        self.chunks += 1;
        self.tell.send_modify(|progress| progress.bytes += bytes);
        Ok(())
    }

    async fn store_in_file(&self, chunk: Bytes) -> Result<(), SpoolError> {
        let stored = Arc::clone(&self.stored);
        let place = place_in_file(self.chunks);
        let written = spawn_blocking(move || stored.file()?.write_all_at(&chunk, place)).await;
        let written = written.map_err(io::Error::other);
        written.flatten().map_err(|source| SpoolError::Io {
            folder: self.stored.share.spools.0.folder.clone(),
            source,
        })
    }
}

impl Stored {
    /// Made when it is first written to; it blocks.
    fn file(&self) -> io::Result<&File> {
        if self.file.get().is_none() {
            let file = tempfile::tempfile_in(&self.share.spools.0.folder)?;
            // Only one writer comes here, and one after the other: it can't be there already.
            drop(self.file.set(file));
        }
        self.file
            .get()
            .ok_or_else(|| io::Error::other("the file is not there"))
    }
}
