//! Parses a feed and compares it with what is known, batch by batch, off the async threads.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use entity::commit::{Reasons, SetAside};
use entity::known::Known;
use entity::provider::Hold;
use jiff::tz::TimeZone;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::compare::{Compared, Comparison};
use crate::format::{self, Batch, Format, Item, ParseError};
use crate::spool::{Spool, SpoolError, SpoolReader, Spools};

/// A feed, and where it stands in time.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) provider: String,
    pub(crate) format: Format,
    pub(crate) timezone: TimeZone,
    pub(crate) body: Spool,
    pub(crate) limits: format::Limits,
    /// When its vanishing is held; never, if there is nothing.
    pub(crate) hold: Option<Hold>,
    /// Where what differs goes.
    pub(crate) spools: Spools,
}

/// What a feed says, against what is known.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) compared: Compared,
    /// Bounded by the parser's limits.
    pub(crate) set_aside: Vec<SetAside>,
    /// All of them, by reason.
    pub(crate) set_aside_reasons: Reasons,
    pub(crate) warning_reasons: Reasons,
    /// What parsing took, and what comparing took beside it.
    pub(crate) parse: Duration,
    pub(crate) compare: Duration,
}

/// Why a feed gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("the parser panicked: {0}; this is a fault of ours, please report it")]
    Panic(String),
}

impl ReadError {
    /// The failure in one of few words, for spans.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Parse(_) => "parse",
            Self::Spool(_) => "spool",
            Self::Panic(_) => "panic",
        }
    }
}

/// A reading under way, which waits for what is known before it compares. Dropping it stops it soon.
pub(crate) struct Reading {
    known: oneshot::Sender<Known>,
    task: tokio::task::JoinHandle<Result<Read, ReadError>>,
    _stop_on_drop: DropGuard,
}

impl Reading {
    /// Begins to parse.
    pub(crate) fn start(source: Source) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let (known, awaited) = oneshot::channel();
        let span = tracing::Span::current();
        let task = tokio::task::spawn_blocking(move || {
            span.in_scope(|| {
                read(&source, awaited, &stopped)
                    .inspect_err(|error| telemetry::fail(&span, error.kind()))
            })
        });
        Self {
            known,
            task,
            _stop_on_drop: stop.drop_guard(),
        }
    }

    /// Compares with what is known, and ends with the feed.
    pub(crate) async fn finish(self, known: Known) -> Result<Read, ReadError> {
        // It waits no more if it has failed already.
        let _ = self.known.send(known);
        self.task.await.unwrap_or_else(|error| {
            Err(ReadError::Panic(match error.try_into_panic() {
                Ok(panic) => crate::panic_message(&*panic),
                Err(error) => error.to_string(),
            }))
        })
    }
}

/// Below this a second thread costs more than it saves, in bytes.
const SMALL: u64 = 256 << 10;
/// Batches between parser and comparison: as much as may be parsed before what is known is there.
const BATCHES: usize = 16;

fn read(
    source: &Source,
    known: oneshot::Receiver<Known>,
    stopped: &CancellationToken,
) -> Result<Read, ReadError> {
    let comparing = move || match known.blocking_recv() {
        Ok(known) => Ok(Comparing::new(source, known)),
        // Whoever was to send it has given up.
        Err(_) => Err(ReadError::Parse(ParseError::Stopped)),
    };
    if source.body.len() < SMALL {
        return read_alone(source, comparing()?, stopped);
    }
    std::thread::scope(|scope| {
        let (sender, batches) = mpsc::sync_channel(BATCHES);
        let parser = std::thread::Builder::new().spawn_scoped(scope, move || {
            let mut waited = Duration::ZERO;
            let parsed = parse(source, stopped, |batch| {
                let since = Instant::now();
                let sent = sender.send(batch);
                waited += since.elapsed();
                sent.map_or(ControlFlow::Break(()), ControlFlow::Continue)
            });
            (parsed, waited)
        });
        let mut comparing = comparing()?;
        // The system may have none left, which is no reason to fail.
        let Ok(parser) = parser else {
            return read_alone(source, comparing, stopped);
        };
        for batch in batches {
            if comparing.take(batch).is_break() {
                break;
            }
        }
        match parser.join() {
            Ok((parsed, waited)) => comparing.finish(parsed, |parse| parse.saturating_sub(waited)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Parses and compares by turns.
fn read_alone(
    source: &Source,
    mut comparing: Comparing<'_>,
    stopped: &CancellationToken,
) -> Result<Read, ReadError> {
    let parsed = parse(source, stopped, |batch| comparing.take(batch));
    let busy = comparing.busy;
    comparing.finish(parsed, |parse| parse.saturating_sub(busy))
}

type Parsed = Result<(format::Summary, Duration), ParseError>;

fn parse(
    source: &Source,
    stopped: &CancellationToken,
    mut each: impl FnMut(Batch) -> ControlFlow<()>,
) -> Parsed {
    let context = format::Context {
        timezone: &source.timezone,
        limits: &source.limits,
    };
    let started = Instant::now();
    let summary = format::parse(
        source.format,
        Stoppable {
            reader: source.body.reader(),
            stopped,
        },
        &context,
        &mut |batch| {
            if stopped.is_cancelled() {
                ControlFlow::Break(())
            } else {
                each(batch)
            }
        },
    )?;
    Ok((summary, started.elapsed()))
}

/// Fails once it is to stop: a feed may have no item at which one could.
struct Stoppable<'a> {
    reader: SpoolReader,
    stopped: &'a CancellationToken,
}

impl Stoppable<'_> {
    fn go_on(&self) -> io::Result<()> {
        match self.stopped.is_cancelled() {
            true => Err(io::Error::other("it was stopped")),
            false => Ok(()),
        }
    }
}

impl io::Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.go_on()?;
        self.reader.read(buffer)
    }
}

impl BufRead for Stoppable<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.go_on()?;
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.reader.consume(amount);
    }
}

/// A comparison under way, and what it sets aside.
struct Comparing<'a> {
    source: &'a Source,
    comparison: Comparison,
    set_aside: Vec<SetAside>,
    failed: Option<SpoolError>,
    busy: Duration,
}

impl<'a> Comparing<'a> {
    fn new(source: &'a Source, known: Known) -> Self {
        Self {
            source,
            comparison: Comparison::new(&source.provider, known, &source.spools),
            set_aside: Vec::new(),
            failed: None,
            busy: Duration::ZERO,
        }
    }

    fn take(&mut self, batch: Batch) -> ControlFlow<()> {
        let since = Instant::now();
        for event in &batch.events {
            if let Err(error) = self.comparison.take(event) {
                self.failed = Some(error);
                return ControlFlow::Break(());
            }
        }
        for item in batch.set_aside {
            // The event of a zone that is set aside is in a batch itself.
            if let (Item::Event, Some((base_id, event_id))) = (item.item, &item.identity) {
                self.comparison.take_present(base_id, event_id);
            }
            if (self.set_aside.len() as u64) < self.source.limits.max_set_aside {
                self.set_aside.push(SetAside {
                    position: item.position,
                    path: item.path,
                    reason: item.reason.slug().to_owned(),
                    identity: item.identity,
                    snippet: item.snippet,
                });
            }
        }
        self.busy += since.elapsed();
        ControlFlow::Continue(())
    }

    /// `parsing` makes what parsing took of the time from its start to its end.
    fn finish(
        self,
        parsed: Parsed,
        parsing: impl FnOnce(Duration) -> Duration,
    ) -> Result<Read, ReadError> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        let (summary, parse) = parsed?;
        let since = Instant::now();
        let compared = self.comparison.finish(self.source.hold)?;
        let mut warning_reasons = reasons(&summary.warnings, |kind| kind.slug());
        if compared.doubled > 0 {
            warning_reasons.insert("doubled_identity".to_owned(), compared.doubled);
        }
        Ok(Read {
            compared,
            set_aside: self.set_aside,
            set_aside_reasons: reasons(&summary.set_aside_by_reason, |reason| reason.slug()),
            warning_reasons,
            parse: parsing(parse),
            compare: self.busy + since.elapsed(),
        })
    }
}

fn reasons<K: Copy>(counts: &BTreeMap<K, u64>, slug: fn(K) -> &'static str) -> Reasons {
    counts
        .iter()
        .map(|(kind, count)| (slug(*kind).to_owned(), *count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::SpoolConfig;

    #[test]
    fn a_feed_without_items_stops_as_well() {
        let spools = Spools::open(SpoolConfig::default()).unwrap();
        let mut spool = spools.writer();
        spool
            .append(b"<planList><output><x/></output></planList>")
            .unwrap();
        let source = Source {
            provider: "acme".to_owned(),
            format: Format::PlanList,
            timezone: TimeZone::UTC,
            body: spool.finish().unwrap(),
            limits: format::Limits::default(),
            hold: None,
            spools,
        };
        let stopped = CancellationToken::new();
        let read = || parse(&source, &stopped, |_| ControlFlow::Continue(()));
        assert!(read().is_ok());
        stopped.cancel();
        assert!(matches!(read(), Err(ParseError::Read(_))));
    }
}
