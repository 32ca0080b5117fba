//! How log lines look.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::{Format, Full, Json, JsonFields, Writer};
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
        layer()
            .with_ansi(colour)
            .event_format(WithTrace(Format::default().with_ansi(colour)))
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
                .event_format(WithTraceIds(json.with_span_list(false)))
                .with_writer(writer)
                .boxed()
        }
    }
}

/// Lines for people, which end with the beginning of the id of the trace that they were written in: enough
/// to tell what belongs together, and to find the whole of it.
struct WithTrace(Format<Full>);

/// Of the 32 digits of a trace id.
const SHORT: usize = 8;

impl<S, N> FormatEvent<S, N> for WithTrace
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
        let line = line.trim_end_matches('\n');
        let id = span.trace_id().to_string();
        let (dim, end) = match writer.has_ansi_escapes() {
            true => ("\u{1b}[2m", "\u{1b}[0m"),
            false => ("", ""),
        };
        writeln!(writer, "{line} {dim}trace={}{end}", &id[..SHORT])
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
