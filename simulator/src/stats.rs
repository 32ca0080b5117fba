//! What was asked of the server: per provider, per host that it was addressed by, and in total.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::provider;
use crate::simulator::Simulator;

/// How many of the latest request starts are kept.
const RECENT: usize = 16;
/// Hosts beyond this many are only part of the total.
const MOST_HOSTS: usize = 256;

/// The requests for feeds since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The round that a fetch gets now.
    pub round: u64,
    /// All providers together.
    pub total: Counts,
    /// By the `Host` that requests named, without the port; the first 256 of them.
    pub hosts: BTreeMap<String, Counts>,
    /// By provider; all of them, asked or not.
    pub providers: BTreeMap<String, Counts>,
}

/// The requests of one kind. Instants count from the simulator's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests begun, answered or not.
    pub requests: u64,
    /// Answered with 200, whole or not.
    pub ok: u64,
    /// Answered with 304.
    pub not_modified: u64,
    /// Answered with anything else.
    pub other: u64,
    /// Under way now: begun, and neither delivered nor given up.
    pub concurrent: u64,
    /// The most that were under way at once.
    pub max_concurrent: u64,
    /// The least time between two starts; null before the second.
    pub min_gap_micros: Option<u64>,
    /// The latest 16 starts, the oldest first.
    pub recent_starts_micros: VecDeque<u64>,
}

impl Counts {
    fn begin(&mut self, at_micros: u64) {
        self.requests += 1;
        self.concurrent += 1;
        self.max_concurrent = self.max_concurrent.max(self.concurrent);
        let gap = self
            .recent_starts_micros
            .back()
            .map(|last| at_micros.saturating_sub(*last));
        self.min_gap_micros = self.min_gap_micros.into_iter().chain(gap).min();
        if self.recent_starts_micros.len() == RECENT {
            self.recent_starts_micros.pop_front();
        }
        self.recent_starts_micros.push_back(at_micros);
    }

    fn answered(&mut self, status: StatusCode) {
        match status {
            StatusCode::OK => self.ok += 1,
            StatusCode::NOT_MODIFIED => self.not_modified += 1,
            _ => self.other += 1,
        }
    }

    fn end(&mut self) {
        self.concurrent -= 1;
    }
}

/// All counts, in memory that follows the number of providers, not of requests.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    total: Counts,
    hosts: BTreeMap<String, Counts>,
    providers: Vec<Counts>,
}

impl Ledger {
    pub(crate) fn new(providers: usize) -> Self {
        Self {
            providers: vec![Counts::default(); providers],
            ..Self::default()
        }
    }

    pub(crate) fn begin(&mut self, index: usize, host: &str, at: Duration) {
        let at_micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        if self.hosts.len() < MOST_HOSTS && !self.hosts.contains_key(host) {
            self.hosts.insert(host.to_owned(), Counts::default());
        }
        self.each(index, host, |counts| counts.begin(at_micros));
    }

    fn each(&mut self, index: usize, host: &str, apply: impl Fn(&mut Counts)) {
        apply(&mut self.total);
        self.hosts.get_mut(host).into_iter().for_each(&apply);
        self.providers.get_mut(index).into_iter().for_each(&apply);
    }

    pub(crate) fn stats(&self, round: u64) -> Stats {
        Stats {
            round,
            total: self.total.clone(),
            hosts: self.hosts.clone(),
            providers: (0..)
                .map(provider::name)
                .zip(self.providers.iter().cloned())
                .collect(),
        }
    }
}

/// One request under way; it ends when this is dropped, be it delivered or given up.
#[derive(Debug)]
pub(crate) struct Visit {
    simulator: Simulator,
    index: usize,
    host: String,
}

impl Visit {
    pub(crate) fn new(simulator: Simulator, index: usize, host: &str) -> Self {
        Self {
            simulator,
            index,
            host: host.to_owned(),
        }
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        self.simulator
            .ledger()
            .each(self.index, &self.host, |counts| counts.answered(status));
    }

    pub(crate) fn served(&self, round: u64) {
        self.simulator.record_served(self.index, round);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.simulator
            .ledger()
            .each(self.index, &self.host, Counts::end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_concurrency_are_counted_in_bounded_memory() {
        let mut ledger = Ledger::new(2);
        for start in [0, 500, 530, 900] {
            ledger.begin(1, "a", Duration::from_micros(start));
        }
        ledger.each(1, "a", Counts::end);
        for start in 10..200 {
            ledger.begin(0, "b", Duration::from_millis(start));
            ledger.each(0, "b", Counts::end);
        }
        let stats = ledger.stats(0);
        let busy = &stats.providers["provider-0002"];
        assert_eq!(
            (busy.requests, busy.concurrent, busy.max_concurrent),
            (4, 3, 4)
        );
        assert_eq!(busy.min_gap_micros, Some(30));
        assert_eq!(stats.hosts["b"].recent_starts_micros.len(), RECENT);
        assert_eq!(stats.hosts["b"].recent_starts_micros.back(), Some(&199_000));
        assert_eq!((stats.total.requests, stats.total.max_concurrent), (194, 4));
    }

    #[test]
    fn made_up_hosts_do_not_fill_the_memory() {
        let mut ledger = Ledger::new(1);
        for host in 0..10 * MOST_HOSTS {
            ledger.begin(0, &host.to_string(), Duration::ZERO);
        }
        assert_eq!(ledger.hosts.len(), MOST_HOSTS);
        assert_eq!(ledger.total.requests, 10 * MOST_HOSTS as u64);
    }
}
