//! Parses a feed and compares it with what is known, batch by batch, off the async threads.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use entity::commit::SetAside;
use entity::known::Known;
use jiff::tz::TimeZone;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::compare::{Compared, Comparison};
use crate::format::{self, Format, Item, ParseError};
use crate::spool::Spool;

/// A feed, and where it stands in time.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) provider: String,
    pub(crate) format: Format,
    pub(crate) timezone: TimeZone,
    pub(crate) body: Spool,
    pub(crate) limits: format::Limits,
}

/// What a feed says, against what is known.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) compared: Compared,
    /// Bounded by the parser's limits.
    pub(crate) set_aside: Vec<SetAside>,
    /// All of them.
    pub(crate) set_aside_count: u64,
    pub(crate) warnings: u64,
    pub(crate) parse: Duration,
    pub(crate) compare: Duration,
}

/// Why a feed gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error("the parser panicked: {0}; this is a fault of ours, please report it")]
    Panic(String),
}

/// Reads a whole feed. Dropping the future stops the reading soon.
pub(crate) async fn read(source: Source, known: HashMap<Uuid, Known>) -> Result<Read, ReadError> {
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let _stop_on_drop: DropGuard = stop.drop_guard();
    let span = tracing::Span::current();
    let reading = tokio::task::spawn_blocking(move || {
        span.in_scope(|| read_blocking(&source, known, &stopped))
    });
    match reading.await {
        Ok(read) => Ok(read?),
        Err(error) => Err(ReadError::Panic(match error.try_into_panic() {
            Ok(panic) => crate::panic_message(&*panic),
            Err(error) => error.to_string(),
        })),
    }
}

fn read_blocking(
    source: &Source,
    known: HashMap<Uuid, Known>,
    stopped: &CancellationToken,
) -> Result<Read, ParseError> {
    let context = format::Context {
        timezone: &source.timezone,
        limits: &source.limits,
    };
    let mut comparison = Comparison::new(&source.provider, known);
    let mut kept = Vec::new();
    let mut comparing = Duration::ZERO;
    let started = Instant::now();
    let summary = format::parse(
        source.format,
        source.body.reader(),
        &context,
        &mut |batch| {
            let compared_from = Instant::now();
            for event in batch.events {
                comparison.take(event);
            }
            for item in batch.set_aside {
                // The event of a zone that is set aside is in the batch itself.
                if let (Item::Event, Some((base_id, event_id))) = (item.item, &item.identity) {
                    comparison.take_present(base_id, event_id);
                }
                if (kept.len() as u64) < source.limits.max_set_aside {
                    kept.push(SetAside {
                        position: item.position,
                        path: item.path,
                        reason: item.reason.slug().to_owned(),
                        identity: item.identity,
                        snippet: item.snippet,
                    });
                }
            }
            comparing += compared_from.elapsed();
            if stopped.is_cancelled() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    )?;
    let parsing = started.elapsed().saturating_sub(comparing);
    let compared_from = Instant::now();
    let compared = comparison.finish();
    tell(&source.provider, &summary, compared.doubled);
    Ok(Read {
        warnings: summary.warnings.values().sum::<u64>() + compared.doubled,
        compared,
        set_aside: kept,
        set_aside_count: summary.set_aside,
        parse: parsing,
        compare: comparing + compared_from.elapsed(),
    })
}

/// One line for all that was odd about a feed, so that its operator can ask the provider.
fn tell(provider: &str, summary: &format::Summary, doubled: u64) {
    let mut warnings: BTreeMap<&str, u64> = summary
        .warnings
        .iter()
        .map(|(kind, count)| (kind.slug(), *count))
        .collect();
    if doubled > 0 {
        warnings.insert("doubled_identity", doubled);
    }
    let set_aside: BTreeMap<&str, u64> = summary
        .set_aside_by_reason
        .iter()
        .map(|(reason, count)| (reason.slug(), *count))
        .collect();
    if !warnings.is_empty() || !set_aside.is_empty() {
        tracing::debug!(provider, ?warnings, ?set_aside, "feed has oddities");
    }
}
