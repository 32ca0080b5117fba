//! `fanfare run …`: what ran and what is running.

use anyhow::Context;
use entity::run::{self, Filter, Listed, Model};

use crate::cli::{Run, RunList, RunShow};
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
    db.close().await;
    if options.json {
        return show::json(&listed);
    }
    let run = &listed.run;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let ms = |ms: Option<i64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    for (label, value) in [
        ("run", run.id.to_string()),
        ("provider", listed.provider.clone()),
        ("state", state(run)),
        ("worker", or_none(run.worker.clone())),
        ("queued", show::instant(Some(run.queued_at))),
        ("pushed", show::count(run.push_count.unsigned_abs(), "time")),
        ("started", show::instant(run.started_at)),
        ("finished", show::instant(run.finished_at)),
        (
            "HTTP status",
            or_none(run.http_status.map(|status| status.to_string())),
        ),
        (
            "bytes",
            or_none(run.bytes.map(|bytes| show::number(bytes.unsigned_abs()))),
        ),
        ("new", run.events_new.to_string()),
        ("changed", run.events_changed.to_string()),
        ("unchanged", run.events_unchanged.to_string()),
        ("gone", run.events_gone.to_string()),
        ("returned", run.events_returned.to_string()),
        ("set aside", run.set_aside.to_string()),
        ("warnings", run.warnings.to_string()),
        ("fetch", ms(run.fetch_ms)),
        ("parse", ms(run.parse_ms)),
        ("compare", ms(run.compare_ms)),
        ("trace", or_none(run.traceparent.clone())),
        ("error", or_none(run.error.clone())),
    ] {
        show::line(&format!("{label:12} {value}"));
    }
    Ok(())
}
