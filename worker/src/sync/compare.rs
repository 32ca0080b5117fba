//! What a feed changes about what is known: a pure comparison by identity and digest.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use entity::event::{self, Content, DIGEST_BYTES};
use entity::known::Known;
use uuid::Uuid;

/// Takes a feed's events in batches and tells in the end what is new, changed, gone and returned.
#[derive(Debug)]
pub struct Comparison {
    provider: String,
    known: HashMap<Uuid, Known>,
    found: HashMap<Uuid, Verdict>,
    /// Items that could not be taken but are there: what is stored of them stands.
    present: HashSet<Uuid>,
    doubled: u64,
}

#[derive(Debug)]
enum Verdict {
    Same,
    Different(Box<Content>, [u8; DIGEST_BYTES]),
}

/// An event that is new or not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Different {
    /// Which.
    pub id: Uuid,
    /// What the feed says now.
    pub content: Content,
    /// Of the content.
    pub digest: [u8; DIGEST_BYTES],
    /// What is stored of it, if anything.
    pub known: Option<Known>,
}

/// The result; each list in the order of ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// New events, and known ones with other content.
    pub different: Vec<Different>,
    /// Known events that had left the feed, or were missing from it, and are there as they were.
    pub returned: Vec<Uuid>,
    /// Known events that are no longer there.
    pub gone: Vec<Uuid>,
    /// Known events that are there as they were.
    pub unchanged: u64,
    /// Identities that came more than once; the last one counted.
    pub doubled: u64,
}

impl Comparison {
    /// Starts with what is known of a provider's events.
    pub fn new(provider: &str, known: HashMap<Uuid, Known>) -> Self {
        Self {
            provider: provider.to_owned(),
            found: HashMap::with_capacity(known.len()),
            known,
            present: HashSet::new(),
            doubled: 0,
        }
    }

    /// Takes an event of the feed; the last one of an identity wins.
    pub fn take(&mut self, content: Content) {
        let id = event::id(&self.provider, &content.base_id, &content.event_id);
        let digest = content.digest();
        let same = self
            .known
            .get(&id)
            .is_some_and(|known| known.digest == digest);
        let verdict = if same {
            Verdict::Same
        } else {
            Verdict::Different(Box::new(content), digest)
        };
        match self.found.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(verdict);
            }
            Entry::Occupied(mut entry) => {
                self.doubled += 1;
                entry.insert(verdict);
            }
        }
    }

    /// Takes the identity of an item that could not be taken.
    pub fn take_present(&mut self, base_id: &str, event_id: &str) {
        self.present
            .insert(event::id(&self.provider, base_id, event_id));
    }

    /// Tells the difference, once the whole feed has been taken.
    pub fn finish(self) -> Compared {
        let mut compared = Compared {
            doubled: self.doubled,
            ..Compared::default()
        };
        for (id, known) in &self.known {
            let there = self.found.contains_key(id) || self.present.contains(id);
            if !there && !known.gone {
                compared.gone.push(*id);
            }
        }
        for (id, verdict) in self.found {
            let known = self.known.get(&id).copied();
            match (verdict, known) {
                (Verdict::Same, Some(known)) if known.gone || known.missing => {
                    compared.returned.push(id);
                }
                (Verdict::Same, _) => compared.unchanged += 1,
                (Verdict::Different(content, digest), known) => {
                    compared.different.push(Different {
                        id,
                        content: *content,
                        digest,
                        known,
                    });
                }
            }
        }
        compared.gone.sort_unstable();
        compared.returned.sort_unstable();
        compared.different.sort_unstable_by_key(|event| event.id);
        compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entity::event::SellMode;

    fn content(event_id: &str, title: &str) -> Content {
        Content {
            base_id: "1".into(),
            event_id: event_id.into(),
            title: title.into(),
            starts_at: "2026-01-01T20:00:00Z".parse().unwrap(),
            ends_at: None,
            starts_local: "2026-01-01T21:00:00".parse().unwrap(),
            ends_local: None,
            sell_from: None,
            sell_to: None,
            sold_out: false,
            sell_mode: SellMode::Online,
            organizer_company_id: None,
            min_price: None,
            max_price: None,
            zones: Vec::new(),
        }
    }

    fn id(event_id: &str) -> Uuid {
        event::id("p", "1", event_id)
    }

    fn known(events: &[(&str, &str, bool)]) -> HashMap<Uuid, Known> {
        let known = |title: &str, id: &str, gone| Known {
            digest: content(id, title).digest(),
            gone,
            missing: false,
        };
        events
            .iter()
            .map(|(event, title, gone)| (id(event), known(title, event, *gone)))
            .collect()
    }

    #[test]
    fn new_changed_gone_and_unchanged_are_told_apart() {
        let known = known(&[("a", "A", false), ("b", "B", false), ("c", "C", false)]);
        let mut comparison = Comparison::new("p", known);
        comparison.take(content("a", "A"));
        comparison.take(content("b", "B!"));
        comparison.take(content("d", "D"));
        let compared = comparison.finish();
        assert_eq!(compared.unchanged, 1);
        assert_eq!(compared.gone, [id("c")]);
        let different: HashSet<_> = compared
            .different
            .iter()
            .map(|event| (event.id, event.known.is_some()))
            .collect();
        assert_eq!(
            different,
            HashSet::from([(id("b"), true), (id("d"), false)])
        );
    }

    #[test]
    fn an_event_that_went_before_does_not_go_again() {
        let comparison = Comparison::new("p", known(&[("a", "A", true)]));
        assert_eq!(comparison.finish(), Compared::default());
    }

    #[test]
    fn an_event_that_comes_back_returns_changed_or_not() {
        let known = known(&[("a", "A", true), ("b", "B", true)]);
        let mut comparison = Comparison::new("p", known);
        comparison.take(content("a", "A"));
        comparison.take(content("b", "B!"));
        let compared = comparison.finish();
        assert_eq!(compared.returned, [id("a")]);
        assert!(compared.different[0].known.is_some_and(|known| known.gone));
    }

    #[test]
    fn the_last_one_of_an_identity_wins_also_if_it_is_the_known_one() {
        let mut comparison = Comparison::new("p", known(&[("a", "A", false)]));
        comparison.take(content("a", "other"));
        comparison.take(content("a", "A"));
        comparison.take(content("b", "first"));
        comparison.take(content("b", "second"));
        let compared = comparison.finish();
        assert_eq!(compared.doubled, 2);
        assert_eq!(compared.unchanged, 1);
        assert_eq!(compared.different.len(), 1);
        assert_eq!(compared.different[0].content.title, "second");
    }

    #[test]
    fn an_item_set_aside_counts_as_present() {
        let mut comparison = Comparison::new("p", known(&[("a", "A", false)]));
        comparison.take_present("1", "a");
        let compared = comparison.finish();
        assert!(compared.gone.is_empty());
        assert!(compared.different.is_empty());
    }
}
