//! What a sync costs as the number of known providers grows.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use testkit::PostgresServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::path;
use crate::show;

const EVENTS: usize = 20;
/// Times that each size is measured, in turns.
const ROUNDS: usize = 3;

/// Measures `synced` syncs among each of two numbers of known providers.
pub(crate) async fn run(
    postgres: &PostgresServer,
    sizes: [usize; 2],
    synced: usize,
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let config = simulator::Config {
        providers: synced,
        events: EVENTS,
        bad_items: false,
        ..simulator::Config::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let simulator = simulator::start(listener, config, stop.clone());
    let mut costs = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (size, costs) in sizes.iter().zip(&mut costs) {
            let name = format!("growth_{size}_{round}");
            let db = path::with_providers(postgres, &name, &simulator).await?;
            db.write
                .execute_unprepared(&format!(
                    "INSERT INTO provider (name, url, host, format, interval_ms, timezone, \
                     timeout_ms, created_at, next_due_at, late_at) \
                     SELECT 'known-' || n, 'http://127.0.0.1:9/', 'known-' || n, 'plan-list', 900000, \
                     'UTC', 30000, now(), now() + make_interval(secs => n % 900 + 600), \
                     now() + make_interval(secs => n % 900 + 1500) FROM generate_series(1, {size}) n"
                ))
                .await?;
            db.write.execute_unprepared("ANALYZE").await?;
            costs.push(path::sequential(&db, synced).await?);
            db.close().await;
        }
    }
    stop.cancel();
    simulator.stopped().await;
    let [few, many] = costs.map(median);
    let each = |took: Duration| took.as_secs_f64() * 1000.0 / synced as f64;
    show::line(&format!(
        "growth: a sync takes {:.2} ms among {} known providers and {:.2} ms among {}; ratio {:.2} (at \
         most 1.50)",
        each(few),
        sizes[0],
        each(many),
        sizes[1],
        many.as_secs_f64() / few.as_secs_f64(),
    ));
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
