//! Where an answer leads: what of it another operation takes.

use serde_json::{Value, json};

use super::headers::entry;

const FIRST_EVENT: (&str, &str) = ("id", "$response.body#/data/events/0/id");
const FIRST_CHANGED: (&str, &str) = ("id", "$response.body#/data/changes/0/id");
const FIRST_PROVIDER: &str = "$response.body#/data/providers/0/name";
const VERSION: (&str, &str) = ("since", "$response.header.Dataset-Version");

/// Operation, the operation that its answer leads to, and the parameter with its value.
const LINKS: [(&str, &str, (&str, &str)); 10] = [
    ("searchEvents", "getEvent", FIRST_EVENT),
    ("searchEvents", "getEventHistory", FIRST_EVENT),
    ("searchEvents", "listChanges", VERSION),
    ("listChanges", "getEvent", FIRST_CHANGED),
    (
        "listChanges",
        "listChanges",
        ("since", "$response.body#/meta/next"),
    ),
    (
        "listProviders",
        "searchEvents",
        ("provider", FIRST_PROVIDER),
    ),
    ("listProviders", "listChanges", VERSION),
    ("listProviders", "syncProvider", ("name", FIRST_PROVIDER)),
    ("listProviders", "pauseProvider", ("name", FIRST_PROVIDER)),
    ("listProviders", "resumeProvider", ("name", FIRST_PROVIDER)),
];

/// Adds to an operation's answer where it leads.
pub(super) fn tell(operation: &mut Value) {
    let id = operation["operationId"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    for (_, to, (parameter, value)) in LINKS.iter().filter(|(from, _, _)| *from == id) {
        let link = json!({"operationId": to, "parameters": {*parameter: value}});
        entry(&mut operation["responses"]["200"], "links").insert((*to).to_owned(), link);
    }
}
