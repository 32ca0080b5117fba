//! Where a large answer waits for its clients, so that no database connection does.
//!
//! A spool is written once, from its start to its end, while any number of readers follow at their
//! own pace. It is cut into chunks of [`CHUNK`] bytes, of which only the last may be shorter. The
//! first few stay in memory and the others go to a file without a name, so that nothing is left of
//! it whatever becomes of the process. All spools of a process share one budget.

mod reader;
mod writer;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::watch;

pub(crate) use reader::Spool;
pub(crate) use writer::Writer;

/// What is written to a file, and read from it, at once.
const CHUNK: usize = 256 << 10;

/// Chunks that stay in memory: 4 MiB of each spool.
const IN_MEMORY: usize = 16;

/// Why something could not be spooled. Nothing more can be made of that spool then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    /// All spools together hold as much as they may.
    #[error("temporary data would exceed the limit of {most_bytes} bytes, all answers together")]
    Full {
        /// The limit.
        most_bytes: u64,
    },
    /// The file can't be made or written.
    #[error("write temporary data to {}", .folder.display())]
    Io {
        /// Where it was tried.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An earlier write failed, or was not waited for.
    #[error("temporary data is incomplete: an earlier write did not end well")]
    Broken,
}

/// The spools of a process, and what they share. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Spools(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    most_bytes: u64,
    held_bytes: AtomicU64,
}

impl Spools {
    /// Spools whose files are in `folder`, or else in the system's for temporary files, and that
    /// together hold up to `most_bytes` in memory and on disk.
    pub(crate) fn new(folder: Option<PathBuf>, most_bytes: u64) -> Self {
        Self(Arc::new(Shared {
            folder: folder.unwrap_or_else(std::env::temp_dir),
            most_bytes,
            held_bytes: AtomicU64::new(0),
        }))
    }

    /// An empty spool, to be filled and to be read.
    pub(crate) fn create(&self) -> (Writer, Spool) {
        let stored = Arc::new(Stored::new(self.clone()));
        let (tell, progress) = watch::channel(Progress::default());
        let writer = Writer::new(Arc::clone(&stored), tell);
        (writer, Spool::new(stored, progress))
    }

    /// What all of them hold now, in memory and on disk.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> u64 {
        self.0.held_bytes.load(Ordering::Relaxed)
    }
}

/// How far a spool is. Readers look at no chunk that is not told of here.
///
/// There will be no more when the writer is gone; the spool is broken if it was not `finished`.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    bytes: u64,
    finished: bool,
}

/// What writer and readers of a spool share. The last of them gives the space back.
#[derive(Debug)]
struct Stored {
    memory: [OnceLock<Bytes>; IN_MEMORY],
    file: OnceLock<File>,
    share: Share,
}

impl Stored {
    fn new(spools: Spools) -> Self {
        Self {
            memory: Default::default(),
            file: OnceLock::new(),
            share: Share {
                spools,
                bytes: AtomicU64::new(0),
            },
        }
    }
}

/// Where in the file a chunk is that does not stay in memory.
fn place_in_file(chunk: usize) -> u64 {
    (chunk - IN_MEMORY) as u64 * CHUNK as u64
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
struct Share {
    spools: Spools,
    bytes: AtomicU64,
}

impl Share {
    fn grow(&self, more: u64) -> Result<(), SpoolError> {
        let shared = &*self.spools.0;
        let most_bytes = shared.most_bytes;
        let fits = |held: u64| held.checked_add(more).filter(|held| *held <= most_bytes);
        shared
            .held_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|_| SpoolError::Full { most_bytes })?;
        self.bytes.fetch_add(more, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        let shared = &*self.spools.0;
        shared.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
