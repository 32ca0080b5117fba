//! Provider files, good and bad.

use super::*;

const GOOD: &str = r#"
[[provider]]
name = "primary"
url = "https://provider.example/api/events"
format = "plan-list"
interval = "15m"
timezone = "Europe/Madrid"
timeout = "20s"

[[provider]]
name = "second"
url = "http://127.0.0.1:9000/feed"
format = "plan-list"
interval = "1s"
max_interval = "6h"
max_body_mib = 256
hold_percent = 100
hold_events = 0
headers = { X-Api-Key = { env = "ACME_KEY" }, accept = { value = "text/xml" } }
basic = { username = "fanfare", password = { file = "/run/secrets/acme" } }
"#;

fn problems(text: &str) -> Vec<String> {
    let error = parse(text, &["plan-list"]).unwrap_err();
    error.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_file_gives_its_providers_with_defaults() {
    let specs = parse(GOOD, &["plan-list"]).unwrap();
    assert_eq!(specs[0].interval, Duration::from_secs(900));
    assert_eq!(specs[0].timeout, Duration::from_secs(20));
    assert_eq!(specs[1].timezone, "UTC");
    assert_eq!(specs[1].timeout, DEFAULT_TIMEOUT);
    assert_eq!(specs[1].host(), "127.0.0.1:9000");
    assert_eq!(
        (&specs[0].access, specs[0].hold),
        (&Access::default(), Hold::default())
    );
    assert_eq!((specs[0].max_interval, specs[0].max_body), (None, None));
}

#[test]
fn what_need_not_be_said_can_be() {
    let spec = parse(GOOD, &["plan-list"]).unwrap().remove(1);
    assert_eq!(spec.max_interval, Some(Duration::from_secs(6 * 3600)));
    assert_eq!(spec.max_body, Some(256 << 20));
    let never = Hold {
        percent: 100,
        events: 0,
    };
    assert_eq!(spec.hold, never);
    assert_eq!(
        spec.access.to_string(),
        "header accept from the value text/xml, header x-api-key from the variable ACME_KEY, \
         basic fanfare with the password from the file /run/secrets/acme"
    );
}

#[test]
fn numbers_out_of_bounds_are_told() {
    let text = GOOD
        .replace("\"6h\"", "\"1ms\"")
        .replace("256", "0")
        .replace("= 100", "= 101");
    let problems = problems(&text);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].starts_with("line 15: `1ms` is out of bounds"));
    assert_eq!(problems[1], "line 16: 0 is out of bounds: give 1 to 65536");
    assert_eq!(problems[2], "line 17: 101 is out of bounds: give 0 to 100");
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let text = GOOD.replace("timeout = \"20s\"", "time_out = \"20s\"");
    let problems = problems(&text);
    assert!(
        problems[0].starts_with("line 8: unknown field `time_out`"),
        "{problems:?}"
    );
}

#[test]
fn every_bad_value_is_told_with_its_line() {
    let text = GOOD
        .replace(
            "https://provider.example/api/events",
            "ftp://provider.example",
        )
        .replace("\"15m\"", "\"0s\"")
        .replace("Europe/Madrid", "Europe/Atlantis")
        .replace("\"20s\"", "\"soon\"")
        .replace("\"second\"", "\"Second!\"");
    let problems = problems(&text);
    assert_eq!(problems.len(), 5, "{problems:?}");
    assert!(problems[0].starts_with("line 4: the address `ftp://"));
    assert!(problems[1].starts_with("line 6: `0s` is out of bounds: give 1s to"));
    assert!(problems[2].starts_with("line 7: there is no time zone `Europe/Atlantis`"));
    assert!(problems[3].starts_with("line 8: `soon` is not a duration"));
    assert!(problems[4].starts_with("line 11: the name `Second!` is not a slug"));
}

#[test]
fn a_doubled_name_is_refused_and_tells_both_lines() {
    let problems = problems(&GOOD.replace("\"second\"", "\"primary\""));
    assert_eq!(
        problems,
        ["line 11: the name `primary` is taken already, in line 3"]
    );
}

#[test]
fn an_unknown_format_lists_the_known_ones() {
    let problems = problems(&GOOD.replacen("plan-list", "rss", 1));
    assert_eq!(
        problems,
        ["line 5: there is no format `rss`: the formats are plan-list"]
    );
}

#[test]
fn credentials_in_an_address_are_refused_and_not_repeated() {
    let problems = problems(&GOOD.replace("https://provider", "https://me:hunter2@provider"));
    assert!(problems[0].contains("must not hold a user or password"));
    assert!(!problems[0].contains("hunter2"));
    for address in [
        "ftp://me:hunter2@provider",
        "https://me:hunter2@provider:99999",
    ] {
        let problems = self::problems(&GOOD.replace("https://provider.example", address));
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
    }
}
