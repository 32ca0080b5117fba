//! Where spans and metrics go: OTLP, as the standard `OTEL_*` variables have it.
//!
//! The exporters read most of these variables by themselves (endpoint, protocol, headers, timeout,
//! compression, batch sizes). Decided here is whether to export at all: unlike the
//! specification, not unless an endpoint or an exporter is named.

use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, Protocol, SpanExporter, WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{MeterProviderBuilder, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::counted::{CountedMetrics, CountedSpans};
use crate::sampling::Carried;
use crate::variables::{self, BadVariable};

/// Where each signal goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Spans.
    pub traces: Destination,
    /// Metrics.
    pub metrics: Destination,
}

/// Where a signal goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere.
    Off,
    /// To where the standard variables say, by this transport.
    Environment(Transport),
    /// By HTTP to the receiver at this base URL, such as `http://127.0.0.1:4318`.
    To(String),
}

/// How OTLP travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `http/protobuf`.
    Http,
    /// `grpc`.
    Grpc,
}

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Another exporter than `otlp` or `none` is asked for.
    #[error("{variable}: there is no exporter `{value}`, only `otlp` and `none`")]
    Exporter {
        /// The variable that asks for it.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// Another protocol is asked for.
    #[error("{variable}: protocol `{value}` is not supported, only `http/protobuf` and `grpc`")]
    Protocol {
        /// The variable that asks for it.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// A variable has a value that can't be used.
    #[error(transparent)]
    Variable(#[from] BadVariable),
    /// The exporter refuses its configuration.
    #[error("configure the export of {signal}")]
    Build {
        /// `traces` or `metrics`.
        signal: &'static str,
        /// What it refuses.
        #[source]
        source: ExporterBuildError,
    },
}

impl Export {
    /// No export.
    #[must_use]
    pub fn off() -> Self {
        Self {
            traces: Destination::Off,
            metrics: Destination::Off,
        }
    }

    /// What the standard variables ask for, read through `variable`.
    ///
    /// # Errors
    /// When they ask for what is not there.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ExportError> {
        variables::check(&variable)?;
        // An empty variable is an unset one, says the specification.
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(Self::off());
        }
        Ok(Self {
            traces: destination(&variable, &TRACES)?,
            metrics: destination(&variable, &METRICS)?,
        })
    }
}

/// One signal's variables.
struct Signal {
    exporter: &'static str,
    endpoint: &'static str,
    protocol: &'static str,
}

const TRACES: Signal = Signal {
    exporter: "OTEL_TRACES_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
};

const METRICS: Signal = Signal {
    exporter: "OTEL_METRICS_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
};

fn destination(
    variable: &impl Fn(&str) -> Option<String>,
    signal: &Signal,
) -> Result<Destination, ExportError> {
    let endpoint = variable(signal.endpoint).or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let exports = match variable(signal.exporter).as_deref() {
        None => endpoint.is_some(),
        Some("otlp") => true,
        Some("none") => false,
        Some(value) => {
            return Err(ExportError::Exporter {
                variable: signal.exporter,
                value: value.to_owned(),
            });
        }
    };
    if !exports {
        return Ok(Destination::Off);
    }
    Ok(Destination::Environment(transport(variable, signal)?))
}

fn transport(
    variable: &impl Fn(&str) -> Option<String>,
    signal: &Signal,
) -> Result<Transport, ExportError> {
    for name in [signal.protocol, "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        let Some(value) = variable(name) else {
            continue;
        };
        return match value.to_ascii_lowercase().as_str() {
            "http/protobuf" => Ok(Transport::Http),
            "grpc" => Ok(Transport::Grpc),
            _ => Err(ExportError::Protocol {
                variable: name,
                value,
            }),
        };
    }
    Ok(Transport::Http)
}

/// Without a destination there is a provider all the same: it makes the trace ids.
///
/// The process' meter provider must be set: the processor counts what it takes.
pub(crate) fn traces(
    destination: &Destination,
    resource: Resource,
) -> Result<SdkTracerProvider, ExportError> {
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Carried::from_variables(|name| std::env::var(name).ok()));
    let builder = SpanExporter::builder();
    let exporter = match destination {
        Destination::Off => return Ok(provider.build()),
        Destination::Environment(Transport::Http) => builder.with_http().build(),
        Destination::Environment(Transport::Grpc) => {
            builder.with_tonic().with_tls_config(tls()).build()
        }
        Destination::To(base) => builder
            .with_http()
            .with_endpoint(format!("{base}/v1/traces"))
            .with_protocol(Protocol::HttpBinary)
            .build(),
    };
    let exporter = exporter.map_err(|source| ExportError::Build {
        signal: "traces",
        source,
    })?;
    Ok(provider
        .with_batch_exporter(CountedSpans::new(exporter))
        .build())
}

/// Without a destination metrics are kept for whoever asks this process for them.
pub(crate) fn metrics(
    destination: &Destination,
    provider: MeterProviderBuilder,
) -> Result<SdkMeterProvider, ExportError> {
    let builder = MetricExporter::builder();
    let exporter = match destination {
        Destination::Off => return Ok(provider.build()),
        Destination::Environment(Transport::Http) => builder.with_http().build(),
        Destination::Environment(Transport::Grpc) => {
            builder.with_tonic().with_tls_config(tls()).build()
        }
        Destination::To(base) => builder
            .with_http()
            .with_endpoint(format!("{base}/v1/metrics"))
            .with_protocol(Protocol::HttpBinary)
            .build(),
    };
    let exporter = exporter.map_err(|source| ExportError::Build {
        signal: "metrics",
        source,
    })?;
    Ok(provider
        .with_periodic_exporter(CountedMetrics::new(exporter))
        .build())
}

/// The exporter's own has no roots to trust.
fn tls() -> ClientTlsConfig {
    ClientTlsConfig::new().with_enabled_roots()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(variables: &[(&str, &str)]) -> Result<Export, ExportError> {
        Export::from_variables(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_is_exported_unless_asked_for() {
        assert_eq!(asked(&[]).unwrap(), Export::off());
        let empty = [("OTEL_EXPORTER_OTLP_ENDPOINT", "")];
        assert_eq!(asked(&empty).unwrap(), Export::off());
    }

    #[test]
    fn endpoint_switches_both_signals_on() {
        let export = asked(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4318")]).unwrap();
        assert_eq!(export.traces, Destination::Environment(Transport::Http));
        assert_eq!(export.metrics, Destination::Environment(Transport::Http));
    }

    #[test]
    fn each_signal_has_switches_of_its_own() {
        let export = asked(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4318"),
            ("OTEL_TRACES_EXPORTER", "none"),
        ])
        .unwrap();
        assert_eq!(export.traces, Destination::Off);
        assert_eq!(export.metrics, Destination::Environment(Transport::Http));

        let export = asked(&[("OTEL_TRACES_EXPORTER", "otlp")]).unwrap();
        assert_eq!(export.traces, Destination::Environment(Transport::Http));
        assert_eq!(export.metrics, Destination::Off);
    }

    #[test]
    fn disabled_sdk_exports_nothing() {
        let export = asked(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4318"),
            ("OTEL_SDK_DISABLED", "TRUE"),
        ]);
        assert_eq!(export.unwrap(), Export::off());
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        let exporter = asked(&[("OTEL_TRACES_EXPORTER", "zipkin")]).unwrap_err();
        assert_eq!(
            exporter.to_string(),
            "OTEL_TRACES_EXPORTER: there is no exporter `zipkin`, only `otlp` and `none`"
        );
        let protocol = asked(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ]);
        assert_eq!(
            protocol.unwrap_err().to_string(),
            "OTEL_EXPORTER_OTLP_PROTOCOL: protocol `http/json` is not supported, only `http/protobuf` and `grpc`"
        );
    }

    #[test]
    fn protocol_of_a_signal_wins_over_that_of_all() {
        let export = asked(&[
            ("OTEL_TRACES_EXPORTER", "otlp"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ]);
        assert_eq!(
            export.unwrap().traces,
            Destination::Environment(Transport::Http)
        );
    }

    #[test]
    fn grpc_is_a_transport_as_well() {
        let export = asked(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "GRPC"),
        ]);
        let by_grpc = Destination::Environment(Transport::Grpc);
        assert_eq!(export.unwrap().metrics, by_grpc);
    }
}
