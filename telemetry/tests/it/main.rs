//! What only one test of a process can do: set its subscriber.

use opentelemetry::trace::SpanKind;
use telemetry::{Config, DetachedSpan, Error, Export, Joins, LogFormat};

#[tokio::test]
async fn init_sets_the_process_up_once() {
    let config = Config {
        service_name: "fanfare-test".to_owned(),
        service_version: "0.0.0".to_owned(),
        instance_id: "one".to_owned(),
        log_format: LogFormat::Auto,
        log_filter: "info".to_owned(),
        export: Export::off(),
    };

    let guard = telemetry::init(&config).unwrap();
    let inside = tracing::info_span!("sync").in_scope(telemetry::traceparent);
    assert!(inside.is_some());
    for sampled in ["00", "01"] {
        let to = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{sampled}");
        let linked = DetachedSpan::begin("send", SpanKind::Producer, Joins::Linked(Some(&to)));
        let linked = linked.traceparent().unwrap();
        assert!(linked.ends_with(&format!("-{sampled}")), "{linked}");
        assert_ne!(telemetry::trace_id_of(&linked), telemetry::trace_id_of(&to));
    }
    let again = telemetry::init(&config);
    assert!(matches!(again, Err(Error::Subscriber(_))));

    guard.shutdown().await;
}
