//! The answers that this process keeps, bounded by their bytes.
//!
//! One entry a question and content coding: a newer version replaces the older one. What an entry may
//! be used for, its version decides and not its being here. What is asked for rarely makes room first,
//! and a scan of many questions does not drive out those that come again and again (S3-FIFO).

use std::sync::Arc;

use entity::dataset::Version;
use quick_cache::sync::Cache as Quick;
use quick_cache::{Equivalent, OptionsBuilder, Weighter};
use uuid::Uuid;

use crate::encoding::Encoding;
use crate::entry::Entry;
use crate::question::Question;

/// A question that was asked, with its canonical form.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) question: Question,
    pub(crate) canonical: String,
}

impl Asked {
    pub(crate) fn new(question: Question) -> Self {
        Self {
            canonical: question.canonical(),
            question,
        }
    }

    fn bytes(&self) -> usize {
        2 * self.canonical.len() + size_of::<Self>()
    }
}

/// What a request's address meant, in the epoch in which it was read: a cursor ends with its epoch.
#[derive(Debug, Clone)]
struct Meaning {
    epoch: Uuid,
    asked: Arc<Asked>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    canonical: Box<str>,
    encoding: Encoding,
}

#[derive(Hash)]
struct KeyRef<'a> {
    canonical: &'a str,
    encoding: Encoding,
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.canonical == *key.canonical && self.encoding == key.encoding
    }
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Key, Arc<Entry>> for ByBytes {
    fn weight(&self, key: &Key, entry: &Arc<Entry>) -> u64 {
        (key.canonical.len() + size_of::<Key>() + entry.bytes()) as u64
    }
}

impl Weighter<Box<str>, Meaning> for ByBytes {
    fn weight(&self, address: &Box<str>, meaning: &Meaning) -> u64 {
        // Most questions are asked in one spelling only.
        (address.len() + size_of::<Meaning>() + meaning.asked.bytes()) as u64
    }
}

/// The answers of this process, and what addresses mean.
#[derive(Debug)]
pub(crate) struct Cache {
    entries: Quick<Key, Arc<Entry>, ByBytes>,
    meanings: Quick<Box<str>, Meaning, ByBytes>,
}

impl Cache {
    /// One that takes `bytes` at most, an eighth of them for addresses.
    pub(crate) fn new(bytes: u64) -> Self {
        let meanings = bytes / 8;
        let entries = bytes - meanings;
        Self {
            entries: of_bytes(entries, 8 * 1024),
            meanings: of_bytes(meanings, 512),
        }
    }

    /// What was asked by this very address before, in this epoch.
    pub(crate) fn meaning(&self, address: &str, epoch: Uuid) -> Option<Arc<Asked>> {
        self.meanings
            .get(address)
            .filter(|meaning| meaning.epoch == epoch)
            .map(|meaning| meaning.asked)
    }

    /// Notes what an address means in an epoch.
    pub(crate) fn note(&self, address: &str, epoch: Uuid, asked: &Arc<Asked>) {
        let meaning = Meaning {
            epoch,
            asked: Arc::clone(asked),
        };
        self.meanings.insert(address.into(), meaning);
    }

    /// The newest known answer, whatever its version.
    pub(crate) fn get(&self, canonical: &str, encoding: Encoding) -> Option<Arc<Entry>> {
        self.entries.get(&KeyRef {
            canonical,
            encoding,
        })
    }

    /// Keeps an answer, unless a newer one of `present`'s history is here already. One of another
    /// history is not kept.
    pub(crate) fn insert(
        &self,
        canonical: &str,
        encoding: Encoding,
        entry: &Arc<Entry>,
        present: Version,
    ) {
        if entry.version.epoch != present.epoch {
            return;
        }
        let older = self.get(canonical, encoding);
        if older.is_some_and(|older| {
            older.version.epoch == present.epoch && older.version.number > entry.version.number
        }) {
            return;
        }
        let key = Key {
            canonical: canonical.into(),
            encoding,
        };
        self.entries.insert(key, Arc::clone(entry));
    }

    /// Drops everything.
    pub(crate) fn clear(&self) {
        self.entries.clear();
        self.meanings.clear();
    }

    /// Bytes in use, as they are counted here.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.weight() + self.meanings.weight()
    }

    /// Answers that are here.
    pub(crate) fn entries(&self) -> u64 {
        self.entries.len() as u64
    }
}

/// Few shards, so that one entry may take a good part of the whole.
const SHARDS: usize = 4;

fn of_bytes<K, V>(bytes: u64, usual: u64) -> Quick<K, V, ByBytes>
where
    K: Eq + std::hash::Hash,
    V: Clone,
    ByBytes: Weighter<K, V> + Clone,
{
    let items = usize::try_from(bytes / usual).unwrap_or(usize::MAX).max(16);
    let options = OptionsBuilder::new()
        .estimated_items_capacity(items)
        .weight_capacity(bytes)
        .shards(SHARDS)
        .build()
        .expect("both capacities are given");
    Quick::with_options(
        options,
        ByBytes,
        quick_cache::DefaultHashBuilder::default(),
        quick_cache::sync::DefaultLifecycle::default(),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;
    use crate::cache_control::{CacheControl, ForCaches};
    use crate::cors::Cors;
    use crate::entry::Reply;

    const EPOCH: Uuid = Uuid::from_u128(1);

    fn version(number: i64) -> Version {
        Version {
            epoch: EPOCH,
            number,
        }
    }

    fn asked(id: u128) -> Arc<Asked> {
        Arc::new(Asked::new(Question::Event(Uuid::from_u128(id))))
    }

    fn entry(asked: &Asked, version: Version, bytes: usize) -> Arc<Entry> {
        let reply = Reply {
            version,
            status: StatusCode::OK,
            link: None,
            body: vec![b'x'; bytes].into(),
        };
        Arc::new(Entry::new(
            &asked.question,
            &asked.canonical,
            &reply,
            Encoding::Identity,
            None,
            &ForCaches::new(&CacheControl::default(), &Cors::Off),
        ))
    }

    fn insert(cache: &Cache, id: u128, number: i64, bytes: usize) {
        let asked = asked(id);
        let entry = entry(&asked, version(number), bytes);
        cache.insert(
            &asked.canonical,
            Encoding::Identity,
            &entry,
            version(number),
        );
    }

    fn number(cache: &Cache, id: u128) -> Option<i64> {
        let entry = cache.get(&asked(id).canonical, Encoding::Identity);
        entry.map(|entry| entry.version.number)
    }

    #[test]
    fn an_answer_gives_way_to_a_newer_one_only() {
        let cache = Cache::new(1 << 20);
        insert(&cache, 1, 5, 10);
        insert(&cache, 1, 4, 10);
        assert_eq!(number(&cache, 1), Some(5));
        insert(&cache, 1, 6, 10);
        assert_eq!(number(&cache, 1), Some(6));
        assert_eq!(number(&cache, 2), None);
        assert!(cache.get(&asked(1).canonical, Encoding::Br).is_none());
    }

    #[test]
    fn an_answer_of_another_history_is_not_kept() {
        let cache = Cache::new(1 << 20);
        let asked = asked(1);
        let other = Version {
            epoch: Uuid::from_u128(2),
            number: 9,
        };
        let entry = entry(&asked, other, 10);
        cache.insert(&asked.canonical, Encoding::Identity, &entry, version(1));
        assert_eq!(number(&cache, 1), None);
    }

    #[test]
    fn an_address_means_nothing_in_another_epoch() {
        let cache = Cache::new(1 << 20);
        cache.note("/v1/events/1", EPOCH, &asked(1));
        assert!(cache.meaning("/v1/events/1", EPOCH).is_some());
        assert!(cache.meaning("/v1/events/1", Uuid::nil()).is_none());
        assert!(cache.meaning("/v1/events/2", EPOCH).is_none());
    }

    #[test]
    fn a_scan_neither_grows_it_nor_drives_out_what_is_asked_for_all_along() {
        const BYTES: u64 = 4 << 20;
        let cache = Cache::new(BYTES);
        let popular = 0..20;
        for id in popular.clone() {
            insert(&cache, id, 1, 1_000);
        }
        for scanned in 1_000..101_000 {
            insert(&cache, scanned, 1, 1_000);
            cache.note(&format!("/v1/events/{scanned}"), EPOCH, &asked(scanned));
            if scanned % 50 == 0 {
                for id in popular.clone() {
                    cache.get(&asked(id).canonical, Encoding::Identity);
                }
            }
            assert!(cache.bytes() <= BYTES);
        }
        assert!(cache.bytes() > BYTES / 2, "room is used");
        let kept = popular.filter(|id| number(&cache, *id).is_some()).count();
        assert!(kept >= 18, "{kept} of 20 are left");
    }

    #[test]
    fn the_largest_answer_that_is_kept_finds_room() {
        let cache = Cache::new(64 << 20);
        for id in 0..100 {
            insert(&cache, id, 1, 1_000);
        }
        insert(&cache, 1_000, 1, 2 << 20);
        assert_eq!(number(&cache, 1_000), Some(1));
    }

    #[test]
    fn what_is_kept_is_shared_and_not_copied() {
        let cache = Cache::new(1 << 20);
        insert(&cache, 1, 1, 1_000);
        let first = cache.get(&asked(1).canonical, Encoding::Identity).unwrap();
        let again = cache.get(&asked(1).canonical, Encoding::Identity).unwrap();
        assert_eq!(first.body.as_ptr(), again.body.as_ptr());
    }
}
