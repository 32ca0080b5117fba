//! What is going to be recorded of a run.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::commit::{Counts, Durations, Finish, Remember};
use entity::provider;
use entity::run::Outcome;

use super::SyncError;
use super::read::{Read, ReadError};
use crate::fetch::{FetchError, Fetched};
use crate::visit::{self, Ended};

/// Filled step by step; at first, of a run that finds its feed unchanged.
#[derive(Clone)]
pub(super) struct Report {
    pub(super) outcome: Outcome,
    pub(super) remember: Remember,
    pub(super) bytes: Option<u64>,
    pub(super) durations: Durations,
    ended: Ended,
    error: Option<String>,
    http_status: Option<u16>,
    wire_bytes: Option<u64>,
    counts: Counts,
    moved_to: Option<String>,
    revision: i64,
    crashed: bool,
}

impl Report {
    pub(super) fn new(provider: &provider::Model) -> Self {
        Self {
            outcome: Outcome::Unchanged,
            remember: Remember::Keep,
            bytes: None,
            durations: Durations::default(),
            ended: Ended::Well { wait: None },
            error: None,
            http_status: None,
            wire_bytes: None,
            counts: Counts::default(),
            moved_to: None,
            revision: provider.revision,
            crashed: false,
        }
    }

    /// Takes what the provider said besides the feed.
    pub(super) fn answered(&mut self, fetched: &Fetched) {
        self.http_status = Some(fetched.status);
        self.wire_bytes = Some(fetched.wire);
        self.moved_to.clone_from(&fetched.moved_to);
        let caching = fetched.caching;
        self.ended = Ended::Well {
            wait: caching.fresh_for.max(caching.retry_after),
        };
    }

    /// Takes what the feed says.
    pub(super) fn read(&mut self, read: &Read) {
        self.counts = Self::counts(read);
        self.durations.parse = Some(read.parse);
        self.durations.compare = Some(read.compare);
        if self.counts.held > 0 {
            // The next visit comes as usual and is to see for itself, whatever the provider says.
            self.remember = Remember::Forget;
            self.ended = Ended::Well { wait: None };
        }
    }

    pub(super) fn counts(read: &Read) -> Counts {
        let compared = &read.compared;
        let sum = |reasons: &entity::commit::Reasons| reasons.values().sum();
        Counts {
            new: compared.new,
            changed: compared.changed,
            unchanged: compared.unchanged,
            gone: compared.gone.len() as u64,
            returned: compared.returned_changed + compared.returned.len() as u64,
            held: compared.held.len() as u64,
            set_aside: sum(&read.set_aside_reasons),
            set_aside_reasons: read.set_aside_reasons.clone(),
            warnings: sum(&read.warning_reasons),
            warning_reasons: read.warning_reasons.clone(),
        }
    }

    pub(super) fn fail(&mut self, error: &SyncError) {
        self.outcome = Outcome::Failed;
        self.ended = classify(error);
        self.remember = Remember::Keep;
        self.counts = Counts::default();
        if let SyncError::Fetch(error) = error {
            self.http_status = error.status();
        }
        self.crashed = matches!(error, SyncError::Read(ReadError::Panic(_)));
        self.error = Some(told(error));
    }

    pub(super) fn panicked(&mut self, message: &str) {
        self.outcome = Outcome::Failed;
        self.error = Some(format!(
            "the sync panicked: {message}; this is a fault of ours, please report it"
        ));
        self.ended = Ended::Badly;
        self.crashed = true;
    }

    pub(super) fn finish(self, provider: &provider::Model, now: DateTime<Utc>) -> Finish {
        let health = visit::Provider {
            name: &provider.name,
            interval: provider.interval(),
            max_interval: provider.max_interval(),
            transient_failures: provider.transient_failures,
            consecutive_failures: provider.consecutive_failures,
        };
        let visit = visit::next(now, &health, self.ended, rand::random());
        Finish {
            error: self.error,
            http_status: self.http_status,
            bytes: self.bytes,
            wire_bytes: self.wire_bytes,
            counts: self.counts,
            durations: self.durations,
            transient_failures: visit.transient_failures,
            consecutive_failures: visit.consecutive_failures,
            remember: self.remember,
            moved_to: self.moved_to,
            crashed: self.crashed,
            left_alone: left_alone(self.ended),
            ..Finish::new(self.outcome, visit.at, self.revision)
        }
    }
}

fn left_alone(ended: Ended) -> Option<Duration> {
    match ended {
        Ended::AskedToWait(wait) => Some(wait.min(visit::MOST_RETRY_AFTER)),
        _ => None,
    }
}

/// The message of an error, for people who see nothing else of it: of a document with the rule that
/// it breaks.
fn told(error: &SyncError) -> String {
    match error {
        SyncError::Read(_) => telemetry::Chain(error).to_string(),
        _ => error.to_string(),
    }
}

/// What a failure says about the next visit.
fn classify(error: &SyncError) -> Ended {
    match error {
        SyncError::Fetch(error) if error.is_unreachable() || error.is_ours() => Ended::Passing,
        SyncError::Read(ReadError::Spool(_)) | SyncError::ReadBack(_) => Ended::Passing,
        SyncError::Fetch(FetchError::Status {
            status: 429 | 503,
            retry_after: Some(wait),
        }) => Ended::AskedToWait(*wait),
        _ => Ended::Badly,
    }
}
