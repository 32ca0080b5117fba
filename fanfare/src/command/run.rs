//! `fanfare run …`: what ran and what is running.

use anyhow::Context;
use entity::run::{self, Filter, Listed, Model};
use entity::{Database, set_aside};
use serde::Serialize;

use crate::cli::{Run, RunList, RunShow};
use crate::command::findings::{self, Item};
use crate::{show, start};

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
    db.close().await;
    if options.json {
        return show::json(&runs);
    }
    let rows: Vec<_> = runs.iter().map(row).collect();
    let headings = [
        "ID", "PROVIDER", "STATE", "QUEUED", "TOOK", "NEW", "CHANGED", "GONE", "ERROR",
    ];
    show::table(headings, &rows);
    Ok(())
}

fn row(listed: &Listed) -> [String; 9] {
    let run = &listed.run;
    [
        run.id.to_string(),
        listed.provider.clone(),
        state(run),
        show::instant(Some(run.queued_at)),
        took(run),
        run.events_new.to_string(),
        run.events_changed.to_string(),
        run.events_gone.to_string(),
        run.error.clone().unwrap_or_default(),
    ]
}

/// A run's outcome, or its state while it has none.
pub(crate) fn state(run: &Model) -> String {
    match run.outcome {
        Some(outcome) => outcome.to_string(),
        None => run.state.to_string(),
    }
}

fn took(run: &Model) -> String {
    match (run.started_at, run.finished_at) {
        (Some(started), Some(finished)) => {
            format!("{} ms", (finished - started).num_milliseconds())
        }
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

/// The trace to look for where traces are kept, as the run's lines in the log have it.
fn trace_id(run: &Model) -> Option<String> {
    telemetry::trace_id_of(run.traceparent.as_deref()?)
}

fn pairs(provider: &str, run: &Model) -> Vec<(&'static str, String)> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let ms = |ms: Option<i64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    let number = |number: i64| show::number(number.unsigned_abs());
    vec![
        ("run", run.id.to_string()),
        ("provider", provider.to_owned()),
        ("state", state(run)),
        ("worker", or_none(run.worker.clone())),
        ("queued", show::instant(Some(run.queued_at))),
        ("pushed", show::count(run.push_count.unsigned_abs(), "time")),
        ("started", show::instant(run.started_at)),
        ("finished", show::instant(run.finished_at)),
        (
            "accept gone",
            if run.accept_gone { "yes" } else { "no" }.to_owned(),
        ),
        (
            "HTTP status",
            or_none(run.http_status.map(|status| status.to_string())),
        ),
        ("wire bytes", or_none(run.wire_bytes.map(number))),
        ("bytes", or_none(run.bytes.map(number))),
        ("new", number(run.events_new)),
        ("changed", number(run.events_changed)),
        ("unchanged", number(run.events_unchanged)),
        ("gone", number(run.events_gone)),
        ("held", number(run.events_held)),
        ("returned", number(run.events_returned)),
        ("set aside", number(run.set_aside)),
        ("warnings", number(run.warnings)),
        ("fetch", ms(run.fetch_ms)),
        ("parse", ms(run.parse_ms)),
        ("compare", ms(run.compare_ms)),
        ("store", ms(run.store_ms)),
        ("trace", or_none(trace_id(run))),
        ("error", or_none(run.error.clone())),
    ]
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
