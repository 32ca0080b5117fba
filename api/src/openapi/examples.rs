//! An example of each answer. Those of errors are what the service would say itself.

use std::time::Duration;

use entity::dataset::Version;
use serde_json::{Value, json};
use uuid::Uuid;

use super::headers::entry;
use crate::admin::Refused;
use crate::error::ErrorEnvelope;
use crate::query::{self, Invalid};
use crate::{Error, limits};

/// A state of the events.
pub(super) const VERSION: &str = "8d3f5f60-4b5d-4a3c-9f35-0e6f5a0c1d2e-43";
const EPOCH: Uuid = Uuid::from_u128(0x8d3f_5f60_4b5d_4a3c_9f35_0e6f_5a0c_1d2e);
const EVENT: Uuid = Uuid::from_u128(0xdd8d_2fd1_87f2_55d4_9464_032d_553c_bb6f);

/// Adds examples to an operation: of its answer, and of each error by its code.
pub(super) fn tell(operation: &mut Value) {
    let id = operation["operationId"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let statuses: Vec<String> = operation["responses"]
        .as_object()
        .map(|responses| responses.keys().cloned().collect())
        .unwrap_or_default();
    for status in statuses {
        let response = &mut operation["responses"][&status];
        let Some(content) = response.pointer_mut("/content/application~1json") else {
            continue;
        };
        if status.starts_with('2') {
            if let Some(example) = answer(&id) {
                content["example"] = example;
            }
            continue;
        }
        for error in errors(&id) {
            if error.status().as_str() == status {
                let told = json!(ErrorEnvelope::of(&error));
                let code = told["error"]["code"].as_str().unwrap_or_default();
                entry(content, "examples").insert(code.to_owned(), json!({"value": told}));
            }
        }
    }
}

fn answer(operation: &str) -> Option<Value> {
    let data = match operation {
        "searchEvents" => {
            return Some(json!({
                "data": {"events": [{
                    "id": EVENT,
                    "title": "Camela en concierto",
                    "start_date": "2021-06-30",
                    "start_time": "21:00:00",
                    "end_date": "2021-06-30",
                    "end_time": "22:00:00",
                    "min_price": 15.00,
                    "max_price": 30.50,
                }]},
                "error": null,
                "meta": {"next_cursor": CURSOR},
            }));
        }
        "getEventHistory" => {
            return Some(json!({
                "data": {"versions": [{
                    "version": 43,
                    "committed_at": "2021-03-01T09:30:00.125Z",
                    "run": "0197f2a0-5c1e-7cc2-9c0e-3f3c6d3b7a12",
                    "kind": "updated",
                    "changed": {"sold_out": [true, false]},
                    "event": state(),
                    "gone_at": null,
                    "ever_online": true,
                }]},
                "error": null,
                "meta": {"next_before": null},
            }));
        }
        "listChanges" => {
            return Some(json!({
                "data": {"changes": [{
                    "version": 43,
                    "position": 17,
                    "committed_at": "2021-03-01T09:30:00.125Z",
                    "kind": "updated",
                    "id": EVENT,
                    "changed": {"sold_out": [true, false]},
                    "event": event(),
                }]},
                "error": null,
                "meta": {"next": VERSION, "more": false},
            }));
        }
        "getEvent" => event(),
        "listProviders" => json!({"providers": [{
            "name": "primary",
            "host": "provider.example",
            "format": "plan-list",
            "interval_seconds": 900,
            "timezone": "Europe/Madrid",
            "events": 1204,
            "events_gone": 57,
            "last_success_at": "2021-03-01T09:30:00.125Z",
            "next_due_at": "2021-03-01T09:45:00.125Z",
            "stale": false,
            "paused": false,
            "paused_reason": null,
            "consecutive_failures": 0,
        }]}),
        "getHealth" => json!({
            "status": "ok",
            "version": "1.0.0",
            "database": "reachable",
            "dataset": {"version": 43, "epoch": EPOCH},
        }),
        "getLiveness" | "getReadiness" => json!({"status": "ok"}),
        "getOpenapi" => {
            return Some(json!({
                "openapi": "3.1.0",
                "info": {"title": "Fanfare", "version": "1.0.0"},
                "paths": {},
            }));
        }
        "syncProvider" => json!({"fan_out": "0197f2a0-5c1e-7cc2-9c0e-3f3c6d3b7a11"}),
        "pauseProvider" => json!({
            "name": "primary",
            "state": "paused",
            "paused_reason": "they asked us to wait",
        }),
        "resumeProvider" => json!({"name": "primary", "state": "active", "paused_reason": null}),
        _ => return None,
    };
    Some(json!({"data": data, "error": null}))
}

const CURSOR: &str = "AY0_X2BLXUo8nzUOb1oMHS4ABcXxP2cQAN2NL9GH8lXUlGQDLVU8u28QNLwZqkSgPoHIbTdpk0vV\
                      aYw5n2xXqVh6cGv1uyRdNA";

/// What a feed says of the event in the examples.
fn state() -> Value {
    json!({
        "base_id": "291",
        "event_id": "291",
        "title": "Camela en concierto",
        "start_date": "2021-06-30",
        "start_time": "21:00:00",
        "end_date": "2021-06-30",
        "end_time": "22:00:00",
        "starts_at": "2021-06-30T19:00:00Z",
        "ends_at": "2021-06-30T20:00:00Z",
        "min_price": 15.00,
        "max_price": 30.50,
        "sell_from": "2020-06-30T22:00:00Z",
        "sell_to": "2021-06-30T18:00:00Z",
        "sold_out": false,
        "sell_mode": "online",
        "organizer_company_id": null,
        "zones": [
            {"id": "40", "name": "Platea", "capacity": 240, "price": 20.00, "numbered": true},
            {"id": "30", "name": "A28", "capacity": 90, "price": 15.00, "numbered": true},
            {"id": "38", "name": "Grada 2", "capacity": null, "price": 30.50, "numbered": false},
        ],
    })
}

fn event() -> Value {
    let mut event = state();
    event["id"] = json!(EVENT);
    event["provider"] = json!("primary");
    event["ever_online"] = json!(true);
    event["first_seen_at"] = json!("2021-02-01T09:30:00.5Z");
    event["changed_at"] = json!("2021-03-01T09:30:00.125Z");
    event["gone_at"] = Value::Null;
    event
}

/// What an operation can answer instead.
fn errors(operation: &str) -> Vec<Error> {
    let mut errors = vec![
        Error::BodyTooLarge {
            limit: limits::BODY_BYTES,
        },
        Error::UriTooLong {
            limit: limits::TARGET_BYTES,
        },
        Error::HeadersTooLarge {
            limit: limits::HEADER_BYTES,
        },
        Error::Panicked(String::new()),
        Error::TimedOut {
            limit: Duration::ZERO,
        },
    ];
    match operation {
        "getHealth" | "getLiveness" => return errors,
        "getReadiness" => {
            errors.push(Error::NotReady);
            return errors;
        }
        "getOpenapi" | "getDocs" => {}
        _ => errors.push(Error::NeverSeen),
    }
    errors.push(Error::Overloaded);
    errors.push(Error::RateLimited {
        retry_after_seconds: 1,
    });
    let version = Version {
        epoch: EPOCH,
        number: 43,
    };
    match operation {
        "searchEvents" => {
            errors.extend(refused(query::without_cursor, &SEARCHES));
            errors.push(Invalid::ForeignCursor.into());
            errors.push(Error::Ended { version });
        }
        "getEvent" => {
            errors.extend(refused(query::nothing, &["fields=title"]));
            errors.push(Error::MalformedId);
            errors.push(Error::NoSuchEvent { id: EVENT });
        }
        "getEventHistory" => {
            errors.extend(refused(
                query::history,
                &["after=7", "limit=5&limit=6", "limit=0"],
            ));
            errors.push(Error::MalformedId);
            errors.push(Error::NoSuchEvent { id: EVENT });
        }
        "listChanges" => {
            errors.extend(refused(query::changes, &CHANGES));
            errors.push(Invalid::FutureVersion.into());
            errors.push(Error::Ended { version });
            errors.push(Error::Pruned { version });
        }
        "listProviders" => errors.extend(refused(query::nothing, &["name=primary"])),
        "syncProvider" => {
            errors.extend(of_admin(r#"{"accept_gone": true}"#));
            let (name, reason) = (name(), "they asked us to wait".to_owned());
            errors.push(Refused::ProviderPaused { name, reason }.into());
        }
        "pauseProvider" => {
            errors.extend(of_admin(r#"{"reason": "they asked us to wait"}"#));
            errors.push(Refused::MalformedReason { limit: 200 }.into());
        }
        "resumeProvider" => errors.extend(of_admin("{}")),
        _ => {}
    }
    errors
}

const SEARCHES: [&str; 5] = [
    "from=2021-02-01",
    "starts_at=2021-02-01&starts_at=2021-02-02",
    "starts_at=tomorrow",
    "starts_at=2021-02-02&ends_at=2021-02-01",
    "min_price=10&max_price=5",
];

const CHANGES: [&str; 4] = ["", "since=yesterday", "from=7", "limit=5&limit=6"];

/// How each of `queries` is refused.
fn refused<'a, T>(
    read: fn(Option<&str>) -> Result<T, Invalid>,
    queries: &'a [&'a str],
) -> impl Iterator<Item = Error> {
    queries
        .iter()
        .filter_map(move |query| read(Some(query)).err())
        .map(Error::from)
}

fn of_admin(body: &'static str) -> [Error; 6] {
    [
        Refused::MalformedBody { example: body }.into(),
        Refused::Unauthorized.into(),
        Refused::NoSuchProvider { name: name() }.into(),
        Error::NoSuchRoute,
        Refused::ProviderRetired { name: name() }.into(),
        Refused::NotJson.into(),
    ]
}

fn name() -> String {
    "primary".to_owned()
}
