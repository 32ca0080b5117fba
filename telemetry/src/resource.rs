//! Who speaks, as attributes of every span and metric.

use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;

use crate::Config;

/// What the environment says (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`) wins.
pub(crate) fn of(config: &Config) -> Resource {
    let detected = Resource::builder().build();
    let ours = [
        ("service.name", &config.service_name),
        ("service.version", &config.service_version),
        ("service.instance.id", &config.instance_id),
    ];
    let missing = ours
        .into_iter()
        .filter(|(key, _)| !says(&detected, key))
        .map(|(key, value)| KeyValue::new(key, value.clone()));
    Resource::builder().with_attributes(missing).build()
}

/// A service without a name is called `unknown_service:<program>` by the SDK.
fn says(resource: &Resource, key: &'static str) -> bool {
    let value = resource.get(&Key::from_static_str(key));
    value.is_some_and(|value| !value.as_str().starts_with("unknown_service"))
}
