//! Which state of the events this process answers from, and how sure it is of it.

use std::collections::VecDeque;
use std::time::Duration;

use entity::dataset::{State, Version};
use tokio::time::Instant;
use uuid::Uuid;

/// What requests that come now are answered from. Replaced as a whole whenever something in it
/// changes.
#[derive(Clone)]
pub(crate) struct Standing {
    /// No answer to a request that comes now is older.
    pub(crate) version: Version,
    /// Signs cursors; the same for all processes on one database.
    pub(crate) secret: [u8; 32],
    /// Where it was read.
    pub(crate) source: Source,
    /// Since when the database could not be asked whether there is a newer one.
    pub(crate) down_since: Option<Instant>,
}

impl Standing {
    /// For how long it has been unknown whether there is a newer version, where it is.
    pub(crate) fn stale_for(&self) -> Option<Duration> {
        self.down_since.map(|since| since.elapsed())
    }

    /// Whether an answer of `version` may be given to a request that came under this standing.
    pub(crate) fn accepts(&self, version: Version) -> bool {
        version.epoch == self.version.epoch && version.number >= self.version.number
    }
}

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standing")
            .field("version", &self.version)
            .field("source", &self.source)
            .field("down_since", &self.down_since)
            .finish_non_exhaustive()
    }
}

/// Which of the two databases is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The one that was set up for reading, a replica if there is one.
    Read,
    /// The one that is written, for the replica lags or is gone.
    Primary,
}

/// What one look at the databases found. `None` where one did not answer.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    /// What was set up for reading.
    pub(crate) read: Option<State>,
    /// The primary, where that is another one.
    pub(crate) primary: Option<State>,
    /// Whether there are two.
    pub(crate) replica: bool,
}

/// How far a replica may be behind, and since when it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lag {
    /// What the primary had when the replica was last found behind, and when that was.
    behind: Option<(Version, Instant)>,
    /// Epochs that have ended, the last ones of them.
    left: VecDeque<Uuid>,
    /// When the last look began.
    pub(crate) looked_at: Option<Instant>,
    /// Whether it was said that there is nothing to answer from yet.
    pub(crate) said_unseen: bool,
}

/// More than a replica could still show.
const MOST_LEFT: usize = 16;

impl Lag {
    /// Notes that an epoch has ended.
    pub(crate) fn leave(&mut self, epoch: Uuid) {
        if self.left.len() == MOST_LEFT {
            self.left.pop_front();
        }
        self.left.push_back(epoch);
    }

    /// Since when there has been a newer version than `adopted`, if one is known.
    pub(crate) fn newer_since(&self, adopted: Version) -> Option<Instant> {
        let (newer, since) = self.behind?;
        let has = adopted.epoch == newer.epoch && adopted.number >= newer.number;
        (!has).then_some(since)
    }

    /// Notes what was seen, and tells whether the replica has lacked some version for longer than
    /// `most`.
    fn note(&mut self, sight: &Sight, now: Instant, most: Duration) -> bool {
        let (Some(replica), Some(primary)) = (&sight.read, &sight.primary) else {
            return false;
        };
        let has = |version: Version| {
            replica.version.epoch == version.epoch && replica.version.number >= version.number
        };
        if self.behind.is_some_and(|(wanted, _)| has(wanted)) {
            self.behind = None;
        }
        if self.behind.is_none() && !has(primary.version) {
            self.behind = Some((primary.version, now));
        }
        self.behind
            .is_some_and(|(_, since)| now.duration_since(since) > most)
    }
}

/// What a look leads to.
#[derive(Debug)]
pub(crate) enum Decision {
    /// This state, read there.
    Adopt(State, Source),
    /// Nothing that could be adopted answers.
    Down,
    /// The database has gone back within one epoch: something was restored without a new one.
    WentBack(Version),
}

/// Decides what to answer from. A replica is preferred for as long as it answers, does not lag, and
/// has what was adopted already.
pub(crate) fn decide(
    present: Option<Version>,
    sight: Sight,
    lag: &mut Lag,
    now: Instant,
    most_lag: Duration,
) -> Decision {
    let lags = lag.note(&sight, now, most_lag);
    let falls_short = |state: &State| {
        present.is_some_and(|present| {
            state.version.epoch == present.epoch && state.version.number < present.number
        })
    };
    // A replica that has not heard of the present epoch is behind, not ahead.
    let other_history = |state: &State| {
        present.is_some_and(|present| state.version.epoch != present.epoch)
            && sight
                .primary
                .as_ref()
                .is_some_and(|primary| primary.version.epoch != state.version.epoch)
    };
    // And one that shows an epoch which has ended has not heard of its end yet.
    let was_left = |state: &State| sight.replica && lag.left.contains(&state.version.epoch);
    match (sight.read, sight.primary) {
        (Some(read), _)
            if !lags && !falls_short(&read) && !other_history(&read) && !was_left(&read) =>
        {
            Decision::Adopt(read, Source::Read)
        }
        (_, Some(primary)) if !falls_short(&primary) => Decision::Adopt(primary, Source::Primary),
        (_, Some(behind)) => Decision::WentBack(behind.version),
        (Some(behind), None) if !sight.replica => Decision::WentBack(behind.version),
        // The primary is gone, and the replica lacks something that was there.
        (_, None) => Decision::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(5);

    fn version(epoch: u128, number: i64) -> Version {
        Version {
            epoch: Uuid::from_u128(epoch),
            number,
        }
    }

    fn state(epoch: u128, number: i64) -> Option<State> {
        Some(State {
            version: version(epoch, number),
            secret: [0; 32],
        })
    }

    fn alone(read: Option<State>, present: Option<Version>) -> Decision {
        let sight = Sight {
            read,
            primary: None,
            replica: false,
        };
        decide(present, sight, &mut Lag::default(), Instant::now(), MOST)
    }

    #[tokio::test]
    async fn a_newer_version_and_another_epoch_are_adopted() {
        let present = Some(version(1, 5));
        for newer in [state(1, 5), state(1, 6), state(2, 0)] {
            let expected = newer.unwrap().version;
            let Decision::Adopt(adopted, Source::Read) = alone(newer, present) else {
                panic!("{expected:?} is not adopted");
            };
            assert_eq!(adopted.version, expected);
        }
    }

    #[tokio::test]
    async fn a_database_that_is_gone_or_went_back_is_not_followed() {
        assert!(matches!(alone(None, None), Decision::Down));
        let present = Some(version(1, 5));
        assert!(matches!(alone(None, present), Decision::Down));
        assert!(matches!(alone(state(1, 4), present), Decision::WentBack(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_is_read_until_it_lacks_something_for_too_long() {
        let mut lag = Lag::default();
        let mut look = |replica, primary, present| {
            let sight = Sight {
                read: replica,
                primary,
                replica: true,
            };
            match decide(present, sight, &mut lag, Instant::now(), MOST) {
                Decision::Adopt(state, source) => (state.version.number, source),
                other => panic!("{other:?}"),
            }
        };
        let present = Some(version(1, 5));
        // Always a little behind, but never for long.
        for number in 6..20 {
            let seen = look(state(1, number - 1), state(1, number), present);
            assert_eq!(seen, (number - 1, Source::Read));
            tokio::time::advance(MOST / 2).await;
        }
        // Stuck.
        assert_eq!(look(state(1, 19), state(1, 20), present).1, Source::Read);
        tokio::time::advance(MOST * 2).await;
        assert_eq!(
            look(state(1, 19), state(1, 22), present),
            (22, Source::Primary)
        );
        // It moves again, but has not reached what was adopted meanwhile.
        let present = Some(version(1, 22));
        assert_eq!(
            look(state(1, 21), state(1, 22), present),
            (22, Source::Primary)
        );
        assert_eq!(
            look(state(1, 22), state(1, 22), present),
            (22, Source::Read)
        );
    }

    #[tokio::test]
    async fn the_primary_stands_in_for_a_replica_that_is_gone_or_behind_in_epochs() {
        let look = |replica, primary| {
            let sight = Sight {
                read: replica,
                primary,
                replica: true,
            };
            let present = Some(version(2, 9));
            decide(present, sight, &mut Lag::default(), Instant::now(), MOST)
        };
        for replica in [None, state(1, 12)] {
            assert!(matches!(
                look(replica, state(2, 9)),
                Decision::Adopt(_, Source::Primary)
            ));
        }
        // Nothing can be committed meanwhile, so what the replica has is all there is to know.
        assert!(matches!(
            look(state(2, 9), None),
            Decision::Adopt(_, Source::Read)
        ));
        assert!(matches!(look(None, None), Decision::Down));
        assert!(matches!(look(state(2, 8), None), Decision::Down));
    }

    #[tokio::test]
    async fn an_epoch_that_has_ended_is_not_taken_up_again_from_a_replica() {
        let mut lag = Lag::default();
        lag.leave(Uuid::from_u128(1));
        let mut look = |replica, primary| {
            let sight = Sight {
                read: replica,
                primary,
                replica: true,
            };
            let present = Some(version(2, 9));
            decide(present, sight, &mut lag, Instant::now(), MOST)
        };
        assert!(matches!(look(state(1, 12), None), Decision::Down));
        let primary = look(state(1, 12), state(2, 9));
        assert!(matches!(primary, Decision::Adopt(_, Source::Primary)));
        let replica = look(state(2, 9), None);
        assert!(matches!(replica, Decision::Adopt(_, Source::Read)));
    }

    #[tokio::test]
    async fn a_standing_accepts_what_is_as_new_and_of_the_same_history() {
        let standing = Standing {
            version: version(1, 5),
            secret: [7; 32],
            source: Source::Read,
            down_since: None,
        };
        assert!(standing.accepts(version(1, 5)));
        assert!(standing.accepts(version(1, 6)));
        assert!(!standing.accepts(version(1, 4)));
        assert!(!standing.accepts(version(2, 6)));
        assert!(!format!("{standing:?}").contains("7, 7"));
    }
}
