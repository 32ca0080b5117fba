//! Searches that nobody has made before, beside the database alone.

use anyhow::{Context, ensure};
use chrono::{DateTime, SecondsFormat};
use uuid::Uuid;

use super::dataset::{FIRST, SEARCH};
use super::figures::Figures;
use super::meter::Meter;
use super::pgbench;
use super::statement::Statement;
use super::verdict::Verdict;
use super::world::{World, p99_ms, rate};
use super::wrk::Requests;
use crate::show;

const RESULTS: usize = 20;
/// One more tells whether there is another page.
const ROWS: usize = RESULTS + 1;
const AT_LEAST: f64 = 0.35;
/// An event is never shorter as JSON.
const LEAST_BYTES: f64 = 150.0;

pub(super) async fn run(world: &World, verdict: &mut Verdict) -> anyhow::Result<()> {
    let what = "uncached, 20 results";
    let statement = statement(world).await?;
    let script = world.file("search.sql");
    let text = pgbench::script(world.dataset, &statement, ROWS);
    std::fs::write(&script, text).context("can't write pgbench's script")?;
    let program = pgbench::program(world.postgres())?;
    let seconds = world.options.seconds;
    let requests = Requests::Distinct { results: RESULTS };
    world.warm_up(&world.api, &requests, &[]).await?;
    pgbench::run(&program, &script, &world.url, 1).await?;
    let mut ours = Vec::new();
    let mut limit = Vec::new();
    let mut alone = None;
    for _ in 0..world.options.rounds {
        let load = world.load(&world.api, &requests, &[]).await?;
        verdict.clean(what, &load.told);
        let bytes = load.told.bytes_each();
        if bytes < LEAST_BYTES * RESULTS as f64 {
            verdict.wrong(what, &format!("{bytes:.0} bytes an answer"));
        }
        ours.push(load);
        let meter = Meter::start(None, world.postgres())?;
        limit.push(pgbench::run(&program, &script, &world.url, seconds).await?);
        alone = Some(meter.read(seconds.into())?);
    }
    let ratios: Figures = std::iter::zip(&ours, &limit)
        .map(|(load, limit)| load.told.rate() / limit)
        .collect();
    let held = verdict.at_least(what, ratios.median(), AT_LEAST);
    show::line(&format!(
        "{what:<26} {:.0}/s, p99 {:.1} ms; pgbench {:.0}/s; ratio {ratios}, {held}",
        rate(&ours),
        p99_ms(&ours),
        limit.into_iter().collect::<Figures>().median(),
    ));
    if let (Some(ours), Some(alone)) = (ours.last(), alone) {
        show::line(&format!("{:<26} CPU: {}; pgbench: {alone}", "", ours.cpu));
    }
    show::line(&format!("{:<26} statement: {}", "", statement.text()));
    Ok(())
}

/// The statement behind a page, which must find what the API answers with.
async fn statement(world: &World) -> anyhow::Result<Statement> {
    let span = world.dataset.span(ROWS);
    let mut statement = None;
    for second in [0, 1, span / 3 + 7, span - 1].map(|second| FIRST + second) {
        let at = DateTime::from_timestamp(second, 0).context("no such time")?;
        let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let path = format!("{SEARCH}?starts_at={at}&limit={RESULTS}");
        let answer = world.client.get(&world.api.address, &path, &[]).await?;
        let answered: Vec<Uuid> = answer
            .good()?
            .events()?
            .iter()
            .map(|event| Ok(event["id"].as_str().context("no id")?.parse()?))
            .collect::<anyhow::Result<_>>()?;
        let read = match statement.take() {
            Some(read) => read,
            None => Statement::of_the_api(&world.url).await?,
        };
        let found = read.ids(&world.url, second, ROWS).await?;
        ensure!(
            found.len() == ROWS && answered == found[..RESULTS],
            "the API's statement does not find what it answers to {path}"
        );
        statement = Some(read);
    }
    statement.context("no page was read")
}
