"""Holds bills of materials against CycloneDX's own schema and what must be true of ours, and then breaks one thing at
a time to see that it is found.

    validate.py ROOT NOTICES BILL…   prints the faults, and ends with 1 if there are any
"""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

# Never in a binary: what only tests, builds or other platforms use, and what SeaORM could do if it were asked.
NEVER = {
    "testkit",
    "bench",
    "insta",
    "proptest",
    "cc",
    "syn",
    "serde_derive",
    "windows-sys",
    "sqlx-mysql",
    "sea-orm-cli",
}
ALWAYS = {"tokio", "rustls", "ring", "sea-orm", "sqlx-postgres", "libsqlite3-sys", "axum", "quick-xml", "apalis-redis"}
BROUGHT = {"sqlite", "zstd", "mimalloc", "swagger-ui", "tzdata"}


def main():
    root, notices, *bills = map(Path, sys.argv[1:])
    notices = notices.read_text()
    for bill in bills:
        document = json.loads(bill.read_text())
        found = [*refused(document), *faults(document), *unlisted(root, document), *unnoticed(notices, document)]
        found = found or [*unseen(document), *unseen_notices(notices, document)]
        if found:
            sys.exit("\n".join(f"{bill.name}: {fault}" for fault in found))
        print(
            f"{bill.name}: {len(document['components'])} crates; {len(MUTATIONS) + len(TEXTS) + 1} broken copies, all found"
        )


def refused(document):
    if document["specVersion"] != "1.6":
        yield f"the schema refuses it: it is of {document['specVersion']}"
    told = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))
    if told:
        yield f"the schema refuses it: {str(told)[:300]}"


def faults(document):
    components = document["components"]
    names = {component["name"] for component in components}
    for name in NEVER & names:
        yield f"`{name}` is not in the binary"
    for name in ALWAYS - names:
        yield f"`{name}` is missing"
    brought = {part["name"] for component in components for part in component.get("components", [])}
    if brought != BROUGHT:
        yield f"what crates bring along is {sorted(brought)}"
    for component in components:
        ours = component.get("group") == "fanfare"
        if not component["licenses"][0].get("expression"):
            yield f"`{component['name']}` has no licence"
        if not ours and not component.get("purl", "").startswith("pkg:cargo/"):
            yield f"`{component['name']}` can't be looked up"
        if not ours and not component.get("hashes"):
            yield f"`{component['name']}` has no hash"
        if ours and "purl" in component:
            yield f"`{component['name']}` is ours, and no registry's"
    refs = [document["metadata"]["component"]["bom-ref"], *(component["bom-ref"] for component in components)]
    edges = {edge["ref"]: edge["dependsOn"] for edge in document["dependencies"]}
    if sorted(refs) != sorted(edges) or len(set(refs)) != len(refs):
        yield "components and dependencies are not of the same crates"
    for ref in set(refs) - reached(edges, refs[0]):
        yield f"nothing leads to `{ref}`"
    if re.search(r"file://|/home/|/root/|/tmp/", json.dumps(document)):
        yield "it names a folder of the machine that made it"


def reached(edges, start):
    known, ahead = set(), [start]
    while ahead:
        ref = ahead.pop()
        if ref not in known:
            known.add(ref)
            ahead += edges.get(ref, [])
    return known


def unlisted(root, document):
    """Crates whose code a released binary at hand has, by the paths in its messages of panics, and which are not
    listed. A debug binary may have more, since tests ask crates for more."""
    binary = binary_for(root, document["metadata"]["properties"][0]["value"])
    if not binary:
        return
    listed = {f"{component['name']}-{component['version']}".encode() for component in document["components"]}
    for crate in set(re.findall(rb"/registry/src/[^/]+/([\w.+-]+-\d+\.\d+\.\d+[\w.+-]*)/", binary.read_bytes())):
        if crate not in listed:
            yield f"{binary} has code of `{crate.decode()}`, which is not listed"


def binary_for(root, target):
    compiler = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    if f"host: {target}\n" not in compiler:
        return None
    folder = root / os.environ.get("CARGO_TARGET_DIR", "target")
    last = (root / "Cargo.lock").stat().st_mtime
    for binary in (folder / "dist/fanfare", folder / "release/fanfare"):
        if binary.exists() and binary.stat().st_mtime > last:
            return binary
    print("SKIPPED, the bill against a binary: there is no current one, which `cargo build --release` makes")
    return None


def unnoticed(notices, document):
    for component in document["components"]:
        if "purl" in component and f"\n{component['name']} {component['version']}  " not in notices:
            yield f"licences do not tell of `{component['name']}`"
    for text in TEXTS:
        if text not in notices:
            yield f"licences lack a text: `{text}`"


def component(document, name):
    return next(component for component in document["components"] if component["name"] == name)


def without(document, name):
    document["components"] = [c for c in document["components"] if c["name"] != name]


SCHEMA = "the schema refuses it"

MUTATIONS = [
    (lambda d: d.update(specVersion="9.9"), SCHEMA),
    (lambda d: d.update(surprise=1), SCHEMA),
    (lambda d: component(d, "tokio").update(licenses=[{"license": {"id": "NO-SUCH"}}]), SCHEMA),
    (lambda d: component(d, "tokio").update(licenses=[{"expression": ""}]), "`tokio` has no licence"),
    (lambda d: component(d, "tokio").pop("hashes"), "`tokio` has no hash"),
    (lambda d: component(d, "tokio").pop("purl"), "`tokio` can't be looked up"),
    (lambda d: component(d, "worker").update(purl="pkg:cargo/worker@0.1.0"), "`worker` is ours"),
    (lambda d: component(d, "tokio").update(name="insta"), "`insta` is not in the binary"),
    (lambda d: without(d, "ring"), "`ring` is missing"),
    (lambda d: component(d, "libsqlite3-sys").pop("components"), "what crates bring along"),
    (lambda d: d["dependencies"].pop(), "components and dependencies"),
    (lambda d: [edge["dependsOn"].clear() for edge in d["dependencies"]], "nothing leads to"),
    (lambda d: component(d, "tokio").update(description="from file:///home/me"), "names a folder"),
]


# Of a crate, of C that a crate brings along, and of data.
TEXTS = ("Copyright (c) Tokio Contributors", "Copyright (c) Meta Platforms", "Community Data License Agreement")


def unseen_notices(notices, document):
    for text in ("\ntokio ", *TEXTS):
        if text not in notices or not [*unnoticed(notices.replace(text, ""), document)]:
            yield f"licences may lack `{text.strip()}`"


def unseen(document):
    for number, (breaks, expected) in enumerate(MUTATIONS, 1):
        broken = copy.deepcopy(document)
        breaks(broken)
        if expected == SCHEMA:
            # What is valid takes the schema seconds, and the rest of it is.
            broken["components"] = [component(broken, "tokio")]
        if not any(expected in fault for fault in (refused if expected == SCHEMA else faults)(broken)):
            yield f"broken copy {number} passes, and not with `{expected}`"


if __name__ == "__main__":
    main()
