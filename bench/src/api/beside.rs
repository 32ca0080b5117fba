//! What the API has in its cache, beside axum alone with the same bytes.

use std::ops::RangeInclusive;

use anyhow::{Context, bail, ensure};
use axum::http::StatusCode;

use super::client::Answer;
use super::figures::Figures;
use super::server::Server;
use super::verdict::Verdict;
use super::world::{Loaded, World, p99_ms, rate};
use super::wrk::Requests;
use crate::show;

const CACHED: f64 = 0.8;
const NOT_MODIFIED: f64 = 0.75;
/// A head is never longer.
const HEAD_BYTES: f64 = 2_048.0;

/// The same search of so many results.
pub(super) async fn cached(
    world: &World,
    verdict: &mut Verdict,
    results: usize,
    encoding: Option<&str>,
) -> anyhow::Result<()> {
    let what = format!("cached, {results} results{}", shown(encoding));
    let path = world.dataset.window(world.dataset.events / 3, results);
    let headers: Vec<_> = encoding
        .map(|encoding| ("Accept-Encoding", encoding))
        .into_iter()
        .collect();
    let answer = warm_answer(world, &path, &headers).await?;
    if answer.header("content-encoding") != encoding {
        let found = answer.header("content-encoding");
        verdict.skipped(&what, &format!("the API's Content-Encoding is {found:?}"));
        return Ok(());
    }
    if encoding.is_none() {
        ensure!(
            answer.events()?.len() == results,
            "the window holds {} events",
            answer.events()?.len()
        );
    }
    let body = world.file("body");
    std::fs::write(&body, &answer.body).context("can't write the body")?;
    let mut arguments = vec!["bare-server".into(), "--body".into(), body.into_os_string()];
    if let Some(encoding) = encoding {
        arguments.extend(["--encoding".into(), encoding.into()]);
    }
    let bare = Server::start(arguments, &world.file("bare.log")).await?;
    let alone = world.client.get(&bare.address, &path, &headers).await?;
    same(&answer, &alone.good()?)?;
    let size = answer.body.len() as f64;
    let turns = Turns {
        what: &what,
        path: &path,
        headers: &headers,
        bytes: size..=f64::INFINITY,
        at_least: CACHED,
    };
    show::line(&format!("{what:<26} {:.1} kB each", size / 1e3));
    turns.run(world, &bare, verdict).await?;
    let after = world
        .client
        .get(&world.api.address, &path, &headers)
        .await?;
    same(&answer, &after.good()?)?;
    bare.stop().await
}

fn shown(encoding: Option<&str>) -> String {
    encoding.map_or_else(String::new, |encoding| format!(", {encoding}"))
}

/// The search of 20 results by whoever has its answer.
pub(super) async fn not_modified(world: &World, verdict: &mut Verdict) -> anyhow::Result<()> {
    let what = "not modified";
    let path = world.dataset.window(world.dataset.events / 3, 20);
    let answer = warm_answer(world, &path, &[]).await?;
    let Some(etag) = answer.header("etag") else {
        verdict.skipped(what, "the API sends no ETag");
        return Ok(());
    };
    let headers = [("If-None-Match", etag)];
    let body = world.file("body");
    std::fs::write(&body, &answer.body).context("can't write the body")?;
    let arguments = [
        "bare-server".into(),
        "--body".into(),
        body.into_os_string(),
        "--etag".into(),
        etag.into(),
    ];
    let bare = Server::start(arguments, &world.file("bare.log")).await?;
    for address in [&world.api.address, &bare.address] {
        let known = world.client.get(address, &path, &headers).await?;
        if known.status != StatusCode::NOT_MODIFIED || !known.body.is_empty() {
            bail!("a known ETag was answered with {}", known.status);
        }
    }
    let turns = Turns {
        what,
        path: &path,
        headers: &headers,
        // `wrk` takes a 200 as well.
        bytes: 0.0..=HEAD_BYTES,
        at_least: NOT_MODIFIED,
    };
    turns.run(world, &bare, verdict).await?;
    bare.stop().await
}

/// The answer that stands once the API had time to keep it.
async fn warm_answer(
    world: &World,
    path: &str,
    headers: &[(&str, &str)],
) -> anyhow::Result<Answer> {
    for _ in 0..3 {
        let answer = world.client.get(&world.api.address, path, headers).await?;
        answer.good()?;
    }
    let answer = world.client.get(&world.api.address, path, headers).await?;
    answer.good()
}

fn same(one: &Answer, other: &Answer) -> anyhow::Result<()> {
    ensure!(one.body == other.body, "the servers' bodies differ");
    for name in ["content-type", "content-encoding"] {
        ensure!(
            one.header(name) == other.header(name),
            "the servers' {name} differ"
        );
    }
    Ok(())
}

/// Rounds of the API and axum alone.
struct Turns<'a> {
    what: &'a str,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
    /// Of an answer, head included.
    bytes: RangeInclusive<f64>,
    at_least: f64,
}

impl Turns<'_> {
    async fn run(&self, world: &World, bare: &Server, verdict: &mut Verdict) -> anyhow::Result<()> {
        let requests = Requests::Same(self.path);
        for server in [&world.api, bare] {
            world.warm_up(server, &requests, self.headers).await?;
        }
        let mut ours = Vec::new();
        let mut limit = Vec::new();
        for round in 0..world.options.rounds {
            let mut turns = [(&world.api, &mut ours), (bare, &mut limit)];
            // Whoever comes second finds a warmer machine.
            if round % 2 == 1 {
                turns.reverse();
            }
            for (server, loaded) in turns {
                let load = world.load(server, &requests, self.headers).await?;
                self.check(&load, verdict);
                loaded.push(load);
            }
        }
        self.show(&ours, &limit, verdict);
        Ok(())
    }

    fn check(&self, load: &Loaded, verdict: &mut Verdict) {
        verdict.clean(self.what, &load.told);
        let bytes = load.told.bytes_each();
        if !self.bytes.contains(&bytes) {
            verdict.wrong(self.what, &format!("{bytes:.0} bytes an answer"));
        }
    }

    fn show(&self, ours: &[Loaded], limit: &[Loaded], verdict: &mut Verdict) {
        let ratios: Figures = std::iter::zip(ours, limit)
            .map(|(ours, limit)| ours.told.rate() / limit.told.rate())
            .collect();
        let what = self.what;
        let held = verdict.at_least(what, ratios.median(), self.at_least);
        show::line(&format!(
            "{what:<26} {:.0}/s, p99 {:.1} ms; axum alone {:.0}/s, p99 {:.1} ms; ratio {ratios}, {held}",
            rate(ours),
            p99_ms(ours),
            rate(limit),
            p99_ms(limit),
        ));
        if let (Some(ours), Some(limit)) = (ours.last(), limit.last()) {
            show::line(&format!(
                "{:<26} CPU: {}; axum alone: {}",
                "", ours.cpu, limit.cpu
            ));
        }
    }
}
