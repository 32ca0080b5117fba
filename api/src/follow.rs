//! Follows the dataset's version: PostgreSQL says when there is a new one, and where it can't, or in
//! case it did not come through, one look every quarter of a second finds it.

use std::sync::Arc;
use std::time::Duration;

use entity::dataset::{self, State};
use sea_orm::DatabaseConnection;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use crate::standing::{Decision, Lag, Sight, Source, Standing, decide};
use crate::{Context, Error};

/// Least time between two adoptions, and most time between two looks.
const PERIOD: Duration = Duration::from_millis(250);

/// Longest wait for one database during a look. Past it, it counts as gone until it answers again.
const LOOK: Duration = Duration::from_millis(1_000);

/// Wait before listening is tried again, doubled up to the second.
const LISTEN_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl Context {
    /// Follows the dataset until its future is dropped.
    pub(crate) async fn follow(&self) {
        let told = Notify::new();
        tokio::select! {
            () = self.look_again_and_again(&told) => {}
            () = self.listen(&told) => {}
        }
    }

    async fn look_again_and_again(&self, told: &Notify) {
        let mut adopted_at: Option<Instant> = None;
        loop {
            if let Some(at) = adopted_at {
                sleep_until(at + PERIOD).await;
            }
            if self.look().await {
                adopted_at = Some(Instant::now());
                continue;
            }
            tokio::select! {
                () = sleep_until(Instant::now() + PERIOD) => {}
                () = told.notified() => {}
                () = self.poked() => {}
            }
        }
    }

    /// Passes on what the database says. Never ends: where it says nothing, it waits for ever.
    async fn listen(&self, told: &Notify) {
        let (mut wait, longest) = LISTEN_AGAIN;
        loop {
            match dataset::listen(self.db()).await {
                Ok(None) => return std::future::pending().await,
                Ok(Some(mut listener)) => {
                    wait = LISTEN_AGAIN.0;
                    while listener.changed().await.is_ok() {
                        told.notify_one();
                    }
                }
                Err(error) => tracing::debug!(%error, "can't listen for new versions"),
            }
            tokio::time::sleep(wait).await;
            wait = longest.min(wait * 2);
        }
    }

    /// Looks for a newer version now, and tells whether one was adopted. [`crate::run`] does so by
    /// itself all along.
    pub async fn look(&self) -> bool {
        let mut lag = self.looking().lock().await;
        self.look_with(&mut lag).await
    }

    async fn look_with(&self, lag: &mut Lag) -> bool {
        lag.looked_at = Some(Instant::now());
        let present = self.present();
        let sight = self.sight(present.as_deref()).await;
        let before = present.as_ref().map(|standing| standing.version);
        let most_lag = self.config().replica_lag;
        match decide(before, sight, lag, Instant::now(), most_lag) {
            Decision::Adopt(state, source) => {
                self.note_newer(lag.newer_since(state.version));
                let ended = before.filter(|before| before.epoch != state.version.epoch);
                if let Some(ended) = ended {
                    lag.leave(ended.epoch);
                }
                self.adopt(present.as_deref(), state, source)
            }
            Decision::Down => {
                if present.is_none() && !std::mem::replace(&mut lag.said_unseen, true) {
                    tracing::warn!(
                        "the database's state can't be read: requests are refused until it can"
                    );
                }
                self.mark_down(present.as_deref(), || {
                    tracing::warn!(
                        "the database can't be reached: what is cached is served on, marked as stale"
                    );
                });
                false
            }
            Decision::WentBack(version) => {
                self.mark_down(present.as_deref(), || {
                    tracing::error!(
                        seen = version.number,
                        served = before.map(|version| version.number),
                        "the database has an older version of the events than it had: answers that \
                         are not cached are refused; if a backup was restored or a replica \
                         promoted, give it a new epoch"
                    );
                });
                false
            }
        }
    }

    async fn sight(&self, present: Option<&Standing>) -> Sight {
        let watch = self.db().watch();
        let replica = self.db().has_replica();
        // One that is not read from is not waited for either.
        let patience = match present {
            Some(present) if present.source == Source::Primary => PERIOD * 4 / 5,
            _ => LOOK,
        };
        let (read, primary) = tokio::join!(state_of(&watch.read, patience), async {
            if replica {
                state_of(&watch.write, LOOK).await
            } else {
                None
            }
        });
        Sight {
            read,
            primary,
            replica,
        }
    }

    fn adopt(&self, present: Option<&Standing>, state: State, source: Source) -> bool {
        let version = state.version;
        let news = present.is_none_or(|present| present.version != version);
        if let Some(present) = present {
            if present.version.epoch != version.epoch {
                tracing::info!(epoch = %version.epoch, "the events have a new epoch");
                self.cache().clear();
            }
            if present.source != source {
                tracing::info!(?source, "events are read from another database");
            }
            if present.down_since.is_some() {
                tracing::info!("the database can be reached again");
            }
            if !news && present.source == source && present.down_since.is_none() {
                return false;
            }
        }
        self.replace(Standing {
            version,
            secret: state.secret,
            source,
            down_since: None,
        });
        news
    }

    /// Notes since when nothing is known, and says so once.
    fn mark_down(&self, present: Option<&Standing>, say: impl FnOnce()) {
        let Some(present) = present else {
            return;
        };
        if present.down_since.is_none() {
            say();
            self.replace(Standing {
                down_since: Some(Instant::now()),
                ..present.clone()
            });
        }
    }

    /// What requests that come now are answered from. The first one may have to wait for a look.
    ///
    /// # Errors
    /// [`Error::NeverSeen`] if the database has not answered yet since the process began.
    pub(crate) async fn standing(&self) -> Result<Arc<Standing>, Error> {
        if let Some(standing) = self.present() {
            return Ok(standing);
        }
        self.look_since(Instant::now()).await;
        self.present().ok_or(Error::NeverSeen)
    }

    /// Waits for a look that began at `asked` or later: those who wait together need one only.
    async fn look_since(&self, asked: Instant) {
        let mut lag = self.looking().lock().await;
        if lag.looked_at.is_none_or(|at| at < asked) {
            self.look_with(&mut lag).await;
        }
    }

    /// What is present once `epoch`, which someone spoke of, is known to be the present one or not:
    /// another process may have heard of a new epoch sooner.
    pub(crate) async fn standing_in(&self, epoch: Uuid) -> Result<Arc<Standing>, Error> {
        let standing = self.standing().await?;
        if standing.version.epoch == epoch {
            return Ok(standing);
        }
        self.look_since(Instant::now()).await;
        self.present().ok_or(Error::NeverSeen)
    }
}

async fn state_of(db: &DatabaseConnection, patience: Duration) -> Option<State> {
    match timeout(patience, dataset::state(db)).await {
        Ok(Ok(state)) => Some(state),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a look for the version failed");
            None
        }
        Err(_) => {
            tracing::debug!(?patience, "a look for the version was not answered in time");
            None
        }
    }
}
