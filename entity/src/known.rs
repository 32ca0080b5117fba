//! What is known of a provider's events: just enough to tell what a feed changes, in as little memory
//! as that takes.

use futures::TryStreamExt;
use sea_orm::{ConnectionTrait, DbErr, StreamTrait, TransactionTrait};
use uuid::Uuid;

use crate::Database;
use crate::dialect::Dialect;
use crate::event::DIGEST_BYTES;

/// What is known of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Which.
    pub id: Uuid,
    /// Of its stored content.
    pub digest: [u8; DIGEST_BYTES],
    /// Whether it has left its feed.
    pub gone: bool,
    /// Whether it has stopped being in its feed and is held.
    pub missing: bool,
    /// Whether it was over when it was read; one without an end when it had started.
    pub ended: bool,
}

/// All events of a provider, gone ones included, in the order of their ids: 33 bytes and a little for
/// each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    ids: Vec<Uuid>,
    digests: Vec<[u8; DIGEST_BYTES]>,
    flags: Vec<u8>,
    /// Where the ids with each value of their first bits begin. Ids are hashes and spread evenly, so
    /// that a few are left to look at.
    starts: Vec<u32>,
    shift: u32,
}

const GONE: u8 = 1;
const MISSING: u8 = 2;
const ENDED: u8 = 4;
/// How many ids are found under one value of their first bits, about.
const PER_START: usize = 8;

impl Known {
    /// Takes events in any order, each id once.
    pub fn new(mut events: Vec<Event>) -> Self {
        events.sort_unstable_by_key(|event| event.id);
        let mut known = Self::default();
        for event in events {
            known.push(
                event.id,
                event.digest,
                (u8::from(event.gone) * GONE)
                    | (u8::from(event.missing) * MISSING)
                    | (u8::from(event.ended) * ENDED),
            );
        }
        known.index();
        known
    }

    fn push(&mut self, id: Uuid, digest: [u8; DIGEST_BYTES], flags: u8) {
        debug_assert!(self.ids.last().is_none_or(|last| *last < id));
        self.ids.push(id);
        self.digests.push(digest);
        self.flags.push(flags);
    }

    fn index(&mut self) {
        let starts = (self.ids.len() / PER_START).next_power_of_two().max(2);
        self.shift = 64 - starts.trailing_zeros();
        self.starts = Vec::with_capacity(starts + 1);
        for (position, id) in self.ids.iter().enumerate() {
            let position = u32::try_from(position).unwrap_or(u32::MAX);
            let start = first_bits(*id) >> self.shift;
            while self.starts.len() as u64 <= start {
                self.starts.push(position);
            }
        }
        let end = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        self.starts.resize(starts + 1, end);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Where an event stands among them, if it is known.
    #[inline]
    pub fn position(&self, id: Uuid) -> Option<usize> {
        if self.ids.is_empty() {
            return None;
        }
        let start = usize::try_from(first_bits(id) >> self.shift).ok()?;
        let range = self.starts[start] as usize..self.starts[start + 1] as usize;
        let found = self.ids[range.clone()].binary_search(&id).ok()?;
        Some(range.start + found)
    }

    /// The event at a position.
    #[inline]
    pub fn at(&self, position: usize) -> Event {
        let flags = self.flags[position];
        Event {
            id: self.ids[position],
            digest: self.digests[position],
            gone: flags & GONE != 0,
            missing: flags & MISSING != 0,
            ended: flags & ENDED != 0,
        }
    }

    /// The event of that id.
    pub fn get(&self, id: Uuid) -> Option<Event> {
        self.position(id).map(|position| self.at(position))
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        (0..self.len()).map(|position| self.at(position))
    }
}

fn first_bits(id: Uuid) -> u64 {
    id.as_u64_pair().0
}

/// All events of a provider, gone ones included.
///
/// # Errors
/// Whatever the database answers.
pub async fn of_provider(db: &Database, provider_id: i64) -> Result<Known, DbErr> {
    let mut known = match Dialect::of(&db.write) {
        Dialect::Postgres => entries(db, provider_id).await?,
        Dialect::Sqlite => rows(db, provider_id).await?,
    };
    known.index();
    Ok(known)
}

/// The flags as a number; both databases agree on this much SQL.
fn flags(now: &str) -> String {
    format!(
        "CASE WHEN gone_at IS NULL THEN 0 ELSE {GONE} END \
         + CASE WHEN missing_since IS NULL THEN 0 ELSE {MISSING} END \
         + CASE WHEN coalesce(ends_at, starts_at) < {now} THEN {ENDED} ELSE 0 END"
    )
}

const ID_BYTES: usize = 16;
const ENTRY_BYTES: usize = ID_BYTES + DIGEST_BYTES + 1;
/// As many entries travel as one value. Most of the cost of a short row is that it is one, and sorting
/// here costs less than having rows sorted there.
const AT_ONCE: usize = 200_000;

async fn entries(db: &Database, provider_id: i64) -> Result<Known, DbErr> {
    let dialect = Dialect::Postgres;
    let entry = format!(
        "uuid_send(id) || digest || set_byte('\\x00'::bytea, 0, {})",
        flags(dialect.now())
    );
    let sql = format!(
        "SELECT string_agg(entry, ''::bytea) FROM ( \
             SELECT {entry} AS entry FROM event WHERE provider_id = $1 LIMIT {AT_ONCE}) AS few"
    );
    let row = db
        .write
        .query_one_raw(dialect.statement(sql, vec![provider_id.into()]))
        .await?;
    let few: Option<Vec<u8>> = row.map_or(Ok(None), |row| row.try_get_by_index(0))?;
    let mut known = Known::default();
    let few = few.unwrap_or_default();
    if few.len() < AT_ONCE * ENTRY_BYTES {
        known.extend(few)?;
        return Ok(known);
    }
    drop(few);
    // One value for each first byte of an id. It holds no lock, so that nobody minds if it takes longer
    // than what a session's statements may.
    let tx = db.write.begin().await?;
    tx.execute_unprepared("SET LOCAL statement_timeout = '10min'")
        .await?;
    let sql = format!(
        "SELECT string_agg({entry}, ''::bytea) FROM event WHERE provider_id = $1 \
         GROUP BY get_byte(uuid_send(id), 0) ORDER BY get_byte(uuid_send(id), 0)"
    );
    let mut portions = tx
        .stream_raw(dialect.statement(sql, vec![provider_id.into()]))
        .await?;
    while let Some(row) = portions.try_next().await? {
        known.extend(row.try_get_by_index(0)?)?;
    }
    drop(portions);
    tx.rollback().await?;
    Ok(known)
}

impl Known {
    /// Takes entries in any order, all of them after those before.
    fn extend(&mut self, mut entries: Vec<u8>) -> Result<(), DbErr> {
        let (entries, rest) = entries.as_chunks_mut::<ENTRY_BYTES>();
        if !rest.is_empty() {
            return Err(wrong_length());
        }
        entries.sort_unstable();
        for entry in entries {
            let (id, rest) = entry.split_at(ID_BYTES);
            let id = Uuid::from_slice(id).map_err(|error| DbErr::Type(error.to_string()))?;
            self.push(id, digest(&rest[..DIGEST_BYTES])?, rest[DIGEST_BYTES]);
        }
        Ok(())
    }
}

async fn rows(db: &Database, provider_id: i64) -> Result<Known, DbErr> {
    let dialect = Dialect::Sqlite;
    let sql = format!(
        "SELECT id, digest, {} FROM event WHERE provider_id = $1 ORDER BY id",
        flags(dialect.now())
    );
    let mut rows = db
        .write
        .stream_raw(dialect.statement(sql, vec![provider_id.into()]))
        .await?;
    let mut known = Known::default();
    while let Some(row) = rows.try_next().await? {
        let stored: Vec<u8> = row.try_get_by_index(1)?;
        let flags: i64 = row.try_get_by_index(2)?;
        let flags = u8::try_from(flags).unwrap_or_default();
        known.push(row.try_get_by_index(0)?, digest(&stored)?, flags);
    }
    Ok(known)
}

fn digest(stored: &[u8]) -> Result<[u8; DIGEST_BYTES], DbErr> {
    stored.try_into().map_err(|_| wrong_length())
}

fn wrong_length() -> DbErr {
    DbErr::Type("an event's digest has the wrong length".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: u32) -> Vec<Event> {
        (0..count)
            .map(|number| Event {
                id: crate::event::id("p", "1", &number.to_string()),
                digest: [number as u8; DIGEST_BYTES],
                gone: number % 2 == 0,
                missing: number % 3 == 0,
                ended: number % 5 == 0,
            })
            .collect()
    }

    #[test]
    fn every_event_is_found_and_no_other() {
        for count in [0, 1, 2, 7, 8, 9, 63, 64, 65, 5_000] {
            let known = Known::new(events(count));
            assert_eq!(known.len(), count as usize);
            for event in events(count) {
                assert_eq!(known.get(event.id), Some(event));
            }
            for other in events(count + 50).drain(count as usize..) {
                assert_eq!(known.get(other.id), None);
            }
            assert!(known.iter().map(|event| event.id).is_sorted());
        }
    }

    #[test]
    fn ids_at_both_ends_are_found() {
        let ends = [Uuid::nil(), Uuid::max()];
        let event = |id| Event { id, ..events(1)[0] };
        for count in [0, 100] {
            let all = ends.map(event).into_iter().chain(events(count)).collect();
            let known = Known::new(all);
            for id in ends {
                assert_eq!(known.get(id).map(|event| event.id), Some(id));
            }
            let none = Known::new(events(count));
            assert!(ends.iter().all(|id| none.get(*id).is_none()));
        }
    }
}
