//! The same few searches while workers commit changes, beside a quiet database.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::figures::Figures;
use super::verdict::Verdict;
use super::world::{World, p50_ms, p99_ms, rate};
use super::writer;
use super::wrk::Requests;
use crate::show;

/// Different searches, of so many results each.
const SEARCHES: usize = 50;
const RESULTS: usize = 20;
/// Events that each commit changes.
const CHANGED: usize = 100;
const EVERY: Duration = Duration::from_secs(1);
const AT_MOST: f64 = 3.0;
const FRESH_WITHIN_MS: f64 = 500.0;
/// Gives up waiting for a fresh answer.
const NEVER: Duration = Duration::from_secs(20);

pub(super) async fn run(world: &World, verdict: &mut Verdict) -> anyhow::Result<()> {
    let what = "while events change";
    let mix = world.file("mix");
    let paths: Vec<String> = (0..SEARCHES)
        .map(|search| world.dataset.window(position(world, search), RESULTS))
        .collect();
    std::fs::write(&mix, paths.join("\n") + "\n")?;
    let requests = Requests::Mix(&mix);
    let mut writer = Writer::new(world, &paths[0])?;
    world.warm_up(&world.api, &requests, &[]).await?;
    let mut quiet = Vec::new();
    let mut busy = Vec::new();
    let mut fresh = Vec::new();
    for _ in 0..world.options.rounds {
        let load = world.load(&world.api, &requests, &[]).await?;
        verdict.clean("quiet", &load.told);
        quiet.push(load);
        let stop = CancellationToken::new();
        let load = async {
            let load = world.load(&world.api, &requests, &[]).await;
            stop.cancel();
            load
        };
        let (load, times) = tokio::join!(load, writer.write_until(&stop));
        let load = load?;
        verdict.clean(what, &load.told);
        busy.push(load);
        fresh.extend(times?);
    }
    let ratios: Figures = std::iter::zip(&busy, &quiet)
        .map(|(busy, quiet)| busy.told.p99_ms() / quiet.told.p99_ms())
        .collect();
    let held = verdict.at_most(what, ratios.median(), AT_MOST);
    for (what, loads) in [("quiet, 50 searches", &quiet), (what, &busy)] {
        show::line(&format!(
            "{what:<26} {:.0}/s, p50 {:.2} ms, p99 {:.2} ms",
            rate(loads),
            p50_ms(loads),
            p99_ms(loads),
        ));
        if let Some(load) = loads.last() {
            show::line(&format!("{:<26} CPU: {}", "", load.cpu));
        }
    }
    show::line(&format!("{:<26} ratio of p99 {ratios}, {held}", ""));
    let fresh: Figures = fresh.into_iter().collect();
    let held = verdict.at_most("ms to a fresh answer", fresh.most(), FRESH_WITHIN_MS);
    show::line(&format!(
        "{:<26} {} commits of {CHANGED} changes; ms from commit to fresh answer {fresh}, {held}",
        "",
        fresh.len(),
    ));
    Ok(())
}

/// Windows that do not overlap, as far as there is room.
fn position(world: &World, search: usize) -> usize {
    search * (world.dataset.events - RESULTS) / SEARCHES
}

/// Commits changes, and looks out for them.
struct Writer<'a> {
    world: &'a World,
    /// A search, and the number of the first event in it, which every commit changes.
    path: &'a str,
    first: usize,
    edition: i64,
}

impl<'a> Writer<'a> {
    /// `path` is the search at the beginning of the timeline.
    fn new(world: &'a World, path: &'a str) -> anyhow::Result<Self> {
        let dataset = world.dataset;
        let first = (0..dataset.events)
            .find(|number| dataset.position(*number) == 0)
            .context("there is no first event")?;
        Ok(Self {
            world,
            path,
            first,
            edition: 0,
        })
    }

    /// Gives the milliseconds from each commit to the first answer that shows it.
    async fn write_until(&mut self, stop: &CancellationToken) -> anyhow::Result<Vec<f64>> {
        let mut times = Vec::new();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The load has to be there first.
        ticks.tick().await;
        tokio::time::sleep(EVERY / 4).await;
        while !stop.is_cancelled() {
            let version = self.commit().await?;
            times.push(self.until_fresh(version).await?.as_secs_f64() * 1e3);
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(times)
    }

    async fn commit(&mut self) -> anyhow::Result<i64> {
        self.edition += 1;
        let dataset = self.world.dataset;
        let contents = (0..CHANGED)
            .map(|at| (self.first + at * (dataset.events / CHANGED)) % dataset.events)
            .map(|number| dataset.content(number, self.edition))
            .collect();
        writer::store(&self.world.db, contents, true).await
    }

    async fn until_fresh(&self, version: i64) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let expected = self.world.dataset.content(self.first, self.edition);
        let address = &self.world.api.address;
        while started.elapsed() < NEVER {
            let answer = self.world.client.get(address, self.path, &[]).await?;
            let answer = answer.good()?;
            if answer.version()? >= version {
                let took = started.elapsed();
                let shown = answer.events()?[0]["min_price"].as_f64();
                let shown = shown.context("no price")?;
                ensure!(
                    Some((shown * 10_000.0).round() as i64) == expected.min_price,
                    "an answer of version {version} shows an older price"
                );
                return Ok(took);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bail!("no answer of version {version} within {NEVER:?}")
    }
}
