//! Receivers of OTLP that others wrote: `oteltap` by HTTP, `rotel` by gRPC. Each prints what it takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::{Process, eventually};

use crate::world::PATIENCE;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Http,
    Grpc,
}

impl Transport {
    /// As `OTEL_EXPORTER_OTLP_PROTOCOL` has it.
    pub(super) fn protocol(self) -> &'static str {
        match self {
            Self::Http => "http/protobuf",
            Self::Grpc => "grpc",
        }
    }
}

/// A span as it arrived.
#[derive(Debug, Clone, Default)]
pub(super) struct Span {
    pub(super) trace: String,
    pub(super) id: String,
    /// Empty for a trace's first.
    pub(super) parent: String,
    pub(super) name: String,
    /// Such as `server`.
    pub(super) kind: String,
    pub(super) attributes: BTreeMap<String, String>,
}

pub(super) struct Receiver {
    process: Process,
    transport: Transport,
    pub(super) endpoint: String,
}

impl Receiver {
    /// `None`, after a notice, where it can't be had.
    pub(super) async fn start(transport: Transport) -> Option<Self> {
        let programs = installed().await?;
        let port = testkit::free_port();
        let (mut command, ready) = match transport {
            Transport::Http => {
                let mut command = Command::new(programs.join("oteltap"));
                command.args(["--port", &port.to_string()]);
                command.env("PYTHONUNBUFFERED", "1");
                (command, "Listening")
            }
            Transport::Grpc => {
                let mut command = Command::new(programs.join("rotel"));
                let http = testkit::free_port();
                command.args(["start", "--exporter", "blackhole", "--debug-log", "traces"]);
                command.args(["--debug-log-verbosity", "detailed"]);
                command.args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{port}")]);
                command.args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")]);
                (command, "Starting Rotel")
            }
        };
        // It may keep files of its own where it is.
        let folder = std::env::temp_dir();
        let process = Process::start(command.current_dir(folder));
        process
            .wait_for_line(|line| line.contains(ready), PATIENCE)
            .await;
        eventually(PATIENCE, "the receiver listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok()
        })
        .await;
        Some(Self {
            process,
            transport,
            endpoint: format!("http://127.0.0.1:{port}"),
        })
    }

    /// A trace's spans, once so many have come.
    pub(super) async fn trace(&self, trace: &str, count: usize) -> Vec<Span> {
        let what = format!("{count} spans of {trace} come");
        eventually(PATIENCE, what, async || {
            let mut spans = self.spans();
            spans.retain(|span| span.trace == trace);
            (spans.len() >= count).then_some(spans)
        })
        .await
    }

    /// All that have come.
    pub(super) fn spans(&self) -> Vec<Span> {
        let lines = self.process.lines();
        match self.transport {
            Transport::Http => lines.iter().filter_map(|line| of_json(line)).collect(),
            Transport::Grpc => of_text(&lines),
        }
    }
}

/// The receivers' programs.
async fn installed() -> Option<std::path::PathBuf> {
    const MISSING: i32 = 3;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/receivers/install");
    let output = tokio::process::Command::new(script)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let notice = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(MISSING) {
        #[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
        {
            eprintln!("SKIPPED: {notice}");
        }
        return None;
    }
    assert!(output.status.success(), "{notice}");
    let folder = String::from_utf8(output.stdout).unwrap();
    Some(Path::new(folder.trim()).join("bin"))
}

/// A span as `oteltap` prints it: a line each, in OTLP's JSON form.
fn of_json(line: &str) -> Option<Span> {
    let span: Value = serde_json::from_str(line).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let attributes = span["attributes"].as_array()?.iter().map(|attribute| {
        let value = attribute["value"].as_object().and_then(|value| {
            let value = value.values().next()?;
            Some(text(value).unwrap_or_else(|| value.to_string()))
        });
        Some((text(&attribute["key"])?, value?))
    });
    Some(Span {
        trace: text(&span["traceId"])?,
        id: text(&span["spanId"])?,
        parent: text(&span["parentSpanId"])?,
        name: text(&span["name"])?,
        kind: kind(&text(&span["kind"]).unwrap_or_else(|| span["kind"].to_string())),
        attributes: attributes.collect::<Option<_>>()?,
    })
}

/// A kind of span, which OTLP has as a name or as a number.
fn kind(text: &str) -> String {
    let name = match text {
        "1" => "internal",
        "2" => "server",
        "3" => "client",
        "4" => "producer",
        "5" => "consumer",
        name => name.trim_start_matches("SPAN_KIND_"),
    };
    name.to_lowercase()
}

/// Spans as `rotel` prints them: a line for each thing that it knows of one. Attributes come after
/// the word, until the next one; those of events and links are not the span's.
fn of_text(lines: &[String]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut of_span = false;
    for line in lines {
        let line = line.trim();
        if line.starts_with("Span #") {
            spans.push(Span::default());
            of_span = false;
            continue;
        }
        let Some(span) = spans.last_mut() else {
            continue;
        };
        if line.starts_with("Attributes") {
            of_span = true;
        } else if let Some(attribute) = line.strip_prefix("-> ") {
            let (key, value) = attribute.split_once(": ").unwrap_or((attribute, ""));
            if of_span {
                let value = value.split_once('(').map_or(value, |(_, value)| value);
                let value = value.trim_end_matches(')').trim_matches('"');
                span.attributes.insert(key.to_owned(), value.to_owned());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            let value = value.trim().to_owned();
            match key.trim() {
                "Trace ID" => span.trace = value,
                "ID" => span.id = value,
                "Parent ID" => span.parent = value,
                "Name" if span.name.is_empty() => span.name = value,
                "Kind" => span.kind = kind(&value),
                _ => of_span = false,
            }
        } else {
            of_span = false;
        }
    }
    spans
}
