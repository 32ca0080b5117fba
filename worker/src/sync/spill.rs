//! Events that differ from what is known, on their way from the comparison to the commit: written in
//! the order of the feed, read in the order of their ids.
//!
//! In memory stays 24 bytes for each; the rest is spooled. A record is its length (32 bits, little
//! endian) and the event in postcard's wire format. It lives as long as its run, so that its form is
//! nobody else's business.

mod record;

use std::io;

use entity::commit::{Chunks, Source, Upsert};
use entity::event::{Content, DIGEST_BYTES};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use uuid::Uuid;

use self::record::Record;
use crate::spool::{Spool, SpoolError, SpoolWriter, Spools};

/// Events that are being spilled.
#[derive(Debug)]
pub(super) struct Spill {
    spool: SpoolWriter,
    entries: Vec<Entry>,
    record: Vec<u8>,
}

/// Where an event lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    id: Uuid,
    /// In the spool. Rises with each event of the feed.
    at: u64,
}

impl Spill {
    pub(super) fn new(spools: &Spools) -> Self {
        Self {
            spool: spools.writer(),
            entries: Vec::new(),
            record: Vec::new(),
        }
    }

    /// Takes an event; of one that comes twice, the last one counts.
    pub(super) fn take(
        &mut self,
        id: Uuid,
        content: &Content,
        digest: [u8; DIGEST_BYTES],
    ) -> Result<(), SpoolError> {
        let at = self.spool.len();
        self.record.clear();
        self.record.extend_from_slice(&[0; LENGTH_BYTES]);
        let record = Record::new(content, digest);
        let record = postcard::to_extend(&record, std::mem::take(&mut self.record))
            .expect("a vector takes everything that has a wire form");
        self.record = record;
        let length = u32::try_from(self.record.len() - LENGTH_BYTES).unwrap_or(u32::MAX);
        self.record[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        self.spool.append(&self.record)?;
        self.entries.push(Entry { id, at });
        Ok(())
    }

    /// Ends it: the last one of each id, of those that `keep` wants, in the order of ids.
    pub(super) fn finish(
        mut self,
        mut keep: impl FnMut(Uuid) -> Keep,
    ) -> Result<Spilled, SpoolError> {
        self.entries.sort_unstable();
        let entries = &mut self.entries;
        let (mut kept, mut at) = (0, 0);
        while at < entries.len() {
            let id = entries[at].id;
            while entries.get(at + 1).is_some_and(|next| next.id == id) {
                at += 1;
            }
            let known = match keep(id) {
                Keep::No => None,
                Keep::New => Some(0),
                Keep::Known => Some(KNOWN),
            };
            if let Some(known) = known {
                entries[kept] = Entry {
                    id,
                    at: entries[at].at | known,
                };
                kept += 1;
            }
            at += 1;
        }
        entries.truncate(kept);
        Ok(Spilled {
            spool: self.spool.finish()?,
            entries: self.entries.into(),
        })
    }

    /// How many were taken.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// What becomes of an event in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// It turned out to be no news.
    No,
    /// It is stored for the first time.
    New,
    /// It replaces what is stored.
    Known,
}

/// Marks an [`Entry`]'s place; no spool is that large.
const KNOWN: u64 = 1 << 63;
const LENGTH_BYTES: usize = 4;

/// Events that differ, for the commit.
#[derive(Debug, Clone)]
pub(crate) struct Spilled {
    spool: Spool,
    entries: std::sync::Arc<[Entry]>,
}

impl Spilled {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Bounds of a chunk: in events, and in bytes of their records, which take several times as much
/// room once they are read.
const CHUNK_EVENTS: usize = 2_000;
const CHUNK_BYTES: usize = 1 << 20;

impl Source for Spilled {
    /// Read off the async threads, one chunk ahead.
    fn chunks(&self) -> Chunks {
        let (sender, receiver) = mpsc::channel(1);
        let spilled = self.clone();
        if !spilled.is_empty() {
            tokio::task::spawn_blocking(move || {
                let mut entries = &spilled.entries[..];
                while !entries.is_empty() {
                    let chunk = spilled.chunk(&mut entries);
                    let failed = chunk.is_err();
                    // Nobody listens any more once the commit has failed.
                    if sender.blocking_send(chunk).is_err() || failed {
                        break;
                    }
                }
            });
        }
        stream::unfold(receiver, async |mut receiver| {
            let chunk = receiver.recv().await?;
            Some((chunk, receiver))
        })
        .boxed()
    }
}

impl Spilled {
    fn chunk(&self, entries: &mut &[Entry]) -> io::Result<Vec<Upsert>> {
        let mut upserts = Vec::with_capacity(entries.len().min(CHUNK_EVENTS));
        let mut record = Vec::new();
        let mut bytes = 0;
        while let Some((entry, rest)) = entries.split_first() {
            self.read(entry.at & !KNOWN, &mut record)?;
            bytes += record.len();
            upserts.push(upsert(*entry, &record)?);
            *entries = rest;
            if upserts.len() == CHUNK_EVENTS || bytes >= CHUNK_BYTES {
                break;
            }
        }
        Ok(upserts)
    }

    /// Reads one record, most of the time in one go.
    fn read(&self, at: u64, record: &mut Vec<u8>) -> io::Result<()> {
        const GUESS: usize = 1024;
        record.resize(GUESS, 0);
        let read = self.spool.read_at(at, record)?;
        record.truncate(read);
        let length = record
            .first_chunk()
            .map(|length| u32::from_le_bytes(*length) as usize)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let end = LENGTH_BYTES + length;
        if end > read {
            record.resize(end, 0);
            let rest = self.spool.read_at(at + read as u64, &mut record[read..])?;
            if read + rest < end {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        record.truncate(end);
        record.drain(..LENGTH_BYTES);
        Ok(())
    }
}

fn upsert(entry: Entry, record: &[u8]) -> io::Result<Upsert> {
    let record: Record<'_> = postcard::from_bytes(record).map_err(io::Error::other)?;
    let digest = record.digest;
    let content = record
        .content()
        .ok_or_else(|| io::Error::other("an instant is out of range"))?;
    Ok(Upsert {
        id: entry.id,
        content,
        digest,
        known: entry.at & KNOWN != 0,
    })
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use entity::event::{SellMode, Zone};

    use super::*;
    use crate::spool::SpoolConfig;

    fn content(event_id: &str, zones: usize) -> Content {
        let zone = Zone {
            id: Some("40".into()),
            name: Some("Platea – 1ª".into()),
            capacity: Some(i64::MAX),
            price: Some(i64::MIN),
            numbered: Some(true),
        };
        Content {
            base_id: "291".into(),
            event_id: event_id.into(),
            title: "Camela en concierto".into(),
            starts_at: "0001-01-01T00:00:00.000001Z".parse().unwrap(),
            ends_at: Some("9999-12-31T23:59:59.999999Z".parse().unwrap()),
            starts_local: "0001-01-01T00:00:00.000001".parse().unwrap(),
            ends_local: Some("9999-12-31T23:59:59.999999".parse().unwrap()),
            sell_from: Some("1969-12-31T23:59:59.5Z".parse().unwrap()),
            sell_to: None,
            sold_out: true,
            sell_mode: SellMode::Offline,
            organizer_company_id: Some(String::new()),
            min_price: Some(1),
            max_price: None,
            zones: std::iter::repeat_n(zone, zones)
                .chain([Zone::default()])
                .collect(),
        }
    }

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    async fn spilled(memory: usize, taken: &[(u128, Content)], known: &[u128]) -> Vec<Upsert> {
        let config = SpoolConfig {
            memory,
            ..SpoolConfig::default()
        };
        let mut spill = Spill::new(&Spools::open(config).unwrap());
        for (number, content) in taken {
            spill.take(id(*number), content, content.digest()).unwrap();
        }
        let spilled = spill.finish(|found| match known.contains(&found.as_u128()) {
            _ if found == id(13) => Keep::No,
            true => Keep::Known,
            false => Keep::New,
        });
        let spilled = spilled.unwrap();
        let first: Vec<_> = spilled.chunks().try_collect().await.unwrap();
        let again: Vec<_> = spilled.chunks().try_collect().await.unwrap();
        assert_eq!(first, again, "it can be read as often as one likes");
        assert!(first.iter().all(|chunk| !chunk.is_empty()));
        let all = first.concat();
        assert_eq!(all.len(), spilled.len());
        all
    }

    #[tokio::test]
    async fn every_field_comes_back_in_the_order_of_ids() {
        let taken = [
            (7, content("a", 0)),
            (3, content("b", 3)),
            (5, content("c", 40)),
        ];
        for memory in [0, 1 << 20] {
            let upserts = spilled(memory, &taken, &[5]).await;
            let found: Vec<_> = upserts
                .iter()
                .map(|upsert| (upsert.id, &upsert.content, upsert.digest, upsert.known))
                .collect();
            let expected = |index: usize, known| {
                let (number, content) = &taken[index];
                (id(*number), content, content.digest(), known)
            };
            assert_eq!(
                found,
                [expected(1, false), expected(2, true), expected(0, false)]
            );
        }
    }

    #[tokio::test]
    async fn the_last_of_an_id_counts_and_what_is_not_kept_does_not() {
        let taken = [
            (7, content("first", 0)),
            (13, content("no news", 0)),
            (7, content("second", 0)),
            (1, content("other", 0)),
            (7, content("third", 0)),
        ];
        let upserts = spilled(64, &taken, &[]).await;
        let ids: Vec<_> = upserts
            .iter()
            .map(|upsert| upsert.content.event_id.as_str())
            .collect();
        assert_eq!(ids, ["other", "third"]);
    }

    #[tokio::test]
    async fn chunks_are_bounded_by_events_and_by_bytes() {
        let config = SpoolConfig {
            memory: 1 << 10,
            ..SpoolConfig::default()
        };
        let spools = Spools::open(config).unwrap();
        for (events, zones, most) in [(5_000, 0, CHUNK_EVENTS), (100, 2_000, 30)] {
            let mut spill = Spill::new(&spools);
            for number in 0..events {
                let content = content("a", zones);
                spill.take(id(number), &content, content.digest()).unwrap();
            }
            assert_eq!(spill.len() as u128, events);
            let spilled = spill.finish(|_| Keep::New).unwrap();
            let chunks: Vec<_> = spilled.chunks().try_collect().await.unwrap();
            assert!(chunks.len() > 2);
            assert!(chunks.iter().all(|chunk| chunk.len() <= most));
            assert_eq!(chunks.concat().len() as u128, events);
        }
        assert_eq!(spools.on_disk(), 0);
    }
}
