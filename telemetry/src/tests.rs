use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_sdk::error::OTelSdkError;
use tracing::subscriber::DefaultGuard;
use tracing::{Instrument, info, info_span};

use super::*;
use crate::counted::Outage;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn config(export: Export) -> Config {
    Config {
        service_name: "fanfare-test".to_owned(),
        service_version: "1.2.3".to_owned(),
        instance_id: "one".to_owned(),
        log_format: LogFormat::Json,
        log_filter: "info".to_owned(),
        export,
    }
}

fn exporting(base: &str) -> Config {
    // As the binary does at its start; another test of this process may have done so.
    drop(rustls::crypto::ring::default_provider().install_default());
    config(Export {
        traces: Destination::To(base.to_owned()),
        metrics: Destination::To(base.to_owned()),
    })
}

/// The subscriber of this thread only: `init` would be every test's.
fn start(config: &Config) -> (Log, Guard, DefaultGuard) {
    start_with(config, Look::Json)
}

fn start_with(config: &Config, look: Look) -> (Log, Guard, DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let metrics = measure(config, &Registry::new()).unwrap();
    let (subscriber, guard) = build(config, metrics, look, move || writer.clone()).unwrap();
    (log, guard, tracing::subscriber::set_default(subscriber))
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let log = self.0.lock().unwrap();
        let lines = log.split(|byte| *byte == b'\n').filter(|l| !l.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes what is posted to it, and keeps it by path.
#[derive(Clone)]
struct Receiver {
    base: String,
    bodies: Arc<Mutex<HashMap<String, Vec<u8>>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            bodies: Arc::default(),
        };
        let taking = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let taking = taking.clone();
                thread::spawn(move || taking.serve(stream.unwrap()));
            }
        });
        receiver
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap() == 0 {
                    return;
                }
            }
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let mut body = vec![0; lengths.next().unwrap().1.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            self.bodies().entry(path).or_default().extend(body);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            reader.get_mut().write_all(answer).unwrap();
        }
    }

    fn bodies(&self) -> MutexGuard<'_, HashMap<String, Vec<u8>>> {
        self.bodies.lock().unwrap()
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn spans_reach_the_receiver_on_shutdown() {
    let receiver = Receiver::start();
    let (_log, guard, _default) = start(&exporting(&receiver.base));

    info_span!("sync", provider = "primary").in_scope(|| info!("stored"));
    guard.shutdown().await;

    let bodies = receiver.bodies();
    let traces = bodies.get("/v1/traces").expect("spans were posted");
    for text in ["sync", "primary", "stored", "fanfare-test", "1.2.3"] {
        assert!(contains(traces, text), "{text}");
    }
}

#[tokio::test]
async fn log_filter_does_not_filter_spans() {
    let receiver = Receiver::start();
    let mut config = exporting(&receiver.base);
    config.log_filter = "error".to_owned();
    let (log, guard, _default) = start(&config);

    info_span!("sync").in_scope(|| info!("stored"));
    guard.shutdown().await;

    assert!(log.lines().is_empty());
    assert!(contains(&receiver.bodies()["/v1/traces"], "sync"));
}

#[tokio::test]
async fn receiver_that_is_gone_fails_nothing() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let (_log, guard, _default) = start(&exporting(&base));
    info_span!("sync").in_scope(|| {});

    let begun = Instant::now();
    guard.shutdown().await;
    assert!(begun.elapsed() < FLUSHED_WITHIN + Duration::from_secs(1));
}

#[tokio::test]
async fn receiver_that_never_answers_is_waited_for_until_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", silent.local_addr().unwrap());
    let (log, guard, _default) = start(&exporting(&base));
    info_span!("sync").in_scope(|| {});

    let begun = Instant::now();
    guard.shutdown_within(Duration::from_millis(300)).await;
    let took = begun.elapsed();

    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    let said = log.lines();
    let said = said.last().expect("a warning");
    assert_eq!(said["level"], "WARN");
}

#[test]
fn outage_of_a_receiver_is_told_once_and_so_is_its_end() {
    let (log, _guard, _default) = start(&config(Export::off()));
    let outage = Outage::of("traces");
    let failed = || Err(OTelSdkError::InternalFailure("nobody listens".to_owned()));
    for result in [Ok(()), failed(), failed(), Ok(()), Ok(()), failed()] {
        outage.note(&result);
    }
    let lines = log.lines();
    let told: Vec<_> = lines.iter().map(|line| &line["level"]).collect();
    assert_eq!(told, ["WARN", "INFO", "WARN"]);
    let said = lines[0]["error"].as_str().unwrap();
    assert!(said.contains("nobody listens"), "{said}");
}

#[tokio::test]
async fn json_lines_carry_the_ids_of_their_span_although_nothing_is_exported() {
    let (log, guard, _default) = start(&config(Export::off()));

    info!("outside");
    let run = async {
        info!(events = 3, "inside");
        trace_id().unwrap()
    };
    let id = run.instrument(info_span!("sync", provider = "primary"));
    let id = id.await;
    guard.shutdown().await;

    let lines = log.lines();
    assert_eq!(lines[0]["message"], "outside");
    assert!(lines[0].get("trace_id").is_none());
    assert_eq!(lines[1]["message"], "inside");
    assert_eq!(lines[1]["events"], 3);
    assert_eq!(lines[1]["span"]["provider"], "primary");
    assert_eq!(lines[1]["trace_id"], id);
    assert_eq!(lines[1]["span_id"].as_str().unwrap().len(), 16);
}

#[tokio::test]
async fn lines_for_people_end_with_the_beginning_of_their_trace_id() {
    let (log, _guard, _default) = start_with(&config(Export::off()), Look::Plain);
    info!("outside");
    let id = info_span!("sync").in_scope(|| {
        info!(events = 3, "inside\u{1b}[2J");
        trace_id().unwrap()
    });
    let log = log.text();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].ends_with(": outside"), "{log}");
    assert!(
        lines[1].ends_with(&format!(" events=3 trace={}", &id[..8])),
        "{log}"
    );
    assert!(!log.contains('\u{1b}'), "{log:?}");
}

#[tokio::test]
async fn trace_goes_through_a_traceparent_and_back() {
    let (_log, _guard, _default) = start(&config(Export::off()));
    assert_eq!(current_trace_context(), None);
    assert_eq!(trace_id(), None);

    let consumer = info_span!("process");
    assert!(set_parent(&consumer, Some(PARENT), Some("vendor=1")));
    let sent = consumer.in_scope(|| current_trace_context().unwrap());

    assert_eq!(sent.tracestate.as_deref(), Some("vendor=1"));
    let parts: Vec<_> = sent.traceparent.split('-').collect();
    assert_eq!(parts[1], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_ne!(parts[2], "00f067aa0ba902b7");
    assert_eq!(consumer.in_scope(traceparent), Some(sent.traceparent));
}

#[tokio::test]
async fn bad_or_late_parent_leaves_the_span_where_it_is() {
    let (_log, _guard, _default) = start(&config(Export::off()));
    for bad in [None, Some(""), Some("00-0-0-01"), Some("nonsense")] {
        let span = info_span!("process");
        assert!(!set_parent(&span, bad, None));
        assert!(span.in_scope(trace_id).is_some());
    }

    let entered = info_span!("process");
    let id = entered.in_scope(trace_id);
    assert!(!set_parent(&entered, Some(PARENT), None));
    assert_eq!(entered.in_scope(trace_id), id);
}

#[test]
fn bad_log_filter_is_refused_by_name() {
    let mut config = config(Export::off());
    config.log_filter = "fanfare=loud".to_owned();
    let metrics = measure(&config, &Registry::new()).unwrap();
    let refused = build(&config, metrics, Look::Json, io::sink).map(drop);
    assert_eq!(
        refused.unwrap_err().to_string(),
        "log filter `fanfare=loud`"
    );
}

#[test]
fn log_is_for_people_only_in_a_terminal_unless_asked_for() {
    assert_eq!(Look::new(LogFormat::Auto, true), Look::Coloured);
    assert_eq!(Look::new(LogFormat::Auto, false), Look::Json);
    assert_eq!(Look::new(LogFormat::Human, false), Look::Plain);
    assert_eq!(Look::new(LogFormat::Json, true), Look::Json);
}
