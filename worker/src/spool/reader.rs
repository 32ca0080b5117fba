//! Reading a spool, as often as one likes.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Share;

/// What a reader takes from a file at once.
const BUFFER: usize = 128 << 10;

/// Bytes that stay as they are. Clones are the same; the last one gives the space back.
#[derive(Debug, Clone)]
pub struct Spool(Arc<Stored>);

#[derive(Debug)]
struct Stored {
    place: Place,
    len: u64,
    _share: Share,
}

#[derive(Debug)]
pub(super) enum Place {
    Memory(Box<[u8]>),
    File(File),
}

impl Spool {
    pub(super) fn new(place: Place, len: u64, share: Share) -> Self {
        Self(Arc::new(Stored {
            place,
            len,
            _share: share,
        }))
    }

    /// In bytes.
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// Reads it from the start, independently of other readers. Blocks while the disk does.
    pub fn reader(&self) -> SpoolReader {
        SpoolReader {
            spool: self.clone(),
            next: 0,
            buffer: Vec::new(),
            taken: 0,
        }
    }

    /// Reads what is there from `offset` on, at most as much as fits; less only at the end.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.0.len.saturating_sub(offset);
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let buffer = &mut buffer[..wanted];
        if buffer.is_empty() {
            return Ok(0);
        }
        match &self.0.place {
            Place::Memory(_) => buffer.copy_from_slice(&self.in_memory(offset)[..wanted]),
            Place::File(file) => file.read_exact_at(buffer, offset)?,
        }
        Ok(wanted)
    }

    /// What is in memory from `offset` on; nothing of what is in a file.
    fn in_memory(&self, offset: u64) -> &[u8] {
        match &self.0.place {
            Place::File(_) => &[],
            Place::Memory(bytes) => usize::try_from(offset)
                .ok()
                .and_then(|offset| bytes.get(offset..))
                .unwrap_or_default(),
        }
    }
}

/// Reads a [`Spool`] at a place of its own.
#[derive(Debug)]
pub struct SpoolReader {
    spool: Spool,
    /// Where in the spool to go on, past the buffer.
    next: u64,
    /// What is read ahead of a file, of which `taken` bytes are used up.
    buffer: Vec<u8>,
    taken: usize,
}

impl BufRead for SpoolReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Place::Memory(_) = self.spool.0.place {
            return Ok(self.spool.in_memory(self.next));
        }
        if self.taken == self.buffer.len() {
            self.taken = 0;
            self.buffer.resize(BUFFER, 0);
            let read = self.spool.read_at(self.next, &mut self.buffer);
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            self.next += read? as u64;
        }
        Ok(&self.buffer[self.taken..])
    }

    fn consume(&mut self, amount: usize) {
        match self.spool.0.place {
            Place::Memory(_) => self.next += amount as u64,
            Place::File(_) => self.taken = (self.taken + amount).min(self.buffer.len()),
        }
    }
}

impl Read for SpoolReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let taken = ready.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&ready[..taken]);
        self.consume(taken);
        Ok(taken)
    }
}
