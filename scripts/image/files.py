"""What is wrong with the Dockerfile and .dockerignore, by reading them.

    files.py ROOT   prints each fault, and ends with 1 if there is one
"""

import re
import sys
import tomllib
from pathlib import Path

import context
import dockerfile

PROGRAM = "/usr/local/bin/fanfare"
TITLES = "org.opencontainers.image."
LABELS = ("title", "description", "licenses", "version", "revision", "created", "source")
# Made when the image is built, so that one Dockerfile serves every commit.
GIVEN = ("version", "revision", "created", "source")

# What no build may be sent, wherever a machine has it.
KEPT_OUT = [
    ".env", ".git/config", ".git/HEAD", ".github/workflows/check.yml", ".ci/run", "target/release/fanfare",
    "target/dist/fanfare", "fanfare.db", "fanfare.db-wal", "worker/fuzz/target/x", "worker/fuzz/Cargo.toml",
    "worker/fixtures/plan_list/x.xml", "fanfare/tests/e2e/main.rs", "fanfare/.env", "docs/OPERATIONS.md",
    "deploy/Dockerfile", "deploy/secrets/password", "scripts/test", "testkit/src/lib.rs", "bench/src/main.rs",
    "providers.toml", "id_rsa", "src/main.rs", "api/target/debug/x",
]  # fmt: skip


def faults(root):
    text = (root / "deploy/Dockerfile").read_text()
    ignore = (root / ".dockerignore").read_text()
    workspace = tomllib.loads((root / "Cargo.toml").read_text())
    arguments, stages = dockerfile.read(text)
    yield from in_frontend(text)
    yield from in_bases(arguments, stages, workspace)
    yield from in_build(text, stages, workspace)
    yield from in_image(stages[-1], root)
    yield from in_labels(stages[-1], workspace)
    yield from in_context(root, ignore)


def in_frontend(text):
    if re.search(r"^\s*#\s*(syntax|escape|check)\s*=", text, re.MULTILINE | re.IGNORECASE):
        yield "a directive at its top has a frontend fetched, which no machine without a network can"


def in_bases(arguments, stages, workspace):
    for name in ("RUST_IMAGE", "RUNTIME_IMAGE"):
        if name not in arguments:
            yield f"there is no argument {name} before the first stage"
    names = {stage.name for stage in stages}
    for base in {stage.base for stage in stages} - names:
        tag = base.partition("@")[0].rpartition("/")[2].partition(":")[2]
        if not tag or tag == "latest":
            yield f"the base {base} has no tag that says what it is"
    rust = re.match(r".*rust:(\d+)\.(\d+)(?:\.(\d+))?-slim-(\w+)", arguments.get("RUST_IMAGE", ""))
    least = tuple(map(int, workspace["workspace"]["package"]["rust-version"].split(".")))
    if not rust or not rust[3] or (int(rust[1]), int(rust[2])) < least[:2]:
        yield f"RUST_IMAGE is not a release of Rust of {least[0]}.{least[1]} or newer, to the last number"
    debian = {"bookworm": "12", "trixie": "13"}.get(rust[4] if rust else "")
    if f"-debian{debian}:" not in arguments.get("RUNTIME_IMAGE", ""):
        yield "the two bases are not the same Debian, so that glibc may be older than what it was linked with"
    if not re.search(r"distroless/cc-.*nonroot", stages[-1].base):
        yield f"the image's base {stages[-1].base} is not distroless' with libgcc, for users that are not root"


def in_build(text, stages, workspace):
    cargo = [part.strip() for stage in stages for run in stage.all("RUN")
             for part in re.split(r"&&|;", re.sub(r"^(--\S+\s+)+", "", run)) if part.strip().startswith("cargo ")]  # fmt: skip
    builds = [command for command in cargo if command.startswith("cargo build")]
    for command in cargo:
        if "--locked" not in command:
            yield f"`{command}` may take other packages than the lock file's"
    for command in builds:
        if "--profile dist" not in command:
            yield f"`{command}` does not build with the profile `dist`"
        if "--offline" not in command:
            yield f"`{command}` may ask the network"
    if len(set(builds)) != 1 or len(builds) != 2:
        yield "dependencies are not built apart, or with other settings than the program"
    dist = workspace["profile"]["dist"]
    if dist.get("lto") != "fat" or dist.get("strip") != "symbols":
        yield "the profile `dist` does not link as a whole, or leaves symbols in"
    build = next((stage for stage in stages if stage.name == "build"), None)
    order = [(keyword, rest) for keyword, rest in (build.instructions if build else []) if keyword in ("COPY", "RUN")]
    steps = [rest if keyword == "COPY" else "fetch" if "cargo fetch" in rest else "touch" if "touch" in rest else "build"
             for keyword, rest in order]  # fmt: skip
    if steps != ["--from=manifests /workspace .", "fetch", "build", ". .", "touch"]:
        yield "what is built of dependencies lies in a layer that sources can change, or old sources pass for built"
    runs = re.findall(r"^RUN (?:.*\\\n)*.*", text, re.MULTILINE)
    if any("cargo " in run and "--mount=type=secret,id=cargo-config" not in run for run in runs):
        yield "a cargo of its own configuration does not find what was fetched by it"
    if "type=secret,id=cargo-config" not in text or re.search(r"^(ARG|ENV)\b.*(TOKEN|PASSWORD|SECRET)", text, re.MULTILINE):
        yield "a registry's password has no way in but into a layer"


def in_image(image, root):
    if image.last("USER") != "65532:65532":
        yield "its user is not 65532:65532"
    if dockerfile.exec_form(image.last("ENTRYPOINT")) != [PROGRAM]:
        yield f"its entry point is not {PROGRAM}, without a shell"
    if image.last("STOPSIGNAL") != "SIGTERM":
        yield "it is not stopped by SIGTERM"
    if image.all("RUN") or image.all("ADD"):
        yield "its last stage runs something or fetches something, and has no shell for it"
    if any("--from=" not in copied for copied in image.all("COPY")):
        yield "its last stage copies from the sources"
    yield from in_health_check(image)
    variables = dockerfile.pairs(image.all("ENV"))
    known = set(re.findall(r"^#?([A-Z_]+)=", (root / ".env.example").read_text(), re.MULTILINE))
    for name in variables:
        if name not in known:
            yield f"it sets {name}, which nothing reads"
    exposed = set(" ".join(image.all("EXPOSE")).split())
    for name, address in (("FANFARE_LISTEN", "0.0.0.0:8080"), ("FANFARE_OBSERVE_LISTEN", "0.0.0.0:9464")):
        if variables.get(name) != address:
            yield f"it does not set {name} to {address}"
        if address.partition(":")[2] not in exposed:
            yield f"it does not tell the port of {name}"
    if image.all("VOLUME"):
        yield "it declares a volume, which each container leaves behind"


def in_health_check(image):
    text = image.last("HEALTHCHECK") or ""
    options, _, command = text.partition("CMD")
    if dockerfile.exec_form(command.strip()) != [PROGRAM, "healthcheck"]:
        yield "its health check is not `fanfare healthcheck`, without a shell"
    seconds = {name: int(value) for name, value in re.findall(r"--([\w-]+)=(\d+)s?\b", options)}
    # `fanfare healthcheck` itself gives up after three seconds.
    if seconds.get("timeout", 0) <= 3:
        yield "its health check has no more time than its own bound, 3 s"
    if not {"interval", "start-period", "retries"} <= set(seconds):
        yield "its health check leaves out how often and how many times"


def in_labels(image, workspace):
    labels = dockerfile.pairs(image.all("LABEL"))
    for name in LABELS:
        value = labels.get(TITLES + name)
        if value is None:
            yield f"the label {name} is missing"
        elif name in GIVEN and value != f"${{{name.upper()}}}":
            yield f"the label {name} is not what the build is told"
        elif name not in GIVEN and not value:
            yield f"the label {name} is empty"
    declared = {argument.partition("=")[0] for argument in image.all("ARG")}
    for name in GIVEN:
        if name.upper() not in declared:
            yield f"the last stage does not take the argument {name.upper()}"
    if labels.get(TITLES + "licenses") != workspace["workspace"]["package"]["license"]:
        yield "the label licenses is not the workspace's licence"


def in_context(root, text):
    ignored = context.Ignored(text)
    for path in context.needed(root):
        if ignored(path):
            yield f"{path} is not sent, and the build needs it"
    for path in KEPT_OUT:
        if not ignored(path):
            yield f"{path} would be sent"
    for line in text.splitlines():
        # Builders differ in whether they look into an ignored folder for a pattern's sake.
        if line.startswith("!") and any(sign in line for sign in "*?["):
            yield f"`{line}` is a pattern: name the folders one by one"
        elif line.startswith("!") and not (root / line[1:]).exists():
            yield f"`{line}` names what is not there"


def main():
    found = list(faults(Path(sys.argv[1])))
    for fault in found:
        print(fault)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
