//! `fanfare provider …`.

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use entity::provider::{self, Applied, Change, Found};
use entity::{Database, clock, run};
use serde_json::json;

use crate::cli::{
    Provider, ProviderApply, ProviderList, ProviderNamed, ProviderPause, ProviderRemove,
};
use crate::command::roles::read_provider_file;
use crate::command::run::{Findings, state};
use crate::show::{self, Cell, Column, Tone};
use crate::start;

/// Runs one of the subcommands.
pub(crate) async fn run(command: Provider) -> anyhow::Result<()> {
    match command {
        Provider::Apply(options) => apply(options).await,
        Provider::List(options) => list(options).await,
        Provider::Show(options) => show(options).await,
        Provider::Pause(options) => pause(options).await,
        Provider::Resume(options) => resume(options).await,
        Provider::Remove(options) => remove(options).await,
    }
}

async fn apply(options: ProviderApply) -> anyhow::Result<()> {
    let specs = read_provider_file(&options.file)?;
    let db = start::database(&options.database).await?;
    let applied = provider::apply(&db, &specs, options.prune, options.dry_run)
        .await
        .context("nothing was applied")?;
    db.close().await;
    if options.json {
        return show::json(&applied);
    }
    for change in &applied {
        tell(change);
    }
    let verb = if options.dry_run {
        "would change"
    } else {
        "changed"
    };
    show::line(&format!(
        "{} in the file, {} {verb}",
        show::count(specs.len() as u64, "provider"),
        applied.len()
    ));
    Ok(())
}

fn tell(applied: &Applied) {
    match &applied.change {
        Change::Added => show::line(&format!("+ {}", applied.name)),
        Change::Retired => show::line(&format!("- {} (retired; its events stay)", applied.name)),
        Change::Updated { fields } => {
            show::line(&format!("~ {}", applied.name));
            for field in fields {
                show::line(&format!("    {}", show::discreet(field)));
            }
        }
    }
}

async fn list(options: ProviderList) -> anyhow::Result<()> {
    let db = start::database(&options.database).await?;
    let providers = provider::list(&db.read).await?;
    let now = clock::now(&db.read).await?;
    db.close().await;
    if options.json {
        return show::json(&providers);
    }
    let rows: Vec<_> = providers.iter().map(|it| listed(it, now)).collect();
    show::table(&LISTED, &rows);
    Ok(())
}

const LISTED: [Column; 11] = [
    Column::new("NAME").least(12),
    Column::new("STATE"),
    Column::number("EVENTS"),
    Column::number("GONE").leaves(2),
    Column::number("HELD").leaves(3),
    Column::number("INTERVAL").leaves(2),
    Column::new("LAST SUCCESS").leaves(0),
    Column::new("AGE"),
    Column::new("NEXT DUE").leaves(0),
    Column::new("DUE"),
    Column::new("WHY").least(12).leaves(1),
];

fn listed(provider: &provider::Summary, now: DateTime<Utc>) -> [Cell; 11] {
    let (state, tone) = freshness(provider);
    let number = |number: i64| Cell::from(show::number(number.unsigned_abs()));
    let held = match provider.events_held {
        0 => number(0),
        held => Cell::new(show::number(held.unsigned_abs()), Tone::Warning),
    };
    let age = provider
        .last_success_at
        .map_or_else(|| "never".to_owned(), |at| show::from_now(at, now));
    // A paused provider is not due, whatever stands there.
    let due = provider
        .paused_reason
        .is_none()
        .then_some(provider.next_due_at);
    let why = provider.paused_reason.as_ref().or(provider
        .last_error
        .as_ref()
        .filter(|_| provider.consecutive_failures > 0));
    [
        Cell::from(provider.name.as_str()),
        Cell::new(state, tone),
        number(provider.events),
        number(provider.events_gone),
        held,
        show::duration_ms(provider.interval_ms).into(),
        show::instant(provider.last_success_at).into(),
        age.into(),
        due.map_or_else(String::new, |at| show::instant(Some(at)))
            .into(),
        due.map_or_else(String::new, |at| show::from_now(at, now))
            .into(),
        Cell::from(why.cloned().unwrap_or_default()),
    ]
}

fn freshness(provider: &provider::Summary) -> (&'static str, Tone) {
    if provider.paused_reason.is_some() {
        ("paused", Tone::Faint)
    } else if provider.claimed {
        ("syncing", Tone::Busy)
    } else if provider.consecutive_failures > 0 {
        ("failing", Tone::Bad)
    } else if provider.stale {
        ("stale", Tone::Warning)
    } else {
        ("fresh", Tone::Good)
    }
}

const LATEST_RUNS: u64 = 10;

async fn show(options: ProviderNamed) -> anyhow::Result<()> {
    let db = start::database(&options.database).await?;
    let provider = existing(&db, &options.name).await?;
    let runs = run::latest(&db.read, provider.id, LATEST_RUNS).await?;
    let last_stored = match provider::last_stored(&db.read, provider.id).await? {
        Some(run) => Some(Findings::of(&db, run).await?),
        None => None,
    };
    db.close().await;
    if options.json {
        return show::json(
            &json!({ "provider": provider, "runs": runs, "last_stored": last_stored }),
        );
    }
    show::pairs(&settings(&provider));
    show::line("");
    show::pairs(&standing(&provider));
    show::line("");
    let rows: Vec<_> = runs.iter().map(run_row).collect();
    show::table(&RUNS, &rows);
    if let Some(findings) = last_stored {
        findings.print("of the last feed that was stored");
    }
    Ok(())
}

fn or_none(text: &Option<String>) -> String {
    text.clone().unwrap_or_else(|| "none".to_owned())
}

fn settings(provider: &provider::Model) -> Vec<(&'static str, String)> {
    vec![
        ("name", provider.name.clone()),
        ("url", provider.url.clone()),
        ("access", provider.access.to_string()),
        ("format", provider.format.clone()),
        ("timezone", provider.timezone.clone()),
        ("interval", show::duration_ms(provider.interval_ms)),
        (
            "max interval",
            humantime::format_duration(provider.max_interval()).to_string(),
        ),
        ("timeout", show::duration_ms(provider.timeout_ms)),
        (
            "max body",
            provider.max_body.map_or_else(
                || "as the worker has it".to_owned(),
                |bytes| show::count(bytes.unsigned_abs(), "byte"),
            ),
        ),
        ("held if missing", threshold(provider)),
    ]
}

fn threshold(provider: &provider::Model) -> String {
    if provider.hold_percent >= 100 {
        return "never".to_owned();
    }
    format!(
        "more than {}% and more than {} of the events that are not over",
        provider.hold_percent,
        show::number(provider.hold_events.unsigned_abs())
    )
}

fn standing(provider: &provider::Model) -> Vec<(&'static str, String)> {
    let mut pairs = vec![
        ("last success", show::instant(provider.last_success_at)),
        ("next due", show::instant(Some(provider.next_due_at))),
        (
            "failures in a row",
            provider.consecutive_failures.to_string(),
        ),
        ("last error", or_none(&provider.last_error)),
        ("paused", or_none(&provider.paused_reason)),
    ];
    if let Some(to) = &provider.moved_to {
        pairs.push(("moved", moved(to)));
    }
    if let Some(held) = held(provider) {
        pairs.push(("held", held));
    }
    pairs
}

/// What to do about a feed that has moved.
pub(crate) fn moved(to: &str) -> String {
    let to = show::discreet(to);
    format!("the feed has moved for good to {to}: change its url")
}

/// What a feed lacks that is held, and what to do about it.
pub(crate) fn held(provider: &provider::Model) -> Option<String> {
    let (events, name) = (provider.events_held.unsigned_abs(), &provider.name);
    let are = if events == 1 { "is" } else { "are" };
    (events > 0).then(|| {
        format!(
            "{} {are} missing from its feed and held: `fanfare sync {name} --accept-gone` takes \
             them for gone; a feed that has most of them again ends it",
            show::count(events, "event")
        )
    })
}

const RUNS: [Column; 8] = [
    Column::new("QUEUED"),
    Column::new("OUTCOME"),
    Column::number("NEW"),
    Column::number("CHANGED"),
    Column::number("GONE"),
    Column::number("HELD").leaves(2),
    Column::number("SET ASIDE").leaves(3),
    Column::new("ERROR").least(12).leaves(1),
];

fn run_row(run: &run::Model) -> [Cell; 8] {
    let number = |number: i64| Cell::from(show::number(number.unsigned_abs()));
    [
        show::instant(Some(run.queued_at)).into(),
        state(run),
        number(run.events_new),
        number(run.events_changed),
        number(run.events_gone),
        number(run.events_held),
        number(run.set_aside),
        Cell::from(run.error.clone().unwrap_or_default()),
    ]
}

async fn pause(options: ProviderPause) -> anyhow::Result<()> {
    let name = &options.named.name;
    let db = start::database(&options.named.database).await?;
    let found = provider::pause(&db, name, &options.reason, &whoami()).await?;
    db.close().await;
    done(found, &options.named, "paused")
}

/// Who gives the command, for those who wonder later.
fn whoami() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| "someone".to_owned());
    format!("{user} on {}", crate::start::host_name())
}

async fn resume(options: ProviderNamed) -> anyhow::Result<()> {
    let db = start::database(&options.database).await?;
    let found = provider::resume(&db, &options.name).await?;
    db.close().await;
    done(found, &options, "resumed")
}

async fn remove(options: ProviderRemove) -> anyhow::Result<()> {
    let name = &options.named.name;
    let db = start::database(&options.named.database).await?;
    let (found, verb) = if options.purge {
        (provider::purge(&db, name).await?, "purged")
    } else {
        (provider::retire(&db, name).await?, "removed")
    };
    db.close().await;
    done(found, &options.named, verb)
}

fn done(found: Found, options: &ProviderNamed, verb: &str) -> anyhow::Result<()> {
    let name = &options.name;
    if found == Found::No {
        bail!("{}", unknown(name));
    }
    if options.json {
        return show::json(&json!({ "provider": name, "done": verb }));
    }
    show::line(&format!("{verb} {name}"));
    Ok(())
}

pub(crate) fn unknown(name: &str) -> String {
    format!("there is no provider `{name}`: `fanfare provider list` tells which there are")
}

/// The provider of that name, or an error that says where to look.
pub(crate) async fn existing(db: &Database, name: &str) -> anyhow::Result<provider::Model> {
    provider::by_name(&db.read, name)
        .await?
        .filter(|provider| provider.retired_at.is_none())
        .with_context(|| unknown(name))
}
