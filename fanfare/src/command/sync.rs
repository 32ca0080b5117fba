//! `fanfare sync`: asks the schedulers for a fan-out, and can wait for its end.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use entity::fan_out::{self, Progress, Trigger};
use entity::{Database, provider};
use serde_json::json;
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use crate::cli::Sync;
use crate::command::provider::existing;
use crate::progress::{self, Standing};
use crate::screen::Screen;
use crate::{show, start};

/// Asks, and with `--wait` follows.
pub(crate) async fn run(options: Sync, screen: &Screen) -> anyhow::Result<ExitCode> {
    let db = start::database(&options.database).await?;
    let done = sync(&options, &db, screen).await;
    db.close().await;
    done
}

async fn sync(options: &Sync, db: &Database, screen: &Screen) -> anyhow::Result<ExitCode> {
    let providers = providers(options, db).await?;
    let ids: Vec<i64> = providers.iter().map(|provider| provider.id).collect();
    let fan_out = request(db, &ids, options.accept_gone).await?;
    if !options.wait {
        if options.json {
            show::json(&json!({ "fan_out": fan_out, "providers": ids.len() }))?;
        } else {
            let count = show::count(ids.len() as u64, "provider");
            show::line(&format!("asked for a sync of {count}, fan-out {fan_out}"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let progress = follow(options, db, fan_out, ids.len() as u64, screen).await?;
    report(options, db, fan_out, progress, ids.len()).await
}

/// Asks for a fan-out, in the span that its trace begins with. It ends with that, however long the
/// command follows: whoever interrupts it would take the span along.
async fn request(db: &Database, providers: &[i64], accept_gone: bool) -> anyhow::Result<Uuid> {
    let span = tracing::info_span!(
        "request fan-out",
        otel.status_code = tracing::field::Empty,
        error.type = tracing::field::Empty,
        fanfare.fan_out = tracing::field::Empty,
        fanfare.trigger = Trigger::Command.name(),
        fanfare.providers = providers.len() as i64,
    );
    async {
        let traceparent = telemetry::traceparent();
        let request = fan_out::Request {
            trigger: Trigger::Command,
            traceparent: traceparent.as_deref(),
            providers,
            accept_gone,
        };
        let span = tracing::Span::current();
        let fan_out = fan_out::request(db, request).await;
        let fan_out = fan_out.inspect_err(|_| telemetry::fail(&span, "database"))?;
        span.record("fanfare.fan_out", tracing::field::display(fan_out));
        Ok(fan_out)
    }
    .instrument(span)
    .await
}

async fn providers(options: &Sync, db: &Database) -> anyhow::Result<Vec<provider::Model>> {
    if options.all {
        let mut providers = provider::active(&db.read).await?;
        providers.retain(|provider| provider.paused_at.is_none());
        if providers.is_empty() {
            bail!("there is no provider to sync: add some with `fanfare provider apply FILE`");
        }
        return Ok(providers);
    }
    let mut providers = Vec::new();
    for name in &options.names {
        let provider = existing(db, name).await?;
        if let Some(reason) = &provider.paused_reason {
            bail!(
                "the provider `{name}` is paused ({reason}): resume it first with `fanfare provider resume {name}`"
            );
        }
        providers.push(provider);
    }
    Ok(providers)
}

/// How long to wait before wondering whether anybody schedules at all.
const NOBODY: Duration = Duration::from_secs(10);

/// Shows the progress until the fan-out closes.
async fn follow(
    options: &Sync,
    db: &Database,
    fan_out: Uuid,
    providers: u64,
    screen: &Screen,
) -> anyhow::Result<Progress> {
    let started = Instant::now();
    let mut shown = match options.json {
        true => progress::Progress::silent(screen),
        false => progress::Progress::new(screen),
    };
    let mut wondered = false;
    loop {
        let progress = fan_out::progress(&db.read, fan_out)
            .await?
            .context("the fan-out is gone")?;
        if progress.closed {
            return Ok(progress);
        }
        shown.tell(standing(&progress, providers));
        let nobody = progress.waiting > 0 && started.elapsed() > NOBODY;
        if nobody && !wondered {
            wondered = true;
            shown.say(if options.accept_gone {
                "the request waits: for a sync that began without it to end, or for a scheduler, if none is running"
            } else {
                "no scheduler has taken the request up yet: is one running?"
            });
        }
        if started.elapsed() > options.timeout {
            bail!(
                "the fan-out {fan_out} is not over after {}; it goes on without this command",
                humantime::format_duration(options.timeout)
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn standing(progress: &Progress, providers: u64) -> Standing {
    let failed = (progress.failed + progress.cancelled).unsigned_abs();
    Standing {
        done: progress.succeeded.unsigned_abs() + failed,
        total: providers,
        failed,
        events: (progress.changes.unsigned_abs(), "changed"),
    }
}

/// What feeds lack that is held, and what to do about it.
fn held(options: &Sync, progress: Progress) -> Option<String> {
    let events = progress.held.unsigned_abs();
    let (are, feed, see) = match options.names.as_slice() {
        [name] => ("its feed", name.as_str(), String::new()),
        _ => (
            "their feeds",
            "NAME",
            ", `fanfare provider list` tells whose".to_owned(),
        ),
    };
    (events > 0).then(|| {
        let verb = if events == 1 { "is" } else { "are" };
        format!(
            "{} {verb} missing from {are} and held{see}: `fanfare sync {feed} --accept-gone` takes \
             them for gone",
            show::count(events, "event")
        )
    })
}

const FAILURES_SHOWN: i64 = 20;

async fn report(
    options: &Sync,
    db: &Database,
    fan_out: Uuid,
    progress: Progress,
    providers: usize,
) -> anyhow::Result<ExitCode> {
    let asked_for = i64::try_from(providers).unwrap_or(i64::MAX);
    let failures = fan_out::failures(&db.read, fan_out, FAILURES_SHOWN).await?;
    if options.json {
        show::json(&json!({ "fan_out": fan_out, "progress": progress, "failures": failures }))?;
    } else {
        for failure in &failures {
            let error = failure.error.as_deref().unwrap_or("no reason given");
            show::line(&format!("failed {}: {error}", failure.provider));
        }
        show::line(&format!(
            "{} synced, {} failed, {} cancelled, {} changed",
            show::count(progress.succeeded.unsigned_abs(), "provider"),
            progress.failed,
            progress.cancelled,
            show::count(progress.changes.unsigned_abs(), "event"),
        ));
        if let Some(held) = held(options, progress) {
            show::line(&held);
        }
    }
    let all = progress.failed + progress.cancelled == 0 && progress.succeeded >= asked_for;
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
