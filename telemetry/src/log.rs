//! How log lines look.

use std::fmt;

use opentelemetry::trace::SpanContext;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::{Format, JsonFields, Writer};
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

/// Whether a person at a terminal wants colours.
fn wants_colour(variable: impl Fn(&str) -> Option<String>) -> bool {
    let no_color = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    let clicolor = variable("CLICOLOR").is_none_or(|value| value != "0");
    let dumb = variable("TERM").is_some_and(|term| term == "dumb");
    clicolor && !no_color && !dumb
}

/// The layer that writes events. Colours only where `NO_COLOR`, `CLICOLOR` and `TERM` have nothing
/// against them.
pub(crate) fn layer_for<S, W>(look: Look, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let human = |colour: bool| {
        layer().with_ansi(colour).event_format(WithTrace {
            format: Format::default().with_ansi(colour),
            say: at_the_end,
        })
    };
    match look {
        Look::Coloured => {
            let colour = wants_colour(|name| std::env::var(name).ok());
            human(colour).with_writer(writer).boxed()
        }
        Look::Plain => human(false).with_writer(writer).boxed(),
        Look::Json => {
            let json = Format::default().json().flatten_event(true);
            layer()
                .fmt_fields(JsonFields::new())
                .event_format(WithTrace {
                    format: json.with_span_list(false),
                    say: as_fields,
                })
                .with_writer(writer)
                .boxed()
        }
    }
}

/// Lines of which those that were written within a trace say so.
struct WithTrace<F> {
    format: F,
    /// Writes such a line again, with what it says of its span.
    say: fn(&mut Writer<'_>, &str, &SpanContext) -> fmt::Result,
}

impl<S, N, F> FormatEvent<S, N> for WithTrace<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(span) = current_span_context() else {
            return self.format.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.format
            .format_event(context, Writer::new(&mut line), event)?;
        (self.say)(&mut writer, &line, &span)
    }
}

/// Of the 32 digits of a trace id.
const SHORT: usize = 8;

/// For people, the beginning of the trace's id at the end: enough to tell what belongs together, and to
/// find the whole of it.
fn at_the_end(writer: &mut Writer<'_>, line: &str, span: &SpanContext) -> fmt::Result {
    let line = line.trim_end_matches('\n');
    let id = span.trace_id().to_string();
    let (dim, end) = match writer.has_ansi_escapes() {
        true => ("\u{1b}[2m", "\u{1b}[0m"),
        false => ("", ""),
    };
    writeln!(writer, "{line} {dim}trace={}{end}", &id[..SHORT])
}

/// In JSON, the ids of trace and span as the first fields.
fn as_fields(writer: &mut Writer<'_>, line: &str, span: &SpanContext) -> fmt::Result {
    let object = line.strip_prefix('{').ok_or(fmt::Error)?;
    let (trace_id, span_id) = (span.trace_id(), span.span_id());
    write!(
        writer,
        r#"{{"trace_id":"{trace_id}","span_id":"{span_id}",{object}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_left_out_where_a_variable_says_so() {
        let wants = |name: &'static str, value: &str| {
            wants_colour(|it| (it == name).then(|| value.to_owned()))
        };
        assert!(wants("TERM", "xterm"));
        assert!(wants("NO_COLOR", ""));
        assert!(!wants("NO_COLOR", "1"));
        assert!(!wants("CLICOLOR", "0"));
        assert!(!wants("TERM", "dumb"));
    }
}
