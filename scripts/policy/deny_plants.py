"""Plants faults in copies of the workspace's manifests, of what cargo tells of them and of deny.toml itself, and
expects cargo-deny to find each.

    deny_plants.py ROOT CARGO_DENY FLAG…   prints what passed unseen, and ends with 1 if anything did
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

# A crate of ours, what it may not use, and how that is written, if not for the workspace's version. Faults of
# one round are planted together, and each thing is used wrongly by one crate a round, so that all are told apart.
USES = [
    [
        ("api", "queue"),
        ("worker", "simulator"),
        ("entity", "telemetry"),
        ("scheduler", "apalis"),
        ("api", "quick-xml"),
        ("simulator", "reqwest"),
        ("worker", "sea-orm"),
        ("telemetry", "axum"),
        ("queue", "anyhow"),
        ("scheduler", "redis"),
        ("worker", "testkit"),
        ("api", "sea-orm-migration"),
        ("fanfare", "apalis-redis"),
        ("worker", "apalis-core"),
        ("fanfare", "sea-query-sqlx"),
        ("fanfare", "deadpool-redis"),
        ("scheduler", "sqlx", '{ version = "0.9", default-features = false }'),
        ("fanfare", "pkg-config", '"0.3"'),
        ("queue", "openssl-sys", "planted"),
        ("telemetry", "native-tls", "planted"),
        ("worker", "aws-lc-rs", "planted"),
        ("migration", "cmake", "planted"),
        ("api", "bindgen", "planted"),
        ("fanfare", "prost-build", "planted"),
        ("entity", "sqlx-mysql", "planted"),
        ("api", "serde_yaml", "planted"),
    ],
    [
        ("api", "worker"),
        ("api", "migration"),
        ("queue", "entity"),
        ("simulator", "telemetry"),
        ("scheduler", "quick-xml"),
        ("api", "reqwest"),
        ("queue", "sea-orm"),
        ("worker", "axum"),
        ("entity", "anyhow"),
        ("worker", "redis"),
        ("scheduler", "testkit"),
        ("fanfare", "apalis"),
    ],
    [("worker", "scheduler"), ("fanfare", "reqwest"), ("scheduler", "sea-orm"), ("entity", "redis")],
    [("scheduler", "api"), ("fanfare", "quick-xml")],
]

# A crate of ours, a line in its manifest, and the code of what it leads to.
LINES = [
    ("simulator", 'tokio = { workspace = true, features = ["full"] }', "feature-banned"),
    ("queue", 'itoa = "*"', "wildcard"),
    ("scheduler", 'bytes = "1"', "workspace-duplicate"),
    ("scheduler", 'chrono = { path = "../planted/chrono" }', "duplicate"),
    ("fanfare", 'planted-builder = { path = "../planted/planted-builder" }', "detected-executable"),
]

# What cargo tells of a package, changed, and the code of what it leads to.
PACKAGES = [
    ("url", {"license": "GPL-3.0-only"}, "licenses", "rejected"),
    ("itoa", {"license": "AGPL-3.0-only"}, "licenses", "rejected"),
    ("rustls", {"license": "CDLA-Permissive-2.0"}, "licenses", "rejected"),
    ("bytes", {"source": "git+https://git.example/bytes?rev=1#1"}, "sources", "source-not-allowed"),
    ("memchr", {"source": "registry+https://registry.example/index"}, "sources", "source-not-allowed"),
]

# Lines of deny.toml, what stands there instead, and the code of what it leads to.
SETTINGS = [
    (r"^skip = \[$", 'skip = [\n    { crate = "csv@1", reason = "planted" },', "unmatched-skip"),
    (r"^skip = \[$", 'skip = [\n    { crate = "bytes@1", reason = "planted" },', "unnecessary-skip"),
    (r'"worker", "opentelemetry-http"', '"worker", "scheduler", "opentelemetry-http"', "unused-wrapper"),
    (r'^    "Zlib",$', '    "Zlib",\n    "MPL-2.0",', "license-not-encountered"),
    (
        r"^exceptions = \[$",
        'exceptions = [\n    { crate = "csv", allow = ["MPL-2.0"] },',
        "license-exception-not-encountered",
    ),
    (r'^    "ISC",\n', "", "rejected"),
    (r'^    \{ crate = "syn@2".*\n', "", "duplicate"),
]


def main():
    root, deny, *flags = sys.argv[1:]
    root = Path(root).resolve()
    passed, planted = [], 0
    for plant, faults in [
        *((plant_uses, round) for round in USES),
        (plant_lines, LINES),
        (plant_packages, PACKAGES),
        (plant_settings, SETTINGS),
    ]:
        planted += len(faults)
        with tempfile.TemporaryDirectory() as folder:
            copy_workspace(root, Path(folder))
            passed += plant(Path(folder), faults, [deny, "--offline", "--format", "json"], ["check", *flags])
    for told in passed:
        print(told)
    print(f"{planted} planted against deny.toml, {planted - len(passed)} found")
    sys.exit(1 if passed else 0)


def copy_workspace(root, folder):
    """Manifests are copied, all else is linked to."""
    for name in ("Cargo.toml", "Cargo.lock", "deny.toml"):
        (folder / name).write_text((root / name).read_text())
    for member in tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["members"]:
        (folder / member).mkdir()
        for entry in (root / member).iterdir():
            if entry.name == "Cargo.toml":
                (folder / member / entry.name).write_text(entry.read_text())
            else:
                (folder / member / entry.name).symlink_to(entry)


def plant_uses(folder, uses, deny, check):
    for crate, used, *how in uses:
        add(folder, crate, f"{used} = {written(folder, used, *how)}")
    told = {
        (parent["Krate"]["name"], fault["labels"][0]["span"])
        for fault in run(folder, deny, check + ["bans"])
        if fault["code"] == "banned"
        for graph in fault["graphs"]
        for parent in graph["parents"]
    }
    return [f"{crate} can use `{used}`" for crate, used, *_ in uses if (crate, used) not in told]


def written(folder, used, how="{ workspace = true }"):
    if how != "planted":
        return how
    package(folder, used)
    return f'{{ path = "../planted/{used}" }}'


def plant_lines(folder, lines, deny, check):
    package(folder, "chrono")
    package(folder, "planted-builder")
    (folder / "planted/planted-builder/build.rs").write_text("fn main() {}\n")
    # What is planted counts as ours, which is not searched, for fuzzing leaves its programs there.
    deny_toml = folder / "deny.toml"
    deny_toml.write_text(deny_toml.read_text().replace("[bans.build]\n", "[bans.build]\ninclude-workspace = true\n"))
    (folder / "planted/planted-builder/helper").write_bytes(Path(sys.executable).read_bytes()[:4096])
    for crate, line, _ in lines:
        remove(folder, crate, line.split(" = ")[0])
        add(folder, crate, line)
    codes = {fault["code"] for fault in run(folder, deny, check + ["bans"])}
    return [f"{crate} can have `{line}`" for crate, line, code in lines if code not in codes]


def plant_packages(folder, packages, deny, check):
    """In what cargo tells, for no such package can be had."""
    metadata = subprocess.run(
        ["cargo", "metadata", "--locked", "--offline", "--format-version", "1"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    metadata = json.loads(metadata)
    for name, changes, *_ in packages:
        next(p for p in metadata["packages"] if p["name"] == name).update(changes)
    (folder / "metadata.json").write_text(json.dumps(metadata))
    told = {
        (name, fault["code"])
        for fault in run(folder, [*deny, "--metadata-path", "metadata.json"], check + ["licenses", "sources"])
        for graph in fault["graphs"]
        for name in [graph["Krate"]["name"]]
    }
    return [f"{name} can have {changes}" for name, changes, _, code in packages if (name, code) not in told]


def plant_settings(folder, settings, deny, check):
    passed = []
    for pattern, replacement, code in settings:
        changed, count = re.subn(pattern, replacement, (folder / "deny.toml").read_text(), count=1, flags=re.MULTILINE)
        if not count:
            passed.append(f"deny.toml: there is no `{pattern}` any more to be broken")
        (folder / "deny.toml").write_text(changed)
    codes = {fault["code"] for fault in run(folder, deny, check + ["licenses", "bans"])}
    return passed + [f"deny.toml: `{p}` can be `{r}`" for p, r, code in settings if code not in codes]


def package(folder, name):
    planted = folder / "planted" / name
    (planted / "src").mkdir(parents=True)
    (planted / "src/lib.rs").touch()
    (planted / "Cargo.toml").write_text(f'[package]\nname = "{name}"\nversion = "99.0.0"\nlicense = "MIT"\n')


def add(folder, crate, line):
    manifest = folder / crate / "Cargo.toml"
    manifest.write_text(manifest.read_text().replace("[dependencies]\n", f"[dependencies]\n{line}\n", 1))


def remove(folder, crate, dependency):
    manifest = folder / crate / "Cargo.toml"
    manifest.write_text(re.sub(rf"^{dependency}(\.workspace)? = .*\n", "", manifest.read_text(), flags=re.MULTILINE))


def run(folder, deny, check):
    """The faults that cargo-deny tells."""
    ended = subprocess.run([*deny, *check], check=False, cwd=folder, capture_output=True, text=True)
    lines = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
    broken = [line for line in lines if line["type"] == "log" and line["fields"]["level"] == "ERROR"]
    if broken or not lines:
        sys.exit(f"cargo-deny did not run: {broken or ended.stderr}")
    return [line["fields"] for line in lines if line["type"] == "diagnostic" and line["fields"]["severity"] == "error"]


if __name__ == "__main__":
    main()
