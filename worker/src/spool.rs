//! Bytes that are written once and read many times, wherever they fit: in memory up to a bound, in a
//! file past it. The file has no name, so that nothing is left of it whatever becomes of the
//! process, and all spools of a process share one budget of disk.

mod reader;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use reader::{Spool, SpoolReader};
pub use writer::SpoolWriter;

/// Where spools may go, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    /// What one spool holds in memory before it goes to disk, in bytes.
    pub memory: usize,
    /// Where the files are.
    pub directory: PathBuf,
    /// What all spools together hold on disk, in bytes.
    pub total: u64,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self {
            memory: 4 << 20,
            directory: std::env::temp_dir(),
            total: 8 << 30,
        }
    }
}

/// Why something could not be spooled.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The file can't be made or written.
    #[error("can't write temporary data to {}: {source}", .directory.display())]
    Write {
        /// Where it was tried.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// All spools together hold as much as they may.
    #[error("temporary data would exceed the limit of {total} bytes on disk, all feeds together")]
    Full {
        /// In bytes.
        total: u64,
    },
}

/// The spools of a process, and what they share. Clones are the same.
#[derive(Debug, Clone)]
pub struct Spools(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: SpoolConfig,
    on_disk: AtomicU64,
}

impl Spools {
    /// Checks that files can be made where they may have to be.
    ///
    /// # Errors
    /// [`SpoolError::Write`].
    pub fn open(config: SpoolConfig) -> Result<Self, SpoolError> {
        let spools = Self(Arc::new(Shared {
            config,
            on_disk: AtomicU64::new(0),
        }));
        let written = tempfile::tempfile_in(&spools.0.config.directory)
            .and_then(|mut file| io::Write::write_all(&mut file, b"0"));
        match written {
            Ok(()) => Ok(spools),
            Err(source) => Err(spools.failed(source)),
        }
    }

    /// An empty spool, to be filled.
    pub fn writer(&self) -> SpoolWriter {
        SpoolWriter::new(self.clone())
    }

    /// What all of them hold on disk now, in bytes.
    pub fn on_disk(&self) -> u64 {
        self.0.on_disk.load(Ordering::Relaxed)
    }

    fn failed(&self, source: io::Error) -> SpoolError {
        SpoolError::Write {
            directory: self.0.config.directory.clone(),
            source,
        }
    }
}

/// A share of the budget, given back when it is dropped.
#[derive(Debug)]
struct Share {
    spools: Spools,
    bytes: u64,
}

impl Share {
    fn grow(&mut self, more: u64) -> Result<(), SpoolError> {
        let Shared { config, on_disk } = &*self.spools.0;
        let fits = |held: u64| held.checked_add(more).filter(|held| *held <= config.total);
        on_disk
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|_| SpoolError::Full {
                total: config.total,
            })?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.spools
            .0
            .on_disk
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Read, Write};

    use super::*;

    const MEMORY: usize = 1000;

    fn spools(total: u64) -> Spools {
        let config = SpoolConfig {
            memory: MEMORY,
            total,
            ..SpoolConfig::default()
        };
        Spools::open(config).unwrap()
    }

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at % 251) as u8).collect()
    }

    fn spool(spools: &Spools, bytes: &[u8], step: usize) -> Spool {
        let mut writer = spools.writer();
        for piece in bytes.chunks(step) {
            writer.append(piece).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn what_is_written_is_read_wherever_it_lies() {
        let spools = spools(u64::MAX);
        for len in [0, 1, MEMORY, MEMORY + 1, 700_000] {
            let bytes = bytes(len);
            for step in [1 + len / 7, usize::MAX] {
                let spool = spool(&spools, &bytes, step);
                assert_eq!((spool.len(), spool.is_empty()), (len as u64, len == 0));
                for _ in 0..2 {
                    let mut read = Vec::new();
                    spool.reader().read_to_end(&mut read).unwrap();
                    assert!(read == bytes, "{len}");
                }
                let mut buffered = Vec::new();
                let mut reader = spool.reader();
                while let Some(piece) = Some(reader.fill_buf().unwrap()).filter(|p| !p.is_empty()) {
                    let half = piece.len().div_ceil(2);
                    buffered.extend_from_slice(&piece[..half]);
                    reader.consume(half);
                }
                assert!(buffered == bytes, "{len}");
            }
        }
    }

    #[test]
    fn readers_do_not_disturb_each_other() {
        let spools = spools(u64::MAX);
        for len in [MEMORY, 500_000] {
            let bytes = bytes(len);
            let spool = spool(&spools, &bytes, len);
            let (mut one, mut other) = (spool.reader(), spool.reader());
            drop(spool);
            let mut read = [vec![0; len / 2], vec![0; len / 2]];
            one.read_exact(&mut read[0]).unwrap();
            other.read_exact(&mut read[1]).unwrap();
            assert!(read[0] == read[1] && read[0] == bytes[..len / 2]);
            let mut rest = Vec::new();
            one.read_to_end(&mut rest).unwrap();
            assert!(rest == bytes[len / 2..]);
        }
    }

    #[test]
    fn any_part_can_be_read_by_itself() {
        let spools = spools(u64::MAX);
        for len in [MEMORY, 500_000] {
            let bytes = bytes(len);
            let spool = spool(&spools, &bytes, 999);
            let mut part = [0; 100];
            assert_eq!(spool.read_at(len as u64 - 150, &mut part).unwrap(), 100);
            assert_eq!(part[..], bytes[len - 150..len - 50]);
            assert_eq!(spool.read_at(len as u64 - 30, &mut part).unwrap(), 30);
            assert_eq!(part[..30], bytes[len - 30..]);
            assert_eq!(spool.read_at(len as u64, &mut part).unwrap(), 0);
            assert_eq!(spool.read_at(u64::MAX, &mut part).unwrap(), 0);
        }
    }

    #[test]
    fn all_together_stay_within_the_budget_and_give_it_back() {
        let spools = spools(10_000);
        let small = spool(&spools, &bytes(MEMORY), MEMORY);
        assert_eq!(spools.on_disk(), 0, "what fits in memory stays there");
        let first = spool(&spools, &bytes(6_000), 500);
        assert_eq!(spools.on_disk(), 6_000);
        let reader = first.reader();
        let mut second = spools.writer();
        second.append(&bytes(4_000)).unwrap();
        let error = second.append(&[0]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "temporary data would exceed the limit of 10000 bytes on disk, all feeds together"
        );
        drop(second);
        assert_eq!(spools.on_disk(), 6_000);
        drop((first, small));
        assert_eq!(spools.on_disk(), 6_000, "a reader still holds it");
        drop(reader);
        assert_eq!(spools.on_disk(), 0);
    }

    #[test]
    fn an_error_survives_the_way_through_write() {
        let spools = spools(2_000);
        let mut writer = spools.writer();
        let error = io::copy(&mut &bytes(3_000)[..], &mut writer).unwrap_err();
        assert!(error.to_string().contains("limit of 2000 bytes"), "{error}");
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        assert!(matches!(inner, Some(SpoolError::Full { total: 2_000 })));
        writer.flush().unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_told_at_the_start() {
        let config = SpoolConfig {
            directory: "/nowhere/at/all".into(),
            ..SpoolConfig::default()
        };
        let error = Spools::open(config).unwrap_err().to_string();
        let start = "can't write temporary data to /nowhere/at/all: ";
        assert!(error.starts_with(start), "{error}");
        assert!(error.contains("No such file or directory"), "{error}");
    }

    #[test]
    fn files_have_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let config = SpoolConfig {
            memory: 0,
            directory: directory.path().to_owned(),
            ..SpoolConfig::default()
        };
        let spools = Spools::open(config).unwrap();
        let _spool = spool(&spools, &bytes(100), 100);
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
        assert_eq!(spools.on_disk(), 100);
    }
}
