//! Where telemetry goes.

use telemetry::{Destination, Export, Transport};
use url::Url;

use super::finding::{Finding, Group};
use super::reach;

const GROUP: Group = Group::Telemetry;

/// Looks at the variables, and whether somebody listens where they lead.
pub(super) async fn look(variable: impl Fn(&str) -> Option<String>, found: &mut Vec<Finding>) {
    let export = match Export::from_variables(&variable) {
        Ok(export) => export,
        Err(error) => {
            return found.push(GROUP.error(
                "settings",
                error.to_string(),
                "correct or unset that variable: with it no role starts",
            ));
        }
    };
    let receivers = receivers(&variable, &export);
    if receivers.is_empty() {
        return found.push(GROUP.note(
            "export",
            "nothing is exported: OTEL_EXPORTER_OTLP_ENDPOINT is not set. /metrics and logs are there",
        ));
    }
    for Receiver {
        signals,
        url,
        setting,
    } in receivers
    {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            found.push(GROUP.error(
                "settings",
                format!("{setting} names no host"),
                format!("correct {setting}"),
            ));
            continue;
        };
        let finding = match reach::reach(GROUP, host, port, &setting).await {
            Ok((_, finding)) => Finding {
                found: format!("{signals}: {}", finding.found),
                ..finding
            },
            // Nothing else suffers.
            Err(finding) => Finding {
                state: super::finding::State::Warning,
                found: format!("{signals} are lost: {}", finding.found),
                ..finding
            },
        };
        found.push(finding);
    }
}

/// Somebody that signals are sent to.
#[derive(Debug, PartialEq)]
struct Receiver {
    signals: &'static str,
    url: Url,
    setting: String,
}

/// As the exporters find them: a signal's own variable, that of all, or the specification's default.
fn receivers(variable: &impl Fn(&str) -> Option<String>, export: &Export) -> Vec<Receiver> {
    const ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let signals = [
        (
            "traces",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            &export.traces,
        ),
        (
            "metrics",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            &export.metrics,
        ),
    ];
    let mut found: Vec<Receiver> = Vec::new();
    for (signals, own, destination) in signals {
        let Destination::Environment(transport) = destination else {
            continue;
        };
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (setting, address) = match (set(own), set(ALL)) {
            (Some(address), _) => (own, address),
            (None, Some(address)) => (ALL, address),
            (None, None) => (ALL, default(*transport).to_owned()),
        };
        let Ok(url) = Url::parse(&address) else {
            continue;
        };
        match found.iter_mut().find(|it| it.setting == setting) {
            Some(same) => same.signals = "traces and metrics",
            None => found.push(Receiver {
                signals,
                url,
                setting: setting.to_owned(),
            }),
        }
    }
    found
}

fn default(transport: Transport) -> &'static str {
    match transport {
        Transport::Http => "http://localhost:4318",
        Transport::Grpc => "http://localhost:4317",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::{State, told};

    fn set(variables: &[(&'static str, String)]) -> impl Fn(&str) -> Option<String> {
        move |name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.clone())
        }
    }

    async fn looked(variables: &[(&'static str, String)]) -> Vec<Finding> {
        let mut found = Vec::new();
        look(set(variables), &mut found).await;
        found
    }

    #[tokio::test]
    async fn a_receiver_is_reached_or_missed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = [(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://me:sesame@{address}"),
        )];
        let found = looked(&endpoint).await;
        assert_eq!(told::states(&found), [("address", State::Ok)]);
        assert!(
            found[0].found.starts_with("traces and metrics: "),
            "{found:?}"
        );
        drop(listener);
        let found = looked(&endpoint).await;
        assert_eq!(told::states(&found), [("address", State::Warning)]);
        assert!(!format!("{found:?}").contains("sesame"), "{found:?}");
    }

    #[tokio::test]
    async fn variables_that_no_role_starts_with_are_an_error() {
        assert_eq!(told::states(&looked(&[]).await), [("export", State::Note)]);
        let sampler = [("OTEL_TRACES_SAMPLER", "sometimes".to_owned())];
        let found = looked(&sampler).await;
        assert_eq!(told::states(&found), [("settings", State::Error)]);
        assert!(
            found[0].found.starts_with("OTEL_TRACES_SAMPLER"),
            "{found:?}"
        );
    }

    #[test]
    fn each_signal_goes_where_its_variables_lead() {
        let asked = |variables: &[(&'static str, String)]| {
            let variable = set(variables);
            let export = Export::from_variables(&variable).unwrap();
            let found = receivers(&variable, &export);
            let told = found.iter().map(|it| (it.signals, it.url.to_string()));
            told.collect::<Vec<_>>()
        };
        let here = |port| format!("http://here:{port}/");
        assert_eq!(
            asked(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", here(1)),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", here(2)),
            ]),
            [("traces", here(2)), ("metrics", here(1))]
        );
        assert_eq!(
            asked(&[
                ("OTEL_METRICS_EXPORTER", "otlp".to_owned()),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned()),
            ]),
            [("metrics", "http://localhost:4317/".to_owned())]
        );
    }
}
