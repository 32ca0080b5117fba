//! `fanfare why`: everything that speaks for or against a provider's sync now, in sentences.

use chrono::{DateTime, Utc};
use entity::run::{Model, Postponed, State};
use entity::why::{Circumstances, circumstances};

use crate::cli::ProviderNamed;
use crate::command::provider::{existing, held};
use crate::command::run::standing;
use crate::{show, start};

/// Explains.
pub(crate) async fn run(options: ProviderNamed) -> anyhow::Result<()> {
    let db = start::database(&options.database).await?;
    let provider = existing(&db, &options.name).await?;
    let circumstances = circumstances(&db.read, provider).await?;
    db.close().await;
    if options.json {
        return show::json(&circumstances);
    }
    for sentence in sentences(&circumstances) {
        show::line(&sentence);
    }
    Ok(())
}

fn sentences(it: &Circumstances) -> Vec<String> {
    let mut sentences = vec![claim(it)];
    sentences.extend(pause(it));
    sentences.extend(health(it));
    sentences.extend(held(&it.provider).map(|held| format!("Of what is stored, {held}.")));
    sentences.extend(host(it));
    sentences.push(latest(it));
    sentences.push(format!("Next: {}", next(it)));
    sentences
}

fn claim(it: &Circumstances) -> String {
    match &it.run {
        None => format!(
            "It is not claimed; due {}.",
            relative(it, it.provider.next_due_at)
        ),
        Some(run) if run.state == State::Running => running(it, run),
        Some(run) => format!(
            "It is claimed: run {} is queued since {}, pushed {}{}.",
            run.id,
            relative(it, run.queued_at),
            show::count(run.push_count.unsigned_abs(), "time"),
            waits(run),
        ),
    }
}

fn running(it: &Circumstances, run: &Model) -> String {
    let seen = it.worker_seen_at.map_or_else(
        || "gave no sign of life that is known".to_owned(),
        |at| format!("gave its last sign of life {}", relative(it, at)),
    );
    format!(
        "It is being synced: run {} by worker {} since {}; the worker {seen}{}.",
        run.id,
        run.worker.as_deref().unwrap_or("unknown"),
        run.started_at
            .map_or_else(String::new, |at| relative(it, at)),
        run.lease_until
            .map(|at| format!(", and is believed until {}", show::instant(Some(at))))
            .unwrap_or_default(),
    )
}

fn waits(run: &Model) -> &'static str {
    match run.postponed_for {
        None => "",
        Some(Postponed::HostLimit) => ", and waits for one of its host's fetches at once",
        Some(Postponed::HostGap) => ", and waits for the gap between its host's fetches",
        Some(Postponed::RetryAfter) => ", and waits because its host asked to be left alone",
        Some(Postponed::Suspect) => {
            ", and waits for a worker without another provider that may have killed its worker"
        }
    }
}

fn pause(it: &Circumstances) -> Option<String> {
    let since = it.provider.paused_at?;
    let reason = it
        .provider
        .paused_reason
        .as_deref()
        .unwrap_or("no reason given");
    let until = it.provider.paused_until.map_or_else(
        || {
            format!(
                "until someone resumes it: `fanfare provider resume {}`",
                it.provider.name
            )
        },
        |until| format!("until {}", show::instant(Some(until))),
    );
    Some(format!(
        "It is paused by {} since {}: {reason}; {until}.",
        it.provider.paused_by.as_deref().unwrap_or("someone"),
        show::instant(Some(since))
    ))
}

/// Failures in a row from which a provider counts as broken: it is then only probed now and then.
const BROKEN: i64 = 5;

fn health(it: &Circumstances) -> Vec<String> {
    let provider = &it.provider;
    let mut sentences = Vec::new();
    if provider.consecutive_failures > 0 || provider.transient_failures > 0 {
        sentences.push(format!(
            "Its breaker is {}: {} in a row, {} to connect not counted yet; the last error: {}.",
            if provider.consecutive_failures >= BROKEN {
                "open"
            } else {
                "closed"
            },
            show::count(provider.consecutive_failures.unsigned_abs(), "failure"),
            show::count(provider.transient_failures.unsigned_abs(), "failure"),
            provider.last_error.as_deref().unwrap_or("none"),
        ));
    }
    if provider.consecutive_crashes > 0 {
        sentences.push(format!(
            "Its last {} died with their workers; it runs alone among such until it succeeds.",
            show::count(provider.consecutive_crashes.unsigned_abs(), "sync"),
        ));
    }
    sentences
}

fn host(it: &Circumstances) -> Option<String> {
    let host = &it.host;
    if let Some(until) = host.not_before.filter(|until| *until > it.now) {
        return Some(format!(
            "Its host {} asked to be left alone until {}.",
            it.provider.host,
            show::instant(Some(until))
        ));
    }
    (host.running > 0).then(|| {
        format!(
            "Syncs that are on at its host {}: {}.",
            it.provider.host, host.running
        )
    })
}

fn latest(it: &Circumstances) -> String {
    let outcomes: Vec<String> = it.latest.iter().map(standing).collect();
    if outcomes.is_empty() {
        return "It was never synced.".to_owned();
    }
    format!("Its latest runs, newest first: {}.", outcomes.join(", "))
}

fn next(it: &Circumstances) -> String {
    let provider = &it.provider;
    match &it.run {
        Some(run) if run.state == State::Running => {
            "the run ends, and sets its next visit; if its worker falls silent, another takes over."
                .to_owned()
        }
        Some(run) => match run.next_push_at {
            Some(at) => format!(
                "a worker begins it; if none has, it is pushed again {}.",
                relative(it, at)
            ),
            None => "a worker begins it.".to_owned(),
        },
        None if provider.paused_at.is_some() && provider.paused_until.is_none() => {
            "nothing, until it is resumed.".to_owned()
        }
        None if provider.next_due_at <= it.now => {
            "a scheduler claims it within its next tick, unless too much is outstanding; if nothing \
             happens, no scheduler runs."
                .to_owned()
        }
        None => format!("it is claimed {}.", relative(it, provider.next_due_at)),
    }
}

/// An instant as a distance from the database's now.
fn relative(it: &Circumstances, at: DateTime<Utc>) -> String {
    let seconds = (at - it.now).num_seconds();
    let distance = show::duration_ms(seconds * 1000);
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {distance}"),
        _ => format!("{distance} ago"),
    }
}
