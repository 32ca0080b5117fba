//! The one line of a run.

use std::time::Duration;

use entity::commit::Finish;
use entity::lease::Begun;
use tokio::time::Instant;
use tracing::Span;

use super::{Context, Ended};

/// What follows the question mark may be a key, and the log is read by many.
fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(address, _)| address)
}

/// Tells how a run ended for its worker, in its span and in the one line of the log.
pub(super) fn tell(ended: &Ended, context: &Context, begun: &Begun, asked: Instant) {
    let outcome = match ended {
        Ended::Recorded(finish) => finish.outcome.to_string(),
        Ended::Fenced => "fenced".to_owned(),
        Ended::HandBack => "handed_back".to_owned(),
        Ended::PutOff(reason) => {
            Span::current().record("fanfare.outcome", "postponed");
            let (run, provider) = (begun.held.run, &begun.provider.name);
            return tracing::debug!(%run, provider, ?reason, "run is put off");
        }
    };
    Span::current().record("fanfare.outcome", &outcome);
    let (run, provider) = (begun.held.run, &begun.provider.name);
    let total_ms = asked.elapsed().as_millis() as u64;
    match ended {
        Ended::Recorded(finish) => tell_recorded(finish, context, begun, total_ms),
        _ => tracing::info!(%run, provider, outcome, worker = context.worker, total_ms, "run left"),
    }
}

fn tell_recorded(finish: &Finish, context: &Context, begun: &Begun, total_ms: u64) {
    let (run, provider) = (begun.held.run, &begun.provider.name);
    let ms = |duration: Option<Duration>| duration.map(|duration| duration.as_millis() as u64);
    let counts = &finish.counts;
    tracing::info!(
        %run,
        provider,
        outcome = %finish.outcome,
        error = finish.error,
        http_status = finish.http_status,
        bytes = finish.bytes,
        wire_bytes = finish.wire_bytes,
        new = counts.new,
        changed = counts.changed,
        unchanged = counts.unchanged,
        gone = counts.gone,
        returned = counts.returned,
        held = counts.held,
        set_aside = counts.set_aside,
        warnings = counts.warnings,
        wait_ms = ms(Some(begun.queued_for)),
        fetch_ms = ms(finish.durations.fetch),
        parse_ms = ms(finish.durations.parse),
        compare_ms = ms(finish.durations.compare),
        store_ms = ms(finish.durations.store),
        total_ms,
        worker = context.worker,
        next_due_at = %finish.next_due_at,
        "run finished"
    );
    if counts.held > 0 {
        tracing::warn!(
            provider,
            held = counts.held,
            "most of the feed is missing: its events stay until a feed has them again, or until \
             `fanfare sync {provider} --accept-gone` confirms that they are gone"
        );
    }
    if let Some(moved_to) = finish.moved_to.as_deref().map(without_query) {
        tracing::warn!(
            provider,
            moved_to,
            "the feed has moved for good: change the provider's url"
        );
    }
}
