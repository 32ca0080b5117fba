//! What a feed changes about what is known: a comparison by identity and digest.

use entity::event::{self, Content};
use entity::known::Known;
use entity::provider::Hold;
use uuid::Uuid;

use super::spill::{Keep, Spill, Spilled};
use crate::spool::{SpoolError, Spools};

/// Takes a feed's events in batches and tells in the end what is new, changed, gone and returned.
/// Keeps a few bytes for each event; those that differ are spooled.
#[derive(Debug)]
pub(crate) struct Comparison {
    provider: String,
    known: Known,
    /// Of each known event.
    seen: Vec<Seen>,
    differing: Spill,
    /// How many of these were known.
    differing_known: u64,
    /// Known events that came again.
    doubled: u64,
}

/// What the feed has of a known event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Not,
    /// An item that could not be taken, but is there: what is stored of it stands.
    Present,
    Same,
    Different,
}

/// The result; each list in the order of ids.
#[derive(Debug)]
pub(crate) struct Compared {
    /// New events, and known ones with other content.
    pub(crate) differing: Spilled,
    /// Events that are new.
    pub(crate) new: u64,
    /// Known events that were there and have other content.
    pub(crate) changed: u64,
    /// Known events that had left the feed and are there again with other content.
    pub(crate) returned_changed: u64,
    /// Known events that had left the feed and are there as they were.
    pub(crate) returned: Vec<Uuid>,
    /// Known events that were held as missing and are there.
    pub(crate) found: Vec<Uuid>,
    /// Known events that are no longer there.
    pub(crate) gone: Vec<Uuid>,
    /// Known events that are no longer there and are held.
    pub(crate) held: Vec<Uuid>,
    /// Those of them that were not held yet.
    pub(crate) missing: Vec<Uuid>,
    /// Known events that are there as they were.
    pub(crate) unchanged: u64,
    /// Identities that came more than once; the last one counted.
    pub(crate) doubled: u64,
}

impl Comparison {
    /// Starts with what is known of a provider's events.
    pub(crate) fn new(provider: &str, known: Known, spools: &Spools) -> Self {
        Self {
            provider: provider.to_owned(),
            seen: vec![Seen::Not; known.len()],
            known,
            differing: Spill::new(spools),
            differing_known: 0,
            doubled: 0,
        }
    }

    /// Takes an event of the feed; the last one of an identity wins.
    pub(crate) fn take(&mut self, content: &Content) -> Result<(), SpoolError> {
        let id = event::id(&self.provider, &content.base_id, &content.event_id);
        let digest = content.digest();
        if let Some(position) = self.known.position(id) {
            let seen = &mut self.seen[position];
            self.doubled += u64::from(*seen >= Seen::Same);
            if self.known.at(position).digest == digest {
                *seen = Seen::Same;
                return Ok(());
            }
            *seen = Seen::Different;
            self.differing_known += 1;
        }
        self.differing.take(id, content, digest)
    }

    /// Takes the identity of an item that could not be taken.
    pub(crate) fn take_present(&mut self, base_id: &str, event_id: &str) {
        let id = event::id(&self.provider, base_id, event_id);
        if let Some(position) = self.known.position(id) {
            let seen = &mut self.seen[position];
            *seen = (*seen).max(Seen::Present);
        }
    }

    /// Tells the difference, once the whole feed has been taken. Without `hold`, whatever is not
    /// there is gone.
    pub(crate) fn finish(self, hold: Option<Hold>) -> Result<Compared, SpoolError> {
        let Self { known, seen, .. } = self;
        let new_taken = self.differing.len() as u64 - self.differing_known;
        let (mut new, mut changed, mut returned_changed) = (0, 0, 0);
        let differing = self.differing.finish(|id| {
            let Some(position) = known.position(id) else {
                new += 1;
                return Keep::New;
            };
            if seen[position] != Seen::Different {
                return Keep::No;
            }
            if known.at(position).gone {
                returned_changed += 1;
            } else {
                changed += 1;
            }
            Keep::Known
        })?;
        let holds = hold.is_some_and(|hold| Vanishing::of(&known, &seen).is_held(hold));
        let mut compared = Compared {
            differing,
            new,
            changed,
            returned_changed,
            returned: Vec::new(),
            found: Vec::new(),
            gone: Vec::new(),
            held: Vec::new(),
            missing: Vec::new(),
            unchanged: 0,
            doubled: self.doubled + new_taken - new,
        };
        for (event, seen) in known.iter().zip(&seen) {
            match seen {
                Seen::Not if event.gone => {}
                Seen::Not if holds => {
                    compared.held.push(event.id);
                    if !event.missing {
                        compared.missing.push(event.id);
                    }
                }
                Seen::Not => compared.gone.push(event.id),
                Seen::Same if event.gone => compared.returned.push(event.id),
                Seen::Same | Seen::Present if event.missing => {
                    compared.found.push(event.id);
                    compared.unchanged += u64::from(*seen == Seen::Same);
                }
                Seen::Same => compared.unchanged += 1,
                Seen::Present | Seen::Different => {}
            }
        }
        Ok(compared)
    }
}

/// How much of what was there is not there any more, among events that are not over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Vanishing {
    lacking: u64,
    known: u64,
}

impl Vanishing {
    fn of(known: &Known, seen: &[Seen]) -> Self {
        let mut vanishing = Self::default();
        for (event, seen) in known.iter().zip(seen) {
            if !event.gone && !event.ended {
                vanishing.known += 1;
                vanishing.lacking += u64::from(*seen == Seen::Not);
            }
        }
        vanishing
    }

    fn is_held(self, hold: Hold) -> bool {
        self.lacking > hold.events.into()
            && self.lacking * 100 > self.known * u64::from(hold.percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entity::commit::{Source, Upsert};
    use entity::event::SellMode;
    use entity::known::Event;
    use futures::TryStreamExt;

    use crate::spool::SpoolConfig;

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

    /// An event that is known with its id as its title.
    fn there(event_id: &str) -> Event {
        Event {
            id: id(event_id),
            digest: content(event_id, event_id).digest(),
            gone: false,
            missing: false,
            ended: false,
        }
    }

    fn left(event_id: &str) -> Event {
        Event {
            gone: true,
            ..there(event_id)
        }
    }

    fn missed(event_id: &str) -> Event {
        Event {
            missing: true,
            ..there(event_id)
        }
    }

    fn comparison(known: Vec<Event>) -> Comparison {
        let spools = Spools::open(SpoolConfig::default()).unwrap();
        Comparison::new("p", Known::new(known), &spools)
    }

    fn compare(known: Vec<Event>, feed: &[(&str, &str)], hold: Option<Hold>) -> Compared {
        let mut comparison = comparison(known);
        for (event_id, title) in feed {
            comparison.take(&content(event_id, title)).unwrap();
        }
        comparison.finish(hold).unwrap()
    }

    fn sorted(ids: &[&str]) -> Vec<Uuid> {
        let mut ids: Vec<Uuid> = ids.iter().map(|event_id| id(event_id)).collect();
        ids.sort_unstable();
        ids
    }

    async fn differing(compared: &Compared) -> Vec<Upsert> {
        let chunks: Vec<_> = compared.differing.chunks().try_collect().await.unwrap();
        chunks.concat()
    }

    #[tokio::test]
    async fn each_event_is_new_changed_unchanged_or_gone() {
        let known = vec![there("a"), there("b"), there("c")];
        let compared = compare(known, &[("a", "a"), ("b", "B!"), ("d", "d")], None);
        assert_eq!(
            (compared.new, compared.changed, compared.unchanged),
            (1, 1, 1)
        );
        assert_eq!(compared.gone, [id("c")]);
        let mut found: Vec<_> = differing(&compared)
            .await
            .into_iter()
            .map(|upsert| (upsert.content.title, upsert.known))
            .collect();
        found.sort();
        assert_eq!(found, [("B!".to_owned(), true), ("d".to_owned(), false)]);
    }

    #[test]
    fn an_event_that_went_before_does_not_go_again() {
        let compared = compare(vec![left("a")], &[], None);
        assert!(compared.gone.is_empty() && compared.differing.is_empty());
    }

    #[test]
    fn an_event_that_comes_back_returns_changed_or_not() {
        let compared = compare(vec![left("a"), left("b")], &[("a", "a"), ("b", "B!")], None);
        assert_eq!(compared.returned, [id("a")]);
        assert_eq!((compared.returned_changed, compared.changed), (1, 0));
    }

    #[tokio::test]
    async fn the_last_one_of_an_identity_wins_also_if_it_is_the_known_one() {
        let feed = [("a", "other"), ("a", "a"), ("b", "first"), ("b", "second")];
        let compared = compare(vec![there("a")], &feed, None);
        assert_eq!(
            (compared.doubled, compared.unchanged, compared.new),
            (2, 1, 1)
        );
        let differing = differing(&compared).await;
        assert_eq!(differing.len(), 1);
        assert_eq!(differing[0].content.title, "second");
    }

    #[tokio::test]
    async fn the_last_one_of_a_known_identity_wins_if_it_differs() {
        let feed = [("a", "a"), ("a", "first"), ("a", "second"), ("a", "third")];
        let compared = compare(vec![there("a")], &feed, None);
        assert_eq!(
            (compared.doubled, compared.changed, compared.new),
            (3, 1, 0)
        );
        assert_eq!(differing(&compared).await[0].content.title, "third");
    }

    #[test]
    fn an_item_set_aside_counts_as_present() {
        let mut comparison = comparison(vec![there("a"), missed("b"), left("c")]);
        for event_id in ["a", "b", "c", "unknown"] {
            comparison.take_present("1", event_id);
        }
        let compared = comparison.finish(None).unwrap();
        assert!(compared.gone.is_empty() && compared.differing.is_empty());
        assert!(compared.returned.is_empty());
        assert_eq!(compared.found, [id("b")]);
    }

    const HOLD: Hold = Hold {
        percent: 50,
        events: 2,
    };

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("e{number}")).collect()
    }

    #[test]
    fn only_more_than_both_thresholds_of_what_is_not_over_is_held() {
        // Known, of these over, lacking from the end, and whether that is held.
        for (known, ended, lacking, held) in [
            (10, 0, 6, true),
            (10, 0, 5, false),
            (10, 0, 10, true),
            (3, 0, 2, false),
            (3, 0, 3, true),
            (10, 10, 10, false),
            // Of the three that are not over, all are lacking.
            (10, 7, 3, true),
            (10, 6, 3, true),
            (10, 4, 3, false),
            (0, 0, 0, false),
        ] {
            let names = names(known);
            let events = names
                .iter()
                .enumerate()
                .map(|(index, name)| Event {
                    ended: index < ended,
                    ..there(name)
                })
                .collect();
            let feed: Vec<_> = names[..known - lacking]
                .iter()
                .map(|name| (name.as_str(), name.as_str()))
                .collect();
            let compared = compare(events, &feed, Some(HOLD));
            let case = (known, ended, lacking);
            assert_eq!(!compared.held.is_empty(), held, "{case:?}");
            assert_eq!(compared.held, compared.missing, "{case:?}");
            assert_eq!(
                (compared.missing.len(), compared.gone.len()),
                if held { (lacking, 0) } else { (0, lacking) },
                "{case:?}"
            );
        }
    }

    #[test]
    fn a_threshold_of_all_never_holds_and_a_leave_neither() {
        let never = Hold {
            percent: 100,
            events: 0,
        };
        for hold in [Some(never), None] {
            let compared = compare(vec![there("a"), missed("b")], &[], hold);
            assert!(compared.held.is_empty());
            assert_eq!(compared.gone, sorted(&["a", "b"]));
        }
    }

    #[test]
    fn what_is_held_is_marked_once_and_found_again() {
        let known = || vec![missed("a"), missed("b"), missed("c"), there("d")];
        let still = compare(known(), &[], Some(HOLD));
        assert_eq!((still.held.len(), still.missing), (4, vec![id("d")]));
        let feed = [("a", "a"), ("b", "B!"), ("d", "d")];
        let back = compare(known(), &feed, Some(HOLD));
        assert_eq!(back.found, [id("a")]);
        assert_eq!((back.changed, back.unchanged), (1, 2));
        // Most are back: what is still not there has gone.
        assert_eq!((back.held, back.gone), (vec![], vec![id("c")]));
    }
}
