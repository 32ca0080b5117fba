"""Holds .github against GitHub's schemas, against zizmor, which knows how workflows are attacked, and against rules of
our own: each step can be run on any machine, by a command that docs/CONTRIBUTING.md tells.

    workflows.py ROOT   prints the faults, and ends with 1 if there are any
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

WORKFLOWS = ".github/workflows"
DEPENDABOT = ".github/dependabot.yml"
MANUAL = "docs/CONTRIBUTING.md"

# What a step may call beside scripts of ours: what only logs in or hands an output on.
ALLOWED = re.compile(r"docker login |echo \"\w+=\$\w+\" >>\"\$GITHUB_OUTPUT\"$")


def main():
    found = faults(Path(sys.argv[1]))
    for told in found:
        print(told)
    sys.exit(1 if found else 0)


def faults(root):
    files = sorted((root / WORKFLOWS).glob("*.y*ml"))
    if not files:
        return ["there are no workflows"]
    return [*refused(root, files), *attackable(root), *(told for file in files for told in own_rules(root, file))]


def refused(root, files):
    """By the schemas that check-jsonschema brings."""
    for schema, of in [("vendor.github-workflows", files), ("vendor.dependabot", [root / DEPENDABOT])]:
        told = run("check-jsonschema", "--builtin-schema", schema, *of)
        if told:
            yield f"the schema {schema} refuses it: {told}"


def attackable(root):
    told = run("zizmor", "--offline", "--no-progress", "--pedantic", "--format", "plain", root / ".github")
    if told:
        yield told


def run(program, *arguments, given=None):
    """What it says if it finds fault."""
    ran = subprocess.run([program, *map(str, arguments)], check=False, capture_output=True, text=True, input=given)
    return "" if ran.returncode == 0 else f"{ran.stdout}{ran.stderr}".strip()


def own_rules(root, file):
    text = file.read_text()
    parsed = YAML(typ="safe").load(text)
    yield from (f"{file.name}: {told}" for told in shape(parsed))
    yield from (f"{file.name}: {told}" for told in pins(text))
    for name, job in parsed["jobs"].items():
        for step in job.get("steps", []):
            if "run" in step:
                where = f"{file.name}: {name}: {step.get('name', 'a step')}"
                yield from (f"{where}: {told}" for told in commands(root, step["run"]))


def shape(parsed):
    if parsed.get("permissions") != {}:
        yield "jobs take the permissions that they need, and the workflow has none: `permissions: {}`"
    if "concurrency" not in parsed:
        yield "it does not say what becomes of two runs at once: `concurrency`"
    for name, job in parsed["jobs"].items():
        for key in ("name", "permissions", "timeout-minutes"):
            if key not in job:
                yield f"{name}: it has no `{key}`"


def pins(text):
    for line in text.splitlines():
        if "uses:" in line and not re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line):
            yield f"`{line.strip()}` is pinned to no commit, or does not tell its version"


def commands(root, script):
    if "${{" in script:
        yield "what others write never stands in a script: hand it on as a variable of `env`"
    if shutil.which("shellcheck"):
        told = run("shellcheck", "--shell=bash", "--format=gcc", "-", given=f"set -eo pipefail\n{script}")
        if told:
            yield told
    manual = (root / MANUAL).read_text()
    for line in script.splitlines():
        # digest=$(scripts/release/push …)
        command = re.sub(r"^\w+=\$\((.*)\)$", r"\1", line.strip())
        if not command or ALLOWED.match(command):
            continue
        program = command.split()[0]
        if not re.match(r"(scripts/|\.ci/)", program):
            yield f"`{command}` is no script of ours"
        elif not os.access(root / program, os.X_OK):
            yield f"there is no {program} that can be executed"
        elif f"`{program}" not in manual:
            yield f"{MANUAL} does not tell how to run `{program}`"


if __name__ == "__main__":
    main()
