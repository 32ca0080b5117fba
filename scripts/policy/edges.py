"""Tells which crates depend on what is not theirs, in tests too, where deny.toml does not look.

edges.py METADATA   of `cargo metadata`; prints the faults, and ends with 1 if there are any
"""

import json
import re
import sys
import tomllib
from pathlib import Path

# What a crate's tests may use of ours, beside what the crate itself may use by deny.toml. Roles meet
# in the tests of fanfare alone.
OURS_IN_TESTS = {
    "api": {"migration", "testkit"},
    "bench": set(),
    "entity": {"testkit"},
    "fanfare": {"testkit"},
    "migration": {"testkit"},
    "queue": set(),
    "scheduler": {"migration", "testkit"},
    "simulator": set(),
    "telemetry": set(),
    "testkit": set(),
    "worker": {"migration", "simulator", "testkit"},
}

# Whose tests may use what is one crate's own otherwise.
OTHERS_IN_TESTS = {
    "apalis": {"queue"},
    "axum": {"worker"},
    "quick-xml": set(),
    "redis": {"fanfare", "testkit"},
    "reqwest": {"fanfare", "simulator"},
    "sea-orm": {"fanfare", "scheduler", "worker"},
    "sea-orm-migration": set(),
    "sqlx": set(),
}

# Programs; nothing is built on them.
LAST = {"bench", "fanfare"}


def main():
    found = faults(*read(json.loads(Path(sys.argv[1]).read_text())))
    for told in found:
        print(told)
    sys.exit(1 if found else 0)


def read(metadata):
    """The workspace's manifest, and its members' by name."""
    members = set(metadata["workspace_members"])
    manifests = [Path(p["manifest_path"]) for p in metadata["packages"] if p["id"] in members]
    parsed = [tomllib.loads(manifest.read_text()) for manifest in manifests]
    root = tomllib.loads((Path(metadata["workspace_root"]) / "Cargo.toml").read_text())
    return root, {manifest["package"]["name"]: manifest for manifest in parsed}


def faults(root, members):
    return [
        *wrong_in_tests(members),
        *built_on_programs(members),
        *not_inherited(members),
        *used_by_nobody(root, members),
        *not_of_the_house(members),
    ]


def dependencies(manifest, kinds):
    """Name and value of each, for any target."""
    for table in [manifest, *manifest.get("target", {}).values()]:
        for kind in kinds:
            yield from table.get(kind, {}).items()


def wrong_in_tests(members):
    for name, manifest in members.items():
        if name not in OURS_IN_TESTS:
            yield f"{name}: a new crate; scripts/policy/edges.py and deny.toml say what it may use"
            continue
        for used, _ in dependencies(manifest, ["dev-dependencies"]):
            if used in members and used not in OURS_IN_TESTS[name]:
                yield f"{name}: its tests use `{used}`, which is not for them"
            if name not in OTHERS_IN_TESTS.get(used, {name}):
                yield f"{name}: its tests use `{used}`, which is not for them"


def built_on_programs(members):
    for name, manifest in members.items():
        for used, _ in dependencies(manifest, ["dependencies", "dev-dependencies", "build-dependencies"]):
            if used in LAST:
                yield f"{name}: uses `{used}`, which is a program"


def not_inherited(members):
    for name, manifest in members.items():
        for used, value in dependencies(manifest, ["dependencies", "dev-dependencies", "build-dependencies"]):
            if not (isinstance(value, dict) and value.get("workspace")):
                yield f"{name}: the version of `{used}` belongs into the workspace's Cargo.toml"


def used_by_nobody(root, members):
    used = {
        name
        for manifest in members.values()
        for name, _ in dependencies(manifest, ["dependencies", "dev-dependencies", "build-dependencies"])
    }
    for name in root["workspace"]["dependencies"]:
        if name not in used and name not in LAST:
            yield f"Cargo.toml: `{name}` is used by nobody"


def not_of_the_house(members):
    for name, manifest in members.items():
        if not manifest.get("lints", {}).get("workspace"):
            yield f"{name}: does not take over the workspace's lints"
        for key in ("version", "edition", "rust-version", "license", "publish"):
            if manifest["package"].get(key) != {"workspace": True}:
                yield f"{name}: its `{key}` is not the workspace's"
        if not re.fullmatch(r"[a-z]+", name) or name in {"common", "core", "utils", "types", "helpers"}:
            yield f"{name}: a crate has the name of what it is"


if __name__ == "__main__":
    main()
