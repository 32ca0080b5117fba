use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::behavior::Behavior;
use crate::config::Config;
use crate::document::GENERATION;
use crate::draw::Draw;
use crate::provider::{self, UnknownProvider};
use crate::stats::{Ledger, Stats, Visit};
use crate::truth::{self, ExpectedEvent, Reading, SetAside, SetAsideCount, TruthEvent};
use crate::world::World;

/// A handle on a running simulator; clones share it. It outlives the server, so that tests can ask what was served.
#[derive(Clone, Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    addr: SocketAddr,
    started: Instant,
    round: AtomicU64,
    providers: Vec<Mutex<Provider>>,
    ledger: Mutex<Ledger>,
    stopped: CancellationToken,
}

#[derive(Debug, Default)]
struct Provider {
    behavior: Behavior,
    served: Vec<u64>,
}

impl Simulator {
    pub(crate) fn new(config: Config, addr: SocketAddr) -> Self {
        let shared = Shared {
            addr,
            started: Instant::now(),
            round: AtomicU64::new(config.first_round),
            providers: (0..config.providers).map(|_| Mutex::default()).collect(),
            ledger: Mutex::new(Ledger::new(config.providers)),
            stopped: CancellationToken::new(),
            config,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The address that the server listens on.
    pub fn addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// Resolves once the server has ended and every connection is closed.
    pub async fn stopped(&self) {
        self.shared.stopped.cancelled().await;
    }

    /// The slugs of all providers, `provider-0001` first; the same for every seed.
    pub fn provider_names(&self) -> Vec<String> {
        (0..self.shared.config.providers)
            .map(provider::name)
            .collect()
    }

    /// Where the provider called `name` is fetched; the loopback address stands in for an unspecified one.
    pub fn feed_url(&self, name: &str) -> String {
        provider::feed_url(&self.origin(), name)
    }

    /// As [`feed_url`](Self::feed_url) under another host, such as `127.0.0.2` or `localhost`: readers that treat
    /// hosts apart then see several. An IPv6 address stands in brackets.
    pub fn feed_url_on(&self, name: &str, host: &str) -> String {
        provider::feed_url(&format!("http://{host}:{}", self.shared.addr.port()), name)
    }

    /// A provider file in TOML with every provider, each visited once in `interval` (such as `15m`).
    pub fn providers_toml(&self, interval: &str) -> String {
        self.providers_toml_under(&self.origin(), interval)
    }

    pub(crate) fn providers_toml_under(&self, origin: &str, interval: &str) -> String {
        provider::file(self.shared.config.providers, origin, interval)
    }

    pub(crate) fn origin(&self) -> String {
        let ip = match self.shared.addr.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        format!("http://{}", SocketAddr::new(ip, self.shared.addr.port()))
    }

    /// The round that a fetch gets now.
    pub fn round(&self) -> u64 {
        self.shared.round.load(Ordering::SeqCst)
    }

    /// Moves all feeds on by one round and returns it. Responses under way stay in their own round.
    pub fn advance(&self) -> u64 {
        self.shared.round.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// How the provider answers from the next request on.
    ///
    /// # Errors
    ///
    /// If no provider has this name; so in every method that says so in its type.
    pub fn set_behavior(&self, name: &str, behavior: Behavior) -> Result<(), UnknownProvider> {
        self.provider(self.index(name)?).behavior = behavior;
        Ok(())
    }

    /// How the provider answers now; a [`Behavior::FailTimes`] tells how many failures are left.
    pub fn behavior(&self, name: &str) -> Result<Behavior, UnknownProvider> {
        Ok(self.provider(self.index(name)?).behavior.clone())
    }

    /// The events that the feed of this round gives, in feed order, without those that must be set aside.
    pub fn truth(&self, name: &str, round: u64) -> Result<Vec<TruthEvent>, UnknownProvider> {
        Ok(self.read(self.index(name)?, round).events)
    }

    /// What a reader of this round's feed must set aside, in feed order.
    pub fn set_aside(&self, name: &str, round: u64) -> Result<Vec<SetAside>, UnknownProvider> {
        Ok(self.read(self.index(name)?, round).set_aside)
    }

    /// How many events and zones a reader of this round's feed must set aside.
    pub fn set_aside_count(
        &self,
        name: &str,
        round: u64,
    ) -> Result<SetAsideCount, UnknownProvider> {
        Ok(self.read(self.index(name)?, round).set_aside_count())
    }

    /// The rounds whose feed went out whole with a 200, in order, a repeated one once. A round is in it before its
    /// reader sees the end of the body. What the reader made of it is not known here: a reader that failed
    /// afterwards has not stored it, so compare such a one through
    /// [`expected_for_rounds`](Self::expected_for_rounds).
    pub fn served(&self, name: &str) -> Result<Vec<u64>, UnknownProvider> {
        Ok(self.provider(self.index(name)?).served.clone())
    }

    /// What a reader that stored all [served](Self::served) rounds must know, in order of (base id, event id).
    pub fn expected(&self, name: &str) -> Result<Vec<ExpectedEvent>, UnknownProvider> {
        self.expected_for_rounds(name, &self.served(name)?)
    }

    /// What a reader that stored exactly these rounds, in this order, must know. Costs one reading per round.
    pub fn expected_for_rounds(
        &self,
        name: &str,
        rounds: &[u64],
    ) -> Result<Vec<ExpectedEvent>, UnknownProvider> {
        let index = self.index(name)?;
        Ok(truth::fold(
            rounds.iter().map(|round| self.read(index, *round)),
        ))
    }

    /// What has been asked of the server so far.
    pub fn stats(&self) -> Stats {
        self.ledger().stats(self.round())
    }

    fn read(&self, index: usize, round: u64) -> Reading {
        truth::read(self.world(index, round), provider::spelling(index))
    }

    pub(crate) fn index(&self, name: &str) -> Result<usize, UnknownProvider> {
        provider::index(name, self.shared.config.providers)
    }

    pub(crate) fn world(&self, index: usize, round: u64) -> World {
        let config = &self.shared.config;
        World {
            draw: Draw::new(config.seed).at(index as u64),
            round,
            slots: config.events as u64,
            zones: config.zones as u64,
            bad_items: config.bad_items,
        }
    }

    /// A digest of all that decides a document's bytes, so that a large one need not be made to be named.
    pub(crate) fn digest(&self, index: usize, round: u64, document: &str) -> String {
        let Config {
            seed,
            events,
            zones,
            bad_items,
            ..
        } = self.shared.config;
        let inputs =
            format!("{GENERATION}|{seed}|{index}|{round}|{events}|{zones}|{bad_items}|{document}");
        blake3::hash(inputs.as_bytes()).to_hex()[..32].to_owned()
    }

    pub(crate) fn take_behavior(&self, index: usize) -> Behavior {
        self.provider(index).behavior.take()
    }

    pub(crate) fn record_served(&self, index: usize, round: u64) {
        let served = &mut self.provider(index).served;
        if served.last() != Some(&round) {
            served.push(round);
        }
    }

    /// Counts one request, as under way until the visit is dropped.
    pub(crate) fn visit(&self, index: usize, host: &str) -> Visit {
        let at = self.shared.started.elapsed();
        self.ledger().begin(index, host, at);
        Visit::new(self.clone(), index, host)
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared
            .ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stop_signal(&self) -> CancellationToken {
        self.shared.stopped.clone()
    }

    /// `index` must be below the number of providers.
    fn provider(&self, index: usize) -> MutexGuard<'_, Provider> {
        self.shared.providers[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
