//! What only one test of a process can do: set its subscriber.

use telemetry::{Config, Error, Export, LogFormat};

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
    let again = telemetry::init(&config);
    assert!(matches!(again, Err(Error::Subscriber(_))));

    guard.shutdown().await;
}
