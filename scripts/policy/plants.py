"""Plants one fault at a time in copies of the code and of the manifests, and expects rules.py and edges.py to find it.

plants.py ROOT METADATA   prints what passed unseen, and ends with 1 if anything did
"""

import copy
import json
import sys
import tomllib
from pathlib import Path

import edges
import rules

# A file, a line that is added to it, and what the fault has to say.
LINES = [
    ("api/src/lib.rs", "use quick_xml::Reader;", "only worker/src/format reads XML"),
    ("worker/src/sync.rs", "let reader = quick_xml::Reader::from_str(text);", "only worker/src/format"),
    ("worker/tests/it/main.rs", "use quick_xml::events::Event;", "only worker/src/format"),
    ("worker/src/lib.rs", "use reqwest::Client;", "only worker/src/fetch asks providers"),
    ("scheduler/src/tick.rs", "    let answer = reqwest::get(url).await;", "only worker/src/fetch"),
    ("worker/src/fetcher.rs", "use reqwest::Client;", "only worker/src/fetch"),
    ("scheduler/src/lib.rs", "use apalis_redis::RedisStorage;", "only queue and worker name apalis"),
    ("fanfare/tests/e2e/main.rs", "use apalis::prelude::*;", "only queue and worker"),
    ("api/src/lib.rs", "use sea_orm::{EntityTrait, QueryFilter};", "only entity and migration build SQL"),
    ("api/src/follow.rs", "use sea_orm::Statement;", "only entity and migration build SQL"),
    ("worker/src/sync.rs", "use sea_query::Expr;", "only entity and migration build SQL"),
    ("api/src/error.rs", "let rows = sqlx::query(text).fetch_all(pool).await;", "only entity and migration build SQL"),
    ("api/src/follow.rs", 'let sql = "SELECT version()";', "only entity and migration build SQL"),
    ("api/src/follow.rs", 'let sql = r#"\n    DELETE FROM event WHERE id = $1"#;', "only entity and migration"),
    ("entity/src/lib.rs", "pub fn claim() -> anyhow::Result<()> {", "libraries have errors with types"),
    ("worker/src/fetch.rs", "use anyhow::Context as _;", "libraries have errors with types"),
    (
        "fanfare/tests/e2e/main.rs",
        'std::env::set_var("FANFARE_LOG", "debug");',
        "no process changes its own environment",
    ),
]

# What is no fault: names in comments, a log's target, what may be handed on.
NO_FAULTS = [
    ("api/src/lib.rs", "// quick_xml is not for us; see reqwest::Client and sea_orm::EntityTrait."),
    ("fanfare/src/command.rs", 'const LEVEL: &str = "info,apalis_core=warn,reqwest=error";'),
    ("api/src/lib.rs", "use sea_orm::DatabaseConnection;"),
    ("fanfare/src/start.rs", 'let advice = "SELECT pg_wal_replay_resume();";'),
    ("worker/src/trace.rs", "use reqwest::StatusCode;"),
    ("api/src/lib.rs", 'const HINT: &str = "see http://localhost: select with a limit";'),
]

# A crate, lines that are added to its manifest, and what the fault has to say.
MANIFESTS = [
    ("api", "[dev-dependencies]\nworker.workspace = true", "api: its tests use `worker`"),
    ("api", "[dev-dependencies]\nqueue.workspace = true", "api: its tests use `queue`"),
    ("entity", "[dev-dependencies]\nmigration.workspace = true", "entity: its tests use `migration`"),
    ("scheduler", "[dev-dependencies]\nsimulator.workspace = true", "scheduler: its tests use `simulator`"),
    ("worker", "[dev-dependencies]\nscheduler.workspace = true", "worker: its tests use `scheduler`"),
    ("telemetry", "[dev-dependencies]\nreqwest.workspace = true", "telemetry: its tests use `reqwest`"),
    ("api", "[dev-dependencies]\nsea-orm.workspace = true", "api: its tests use `sea-orm`"),
    ("fanfare", "[dev-dependencies]\napalis.workspace = true", "fanfare: its tests use `apalis`"),
    ("api", "[target.'cfg(unix)'.dev-dependencies]\nquick-xml.workspace = true", "api: its tests use `quick-xml`"),
    ("api", "[dev-dependencies]\nbench.workspace = true", "api: uses `bench`, which is a program"),
    ("worker", '[dependencies]\ncsv = "1"', "worker: the version of `csv` belongs into"),
    ("worker", "[lints]\nworkspace = false", "worker: does not take over the workspace's lints"),
    ("queue", '[package]\nname = "queue"\nversion = "9.0.0"', "queue: its `version` is not the workspace's"),
    ("queue", '[package]\nname = "core"', "core: a new crate"),
    ("queue", '[package]\nname = "core"', "core: a crate has the name of what it is"),
]


def main():
    files = rules.sources(Path(sys.argv[1]))
    root, members = edges.read(json.loads(Path(sys.argv[2]).read_text()))
    passed = [
        *(told for plant in LINES for told in unseen_line(files, *plant)),
        *(told for plant in NO_FAULTS for told in wrongly_seen(files, *plant)),
        *(told for plant in MANIFESTS for told in unseen_manifest(root, members, *plant)),
        *unseen_unused(root, members),
    ]
    for told in passed:
        print(told)
    planted = len(LINES) + len(NO_FAULTS) + len(MANIFESTS) + 1
    print(f"{planted} planted in code and manifests, {planted - len(passed)} judged rightly")
    sys.exit(1 if passed else 0)


def unseen_line(files, file, line, expected):
    """Nothing if the fault is found."""
    found = rules.faults({file: f"{files.get(file, '')}\n{line}\n"})
    if not any(expected in fault for fault in found):
        yield f"{file} can have `{line}`"


def wrongly_seen(files, file, line):
    for fault in rules.faults({file: f"{files.get(file, '')}\n{line}\n"}):
        yield f"{fault}: but that is none"


def unseen_manifest(root, members, crate, lines, expected):
    changed = copy.deepcopy(members)
    merge(changed[crate], tomllib.loads(lines))
    changed = {manifest["package"]["name"]: manifest for manifest in changed.values()}
    if not any(fault.startswith(expected) for fault in edges.faults(root, changed)):
        yield f"{crate}/Cargo.toml can have `{lines}`"


def unseen_unused(root, members):
    changed = copy.deepcopy(root)
    changed["workspace"]["dependencies"]["csv"] = "1"
    if "Cargo.toml: `csv` is used by nobody" not in edges.faults(changed, members):
        yield "Cargo.toml can list a dependency that is used by nobody"


def merge(into, more):
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


if __name__ == "__main__":
    main()
