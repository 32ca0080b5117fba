"""Breaks one thing at a time in copies of the files, and expects the check to find it.

    mutations.py ROOT   prints what passed unseen, and ends with 1 if anything did
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from files import faults

DOCKERFILE = "deploy/Dockerfile"
IGNORE = ".dockerignore"

# File, pattern, replacement of its first match, and what the fault has to say.
MUTATIONS = [
    (DOCKERFILE, r"\A", "# syntax=docker/dockerfile:1\n", "has a frontend fetched"),
    (DOCKERFILE, r"rust:1\.95\.0-slim-bookworm", "rust:latest", "has no tag that says what it is"),
    (DOCKERFILE, r"rust:1\.95\.0-", "rust:1.94.1-", "not a release of Rust of 1.95"),
    (DOCKERFILE, r"rust:1\.95\.0-", "rust:1.95-", "not a release of Rust of 1.95"),
    (DOCKERFILE, r"slim-bookworm", "slim-trixie", "not the same Debian"),
    (DOCKERFILE, r"cc-debian12:nonroot", "cc-debian12", "has no tag that says what it is"),
    (DOCKERFILE, r"cc-debian12:nonroot", "static-debian12:nonroot", "is not distroless' with libgcc"),
    (DOCKERFILE, r"FROM \$\{RUNTIME_IMAGE\}", "FROM debian:bookworm-slim", "is not distroless' with libgcc"),
    (DOCKERFILE, r"ARG RUNTIME_IMAGE=", "ARG BASE=", "there is no argument RUNTIME_IMAGE"),
    (DOCKERFILE, r"cargo fetch --locked", "cargo fetch", "may take other packages"),
    (DOCKERFILE, r"--profile dist", "--release", "does not build with the profile `dist`"),
    (DOCKERFILE, r" --offline", "", "may ask the network"),
    (DOCKERFILE, r"--package fanfare --locked", "--package fanfare --features x --locked", "with other settings"),
    (DOCKERFILE, r"RUN --mount=\S+ \\\n    cargo build .*\n", "", "dependencies are not built apart"),
    (DOCKERFILE, r"COPY --from=manifests /workspace \.", "COPY . .", "a layer that sources can change"),
    (DOCKERFILE, r"-exec touch \{\} \+", "-print", "old sources pass for built"),
    (DOCKERFILE, r"--mount=type=secret,id=cargo-config\S+", "", "does not find what was fetched"),
    (DOCKERFILE, r"--mount=\S+( \\\n    cargo build)", r"\1", "does not find what was fetched"),
    (DOCKERFILE, r"WORKDIR /workspace", "ARG REGISTRY_TOKEN\n\\g<0>", "password has no way in"),
    (DOCKERFILE, r"USER 65532:65532", "USER nonroot", "its user is not 65532"),
    (DOCKERFILE, r"USER 65532:65532\n", "", "its user is not 65532"),
    (DOCKERFILE, r"USER 65532:65532", "USER 65532:65532\nUSER root", "its user is not 65532"),
    (DOCKERFILE, r'ENTRYPOINT \["(.*)"\]', r"ENTRYPOINT \1", "its entry point is not"),
    (DOCKERFILE, r"STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL", "not stopped by SIGTERM"),
    (DOCKERFILE, r"COPY --from=build /image/ /", "RUN true\n\\g<0>", "has no shell for it"),
    (DOCKERFILE, r"COPY --from=build /image/ /", "COPY fanfare /usr/local/bin/", "copies from the sources"),
    (DOCKERFILE, r'CMD \["/usr/local/bin/fanfare", "healthcheck"\]', "CMD fanfare healthcheck", "its health check is not"),
    (DOCKERFILE, r"HEALTHCHECK [^\n]*\\\n", "HEALTHCHECK ", "has no more time than its own bound"),
    (DOCKERFILE, r"--timeout=5s", "--timeout=3s", "has no more time than its own bound"),
    (DOCKERFILE, r" --start-period=60s", "", "how many times"),
    (DOCKERFILE, r"HEALTHCHECK [^\n]*\\\n.*\n", "HEALTHCHECK NONE\n", "its health check is not"),
    (DOCKERFILE, r"FANFARE_LISTEN=0\.0\.0\.0", "FANFARE_LISTEN=127.0.0.1", "does not set FANFARE_LISTEN"),
    (DOCKERFILE, r"FANFARE_OBSERVE_LISTEN", "FANFARE_OBSERVE", "sets FANFARE_OBSERVE, which nothing reads"),
    (DOCKERFILE, r"EXPOSE 8080 9464", "EXPOSE 8080", "the port of FANFARE_OBSERVE_LISTEN"),
    (DOCKERFILE, r"EXPOSE", "VOLUME /tmp\nEXPOSE", "declares a volume"),
    (DOCKERFILE, r"\.source=", ".src=", "the label source is missing"),
    (DOCKERFILE, r'version="\$\{VERSION\}"', 'version="0.1.0"', "the label version is not what"),
    (DOCKERFILE, r'title="Fanfare"', 'title=""', "the label title is empty"),
    (DOCKERFILE, r"ARG REVISION=unknown\n", "", "does not take the argument REVISION"),
    (DOCKERFILE, r"MIT OR Apache-2.0", "MIT", "is not the workspace's licence"),
    (IGNORE, r"!queue/src\n", "", "queue/src/redis/push.lua is not sent"),
    (IGNORE, r"!migration/src\n", "!migration/src\nmigration/src/*.sql\n", "migration/src/initial.sql is not sent"),
    (IGNORE, r"!api/build\.rs\n", "", "api/build.rs is not sent"),
    (IGNORE, r"!bench/Cargo\.toml\n", "", "bench/Cargo.toml is not sent"),
    (IGNORE, r"!Cargo\.lock\n", "", "Cargo.lock is not sent"),
    (IGNORE, r"!LICENSE-MIT\n", "", "LICENSE-MIT is not sent"),
    (IGNORE, r"^\*$", "/target", ".env would be sent"),
    (IGNORE, r"^\*$", "*.db", "target/release/fanfare would be sent"),
    (IGNORE, r"!fanfare/src$", "!fanfare", "fanfare/.env would be sent"),
    (IGNORE, r"!worker/src$", "!worker", "worker/fuzz/Cargo.toml would be sent"),
    (IGNORE, r"\Z", "!.git\n", ".git/config would be sent"),
    (IGNORE, r"!entity/src$", "!*/src", "`!*/src` is a pattern"),
    (IGNORE, r"!entity/src$", "!entity/src\n!entities/src", "names what is not there"),
    ("Cargo.toml", r'lto = "fat"', "lto = false", "does not link as a whole"),
    ("worker/Cargo.toml", r"\[dependencies\]", "[dependencies]\ntestkit.workspace = true", "testkit/src/lib.rs is not sent"),
    ("api/src/lib.rs", r"\A", 'const X: &str = include_str!("../../docs/API.md");\n', "docs/API.md is not sent"),
]  # fmt: skip


def main():
    root = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        make_copy(root, copy)
        passed = [told for mutation in MUTATIONS for told in unseen(copy, *mutation)]
    for told in passed:
        print(told)
    print(f"{len(MUTATIONS)} broken copies, {len(MUTATIONS) - len(passed)} found")
    sys.exit(1 if passed else 0)


def make_copy(root, copy):
    for part in (DOCKERFILE, IGNORE, "Cargo.toml", "Cargo.lock", ".env.example", "docs/API.md"):
        (copy / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / part, copy / part)
    for file in root.glob("LICENSE*"):
        shutil.copy(file, copy)
    for manifest in root.glob("*/Cargo.toml"):
        crate = copy / manifest.parent.name
        crate.mkdir(exist_ok=True)
        shutil.copy(manifest, crate)
        shutil.copytree(manifest.parent / "src", crate / "src")
        if (manifest.parent / "build.rs").exists():
            shutil.copy(manifest.parent / "build.rs", crate)


def unseen(copy, file, pattern, replacement, expected):
    """Nothing if the fault is found."""
    whole = (copy / file).read_text()
    broken, changes = re.subn(pattern, replacement, whole, count=1, flags=re.MULTILINE)
    if not changes or broken == whole:
        yield f"{file}: nothing to break at /{pattern}/"
        return
    (copy / file).write_text(broken)
    found = list(faults(copy))
    (copy / file).write_text(whole)
    if not any(expected in fault for fault in found):
        yield f"{file}: /{pattern}/ -> {replacement!r} passed; expected “{expected}”, found {found or 'nothing'}"


if __name__ == "__main__":
    main()
