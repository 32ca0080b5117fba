//! How log lines look.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, layer};
use tracing_subscriber::registry::LookupSpan;

use crate::LogFormat;
use crate::context::current_span_context;

/// What a [`LogFormat`] comes to where the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Coloured,
    Plain,
    Json,
}

impl Look {
    pub(crate) fn new(format: LogFormat, terminal: bool) -> Self {
        match (format, terminal) {
            (LogFormat::Auto | LogFormat::Human, true) => Self::Coloured,
            (LogFormat::Human, false) => Self::Plain,
            (LogFormat::Auto, false) | (LogFormat::Json, _) => Self::Json,
        }
    }
}

/// The layer that writes events; `NO_COLOR` is heeded.
pub(crate) fn layer_for<S, W>(look: Look, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    match look {
        Look::Coloured => layer().with_writer(writer).boxed(),
        Look::Plain => layer().with_writer(writer).with_ansi(false).boxed(),
        Look::Json => {
            let json = Format::default().json().flatten_event(true);
            layer()
                .fmt_fields(JsonFields::new())
                .event_format(WithTraceIds(json.with_span_list(false)))
                .with_writer(writer)
                .boxed()
        }
    }
}

/// JSON lines with the ids of the span that they were written in.
struct WithTraceIds(Format<Json>);

impl<S, N> FormatEvent<S, N> for WithTraceIds
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(span) = current_span_context() else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        let object = line.strip_prefix('{').ok_or(fmt::Error)?;
        let (trace_id, span_id) = (span.trace_id(), span.span_id());
        write!(
            writer,
            r#"{{"trace_id":"{trace_id}","span_id":"{span_id}",{object}"#
        )
    }
}
