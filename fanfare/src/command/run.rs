//! `fanfare run …`: what ran and what is running.

mod stages;

use anyhow::Context;
use chrono::{DateTime, Utc};
use entity::run::{self, Filter, Listed, Model, Outcome, State};
use entity::{Database, clock, set_aside};
use serde::Serialize;

use crate::cli::{Run, RunList, RunShow};
use crate::command::findings::{self, Item};
use crate::show::{self, Cell, Column, Tone};
use crate::start;

/// Runs one of the subcommands.
pub(crate) async fn run(command: Run) -> anyhow::Result<()> {
    match command {
        Run::List(options) => list(options).await,
        Run::Show(options) => show(options).await,
    }
}

async fn list(options: RunList) -> anyhow::Result<()> {
    let db = start::database(&options.database).await?;
    let filter = Filter {
        provider: options.provider,
        open: options.open,
        limit: options.limit,
    };
    let runs = run::list(&db.read, &filter).await?;
    let now = clock::now(&db.read).await?;
    db.close().await;
    if options.json {
        return show::json(&runs);
    }
    let rows: Vec<_> = runs.iter().map(|listed| row(listed, now)).collect();
    show::table(&COLUMNS, &rows);
    Ok(())
}

const COLUMNS: [Column; 10] = [
    Column::new("ID"),
    Column::new("PROVIDER").least(12),
    Column::new("STATE"),
    Column::new("QUEUED").leaves(0),
    Column::new("AGE"),
    Column::number("TOOK").leaves(5),
    Column::number("NEW").leaves(3),
    Column::number("CHANGED").leaves(2),
    Column::number("GONE").leaves(1),
    Column::new("ERROR").least(12).leaves(4),
];

fn row(listed: &Listed, now: DateTime<Utc>) -> [Cell; 10] {
    let run = &listed.run;
    let number = |number: i64| Cell::from(show::number(number.unsigned_abs()));
    [
        Cell::from(run.id.to_string()),
        listed.provider.as_str().into(),
        state(run),
        show::instant(Some(run.queued_at)).into(),
        show::from_now(run.queued_at, now).into(),
        took(run).into(),
        number(run.events_new),
        number(run.events_changed),
        number(run.events_gone),
        Cell::from(run.error.clone().unwrap_or_default()),
    ]
}

/// A run's outcome, or its state while it has none.
pub(crate) fn standing(run: &Model) -> String {
    match run.outcome {
        Some(outcome) => outcome.to_string(),
        None => run.state.to_string(),
    }
}

/// The same, as it looks in a table.
pub(crate) fn state(run: &Model) -> Cell {
    let tone = match (run.outcome, run.state) {
        (Some(Outcome::Stored), _) => Tone::Good,
        (Some(Outcome::Unchanged), _) | (None, State::Queued) => Tone::Plain,
        (Some(Outcome::Failed), _) => Tone::Bad,
        (Some(_), _) => Tone::Warning,
        (None, _) => Tone::Busy,
    };
    Cell::new(standing(run), tone)
}

fn took(run: &Model) -> String {
    match (run.started_at, run.finished_at) {
        (Some(started), Some(finished)) => show::took_ms((finished - started).num_milliseconds()),
        _ => String::new(),
    }
}

async fn show(options: RunShow) -> anyhow::Result<()> {
    let db = start::database(&options.database).await?;
    let listed = run::by_id(&db.read, options.id).await?.with_context(|| {
        format!(
            "there is no run {}: `fanfare run list` tells which there are; old ones are pruned",
            options.id
        )
    })?;
    let Listed { provider, run } = listed;
    let findings = if options.json {
        Findings::whole(&db, run).await?
    } else {
        Findings::of(&db, run).await?
    };
    db.close().await;
    if options.json {
        let shown = Shown {
            provider: &provider,
            trace_id: trace_id(&findings.run),
            findings: &findings,
        };
        return show::json(&shown);
    }
    show::pairs(&pairs(&provider, &findings.run));
    stages::print(&findings.run);
    findings.print("of its feed");
    Ok(())
}

#[derive(Serialize)]
struct Shown<'a> {
    provider: &'a str,
    trace_id: Option<String>,
    #[serde(flatten)]
    findings: &'a Findings,
}

fn pairs(provider: &str, run: &Model) -> Vec<(&'static str, Cell)> {
    let or_none = |text: Option<String>| Cell::from(text.unwrap_or_else(|| "none".to_owned()));
    let number = |number: i64| Cell::from(show::number(number.unsigned_abs()));
    let instant = |at| Cell::from(show::instant(at));
    vec![
        ("run", run.id.to_string().into()),
        ("provider", provider.into()),
        ("state", state(run)),
        ("worker", or_none(run.worker.clone())),
        ("queued", instant(Some(run.queued_at))),
        (
            "pushed",
            show::count(run.push_count.unsigned_abs(), "time").into(),
        ),
        ("started", instant(run.started_at)),
        ("finished", instant(run.finished_at)),
        (
            "accept gone",
            if run.accept_gone { "yes" } else { "no" }.into(),
        ),
        (
            "HTTP status",
            or_none(run.http_status.map(|status| status.to_string())),
        ),
        (
            "wire bytes",
            run.wire_bytes.map_or_else(|| or_none(None), number),
        ),
        ("bytes", run.bytes.map_or_else(|| or_none(None), number)),
        ("new", number(run.events_new)),
        ("changed", number(run.events_changed)),
        ("unchanged", number(run.events_unchanged)),
        ("gone", number(run.events_gone)),
        ("held", number(run.events_held)),
        ("returned", number(run.events_returned)),
        ("set aside", number(run.set_aside)),
        ("warnings", number(run.warnings)),
        ("error", or_none(run.error.clone())),
        ("trace", trace(run).into()),
    ]
}

/// The trace to look for where traces are kept, as the run's lines in the log have it.
fn trace_id(run: &Model) -> Option<String> {
    telemetry::trace_id_of(run.traceparent.as_deref()?)
}

/// What finds a run in its trace and in the logs of all processes.
fn trace(run: &Model) -> String {
    trace_id(run).map_or_else(
        || "none".to_owned(),
        |id| format!("{id}  (look for it where traces go, and as trace_id in the logs)"),
    )
}

/// A run with what it set aside.
#[derive(Debug, Serialize)]
pub(crate) struct Findings {
    #[serde(flatten)]
    run: Model,
    set_aside_items: Vec<set_aside::Model>,
}

/// Items set aside that a person is shown.
const FEW: u64 = 5;

impl Findings {
    /// The first few items.
    pub(crate) async fn of(db: &Database, run: Model) -> anyhow::Result<Self> {
        Self::up_to(db, run, FEW).await
    }

    /// All items that are kept.
    async fn whole(db: &Database, run: Model) -> anyhow::Result<Self> {
        Self::up_to(db, run, i64::MAX.unsigned_abs()).await
    }

    async fn up_to(db: &Database, run: Model, limit: u64) -> anyhow::Result<Self> {
        let set_aside_items = set_aside::of_run(&db.read, run.id, limit).await?;
        Ok(Self {
            run,
            set_aside_items,
        })
    }

    /// What was wrong with the feed, for a person; nothing if nothing was.
    pub(crate) fn print(&self, of: &str) {
        let set_aside = findings::stored(self.run.set_aside_reasons.as_ref());
        let heading = format!("Set aside {of}, by reason:");
        findings::reasons(&heading, &set_aside, findings::why_set_aside);
        let items: Vec<_> = self.set_aside_items.iter().map(item).collect();
        findings::items(&items, self.run.set_aside.unsigned_abs());
        let warnings = findings::stored(self.run.warning_reasons.as_ref());
        let heading = format!("Warnings {of}, by reason:");
        findings::reasons(&heading, &warnings, findings::why_warned);
    }
}

fn item(item: &set_aside::Model) -> Item<'_> {
    Item {
        position: item.position.unsigned_abs(),
        path: &item.path,
        reason: &item.reason,
        snippet: &item.snippet,
    }
}
