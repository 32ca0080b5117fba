//! The standard `OTEL_*` variables, looked at before the SDK reads them.
//!
//! The SDK warns of a value that it does not understand, where nobody hears it yet, and goes on with
//! another. Here such a value stops the start, like that of any other option.

/// A variable that says what can't be done.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: {why}")]
pub struct BadVariable {
    /// Its name.
    pub variable: String,
    why: String,
}

/// What a value must be. The reason never repeats what may be a secret.
type Check = fn(&str) -> Result<(), String>;

/// Variables that stand alone.
const ALONE: [(&str, Check); 10] = [
    ("OTEL_SDK_DISABLED", flag),
    ("OTEL_TRACES_SAMPLER", sampler),
    ("OTEL_PROPAGATORS", propagators),
    ("OTEL_BSP_SCHEDULE_DELAY", positive),
    ("OTEL_BSP_MAX_QUEUE_SIZE", positive),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", positive),
    ("OTEL_METRIC_EXPORT_INTERVAL", positive),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", number),
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", number),
    ("OTEL_SPAN_LINK_COUNT_LIMIT", number),
];

/// Variables of the exporter, each of which has a form for one signal: `OTEL_EXPORTER_OTLP_` and
/// `OTEL_EXPORTER_OTLP_TRACES_`, for example, stand before these.
const OF_EXPORTER: [(&str, Check); 8] = [
    ("ENDPOINT", endpoint),
    ("HEADERS", headers),
    ("TIMEOUT", number),
    ("COMPRESSION", compression),
    ("INSECURE", flag),
    ("CERTIFICATE", certificate),
    ("CLIENT_CERTIFICATE", client_certificate),
    ("CLIENT_KEY", client_certificate),
];

/// Finds the first variable whose value can't be used. An empty one is an unset one.
///
/// # Errors
/// That variable, and what it should say instead.
pub(crate) fn check(variable: impl Fn(&str) -> Option<String>) -> Result<(), BadVariable> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let look = |name: &str, check: Check| {
        let Some(value) = variable(name) else {
            return Ok(());
        };
        check(&value).map_err(|why| BadVariable {
            variable: name.to_owned(),
            why,
        })
    };
    for (name, check) in ALONE {
        look(name, check)?;
    }
    for signal in ["", "TRACES_", "METRICS_"] {
        for (name, check) in OF_EXPORTER {
            look(&format!("OTEL_EXPORTER_OTLP_{signal}{name}"), check)?;
        }
    }
    look(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        temporality,
    )?;
    let samples_a_part =
        variable("OTEL_TRACES_SAMPLER").is_some_and(|sampler| sampler.ends_with("traceidratio"));
    if samples_a_part {
        look("OTEL_TRACES_SAMPLER_ARG", ratio)?;
    }
    Ok(())
}

fn flag(value: &str) -> Result<(), String> {
    one_of(&value.to_ascii_lowercase(), &["true", "false"])
}

fn sampler(value: &str) -> Result<(), String> {
    const SAMPLERS: [&str; 6] = [
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ];
    one_of(value, &SAMPLERS)
}

/// Traces go on by W3C Trace Context alone.
fn propagators(value: &str) -> Result<(), String> {
    let mut names = value.split(',').map(str::trim);
    if names.clone().any(|name| name == "tracecontext")
        && names.all(|name| matches!(name, "tracecontext" | "baggage"))
    {
        return Ok(());
    }
    Err(format!(
        "`{value}` is not supported, only `tracecontext`, also beside `baggage`"
    ))
}

fn number(value: &str) -> Result<(), String> {
    match value.parse::<u64>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("`{value}` is not a whole number from 0")),
    }
}

fn positive(value: &str) -> Result<(), String> {
    match value.parse::<u64>() {
        Ok(1..) => Ok(()),
        _ => Err(format!("`{value}` is not a whole number from 1")),
    }
}

fn ratio(value: &str) -> Result<(), String> {
    match value.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(()),
        _ => Err(format!(
            "`{value}` is not a share from 0 to 1, such as 0.01"
        )),
    }
}

/// It may hold a password.
fn endpoint(value: &str) -> Result<(), String> {
    let address = value
        .strip_prefix("http://")
        .or_else(|| value.strip_prefix("https://"));
    match address {
        Some(address) if !address.is_empty() => Ok(()),
        _ => Err("it must be an http or https URL, such as http://127.0.0.1:4318".to_owned()),
    }
}

/// They hold keys.
fn headers(value: &str) -> Result<(), String> {
    let pairs = value.split(',').filter(|pair| !pair.trim().is_empty());
    for (index, pair) in pairs.enumerate() {
        let name = pair.split_once('=').map(|(name, _)| name.trim());
        if name.is_none_or(str::is_empty) {
            return Err(format!(
                "header {} is not `name=value`; headers are parted by commas, and a comma in a value is \
                 written %2C",
                index + 1
            ));
        }
    }
    Ok(())
}

fn compression(value: &str) -> Result<(), String> {
    one_of(&value.to_ascii_lowercase(), &["gzip", "none"])
}

/// The exporter trusts what the system trusts.
fn certificate(_: &str) -> Result<(), String> {
    Err("it is not supported: name the file of certificates to trust with SSL_CERT_FILE".to_owned())
}

fn client_certificate(_: &str) -> Result<(), String> {
    Err("it is not supported: send to a collector nearby, and let that one show it".to_owned())
}

fn temporality(value: &str) -> Result<(), String> {
    let kinds = ["cumulative", "delta", "lowmemory"];
    one_of(&value.to_ascii_lowercase(), &kinds)
}

fn one_of(value: &str, known: &[&str]) -> Result<(), String> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(format!(
        "`{value}` is not known, only `{}`",
        known.join("`, `")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, value: &str) -> Option<String> {
        let variable = |asked: &str| match asked {
            "OTEL_TRACES_SAMPLER" if name == "OTEL_TRACES_SAMPLER_ARG" => {
                Some("parentbased_traceidratio".to_owned())
            }
            _ => (asked == name).then(|| value.to_owned()),
        };
        check(variable).err().map(|error| error.to_string())
    }

    #[test]
    fn what_the_sdk_understands_passes() {
        for (name, value) in [
            ("OTEL_SDK_DISABLED", "False"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
            ("OTEL_PROPAGATORS", "tracecontext, baggage"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "65536"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317"),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Bearer%20x,team=events",
            ),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "GZIP"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "10000"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", ""),
        ] {
            assert_eq!(refused(name, value), None, "{name}={value}");
        }
    }

    #[test]
    fn anything_else_is_refused_by_name_and_says_what_to_write() {
        for (name, value, says) in [
            ("OTEL_TRACES_SAMPLER", "sometimes", "`always_on`"),
            ("OTEL_TRACES_SAMPLER", "always_on ", "`always_on`"),
            ("OTEL_TRACES_SAMPLER_ARG", "1%", "from 0 to 1"),
            ("OTEL_TRACES_SAMPLER_ARG", " 0.01", "from 0 to 1"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0", "from 1"),
            ("OTEL_PROPAGATORS", "b3", "only `tracecontext`"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "whole number"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://here", "http or https"),
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "here:4318",
                "http or https",
            ),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "whole number"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "lzma", "`gzip`"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem", "SSL_CERT_FILE"),
            (
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
                "x",
                "`delta`",
            ),
        ] {
            let told = refused(name, value).unwrap_or_else(|| panic!("{name}={value} passes"));
            assert!(told.starts_with(name), "{told}");
            assert!(told.contains(says), "{told}");
        }
    }

    #[test]
    fn keys_and_passwords_are_not_repeated() {
        let told = refused("OTEL_EXPORTER_OTLP_HEADERS", "a=1,sesame").unwrap();
        assert!(told.contains("header 2"), "{told}");
        assert!(!told.contains("sesame"), "{told}");
        let told = refused("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://me:sesame@here").unwrap();
        assert!(!told.contains("sesame"), "{told}");
    }
}
