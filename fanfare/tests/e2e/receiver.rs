//! A receiver of telemetry that goes away and comes back.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use testkit::Signal;

use crate::feed::{Feeds, upcoming};
use crate::http::Api;
use crate::world::{PATIENCE, World, on_both_databases, stop};

on_both_databases!(a_receiver_that_is_lost_slows_nothing_and_is_counted);

const EXPORT_TIMEOUT: Duration = Duration::from_millis(200);
const REQUESTS: u32 = 200;

/// Takes everything, or answers nobody.
struct Receiver {
    base: String,
    answers: Arc<AtomicBool>,
}

impl Receiver {
    async fn silent() -> Self {
        let answers = Arc::new(AtomicBool::new(false));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::clone(&answers);
        let router = Router::new().fallback(async move || {
            if !asked.load(Relaxed) {
                std::future::pending::<()>().await;
            }
            StatusCode::OK
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, answers }
    }
}

async fn a_receiver_that_is_lost_slows_nothing_and_is_counted(world: World) {
    let receiver = Receiver::silent().await;
    let feeds = Feeds::start();
    feeds.set("north", upcoming(3, "A show"));
    let world = world
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.base)
        .with(
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            &EXPORT_TIMEOUT.as_millis().to_string(),
        )
        .with("OTEL_BSP_MAX_QUEUE_SIZE", "32")
        .with("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
        .with("OTEL_BSP_SCHEDULE_DELAY", "50")
        .with("OTEL_METRIC_EXPORT_INTERVAL", "200");
    world.apply(&[("north", &feeds.url("north"))]).await;
    let serving = world.all().await;
    let api = &serving.api;

    // More spans than are kept, while nobody takes one. Who waited for the receiver would wait for an
    // export's whole timeout each time.
    world.sync("north").await;
    let begun = Instant::now();
    for _ in 0..REQUESTS {
        assert_eq!(api.get("/v1/providers").await.status, 200);
    }
    assert!(begun.elapsed() < EXPORT_TIMEOUT * REQUESTS / 4);
    let dropped = [
        "otel_sdk_processor_span_processed_total",
        r#"error_type="queue_full""#,
    ];
    counted(api, &dropped).await;
    counted(
        api,
        &["otel_sdk_exporter_span_exported_total", "error_type="],
    )
    .await;
    counted(
        api,
        &[
            "otel_sdk_exporter_metric_data_point_exported_total",
            "error_type=",
        ],
    )
    .await;

    let lost =
        |line: &&String| line.contains("telemetry is not taken") && line.contains(r#""traces""#);
    assert_eq!(serving.process.lines().iter().filter(lost).count(), 1);
    receiver.answers.store(true, Relaxed);
    let back = |line: &str| line.contains("telemetry is taken again") && line.contains("traces");
    serving.process.wait_for_line(back, PATIENCE).await;
    world.sync("north").await;
    stop(&serving.process, Signal::TERM).await;
    let lines = serving.process.lines();
    let others = |line: &&String| line.contains("opentelemetry");
    assert_eq!(lines.iter().find(others), None);
}

/// Waits until a series with these parts of its line counts something.
async fn counted(api: &Api, parts: &[&str]) {
    let counts = |text: &str| {
        let has = |line: &&str| parts.iter().all(|part| line.contains(part));
        let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
        text.lines()
            .filter(has)
            .any(|line| value(line).is_some_and(|value| value > 0.0))
    };
    let waiting = async {
        while !counts(&api.get("/metrics").await.body) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| panic!("{parts:?} counts nothing"));
}
