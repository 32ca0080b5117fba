//! Filling a spool.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use super::reader::Place;
use super::{Share, Spool, SpoolError, Spools};

/// Small pieces are gathered to this size before they are written to the file.
const GATHERED: usize = 128 << 10;

/// A spool that is being filled. Dropping it leaves nothing.
#[derive(Debug)]
pub struct SpoolWriter {
    memory: Vec<u8>,
    file: Option<BufWriter<File>>,
    len: u64,
    share: Share,
}

impl SpoolWriter {
    pub(super) fn new(spools: Spools) -> Self {
        Self {
            memory: Vec::new(),
            file: None,
            len: 0,
            share: Share { spools, bytes: 0 },
        }
    }

    /// Appends all of it.
    ///
    /// # Errors
    /// See [`SpoolError`]; nothing more can be made of this spool then.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        if self.file.is_none() {
            if self.memory.len() + bytes.len() <= self.share.spools.0.config.memory {
                self.memory.extend_from_slice(bytes);
                self.len += bytes.len() as u64;
                return Ok(());
            }
            self.spill()?;
        }
        self.share.grow(bytes.len() as u64)?;
        let written = match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Ok(()),
        };
        written.map_err(|source| self.share.spools.failed(source))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn spill(&mut self) -> Result<(), SpoolError> {
        self.share.grow(self.memory.len() as u64)?;
        let memory = std::mem::take(&mut self.memory);
        let made = tempfile::tempfile_in(&self.share.spools.0.config.directory)
            .map(|file| BufWriter::with_capacity(GATHERED, file))
            .and_then(|mut file| {
                file.write_all(&memory)?;
                Ok(file)
            });
        self.file = Some(made.map_err(|source| self.share.spools.failed(source))?);
        Ok(())
    }

    /// How much it is so far, in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Ends it, and makes it readable.
    ///
    /// # Errors
    /// [`SpoolError::Write`], for what was not written yet.
    pub fn finish(self) -> Result<Spool, SpoolError> {
        let place = match self.file {
            None => Place::Memory(self.memory.into_boxed_slice()),
            Some(file) => match file.into_inner() {
                Ok(file) => Place::File(file),
                Err(error) => return Err(self.share.spools.failed(error.into_error())),
            },
        };
        Ok(Spool::new(place, self.len, self.share))
    }
}

/// Errors hold a [`SpoolError`].
impl Write for SpoolWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
