"""Starts whatever the chart starts, with the real program and the environment that it is given, and with addresses at which
nobody is. It has to get as far as to miss them: what it could not read it would refuse before.

    options.py ROOT HELM PROGRAM        prints what was refused, and ends with 1 if anything was
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from render import ROLES, environment, render

NOWHERE = "127.0.0.1:1"
# What stands in a Secret, and what a test must not do: listen where others do, or speak to a receiver.
HERE = {
    "FANFARE_DATABASE_URL": f"postgres://fanfare@{NOWHERE}/fanfare",
    "FANFARE_DATABASE_READ_URL": f"postgres://fanfare@{NOWHERE}/fanfare",
    "FANFARE_REDIS_URL": f"redis://{NOWHERE}",
    "FANFARE_CACHE_URL": f"redis://{NOWHERE}",
    "FANFARE_PROXY": f"http://{NOWHERE}",
    "FANFARE_ADMIN_TOKEN": "0123456789abcdef",
    "FANFARE_LISTEN": "127.0.0.1:0",
    "FANFARE_OBSERVE_LISTEN": "127.0.0.1:0",
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{NOWHERE}",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=none",
}
MISSED = ("connect to redis at", "no answer from the database at", "nobody listens at")
FILES = ("everything-values.yaml", "minimal-values.yaml", "fixed-values.yaml")


def refused(program, root, name, container):
    """Nothing if it could read everything."""
    own = {name: HERE.get(name, value or "") for name, value in environment(container).items()}
    if "FANFARE_PROVIDERS" in own:
        own["FANFARE_PROVIDERS"] = str(root / "deploy/providers.toml")
    done = subprocess.run(
        [program, *container["args"]], env=own, capture_output=True, text=True, timeout=60, check=False
    )
    said = done.stdout + done.stderr
    # What makes no sense is an end of its own.
    if done.returncode == 1 and any(missed in said for missed in MISSED):
        return None
    return f"{name}: {container['args'][0]} ends with {done.returncode}: {said[-500:].strip()}"


def containers(rendered):
    for _, _, spec in rendered.pods():
        (container,) = spec["containers"]
        if container["args"][0] in (*ROLES, "doctor", "migrate"):
            yield rendered.name, container


def main():
    root, helm, program = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    chart = root / "deploy/helm/fanfare"
    whole = [render(helm, root, chart, chart / "ci" / file) for file in FILES]
    works = [work for rendered in whole for work in containers(rendered)]
    with ThreadPoolExecutor(len(works)) as pool:
        told = [*filter(None, pool.map(lambda work: refused(program, root, *work), works))]
    # It would notice what the program can't read.
    (worker,) = whole[0].role("worker")["containers"]
    next(v for v in worker["env"] if v["name"] == "FANFARE_DRAIN")["value"] = "20 parsecs"
    if refused(program, root, "mutation", worker) is None:
        told.append("a duration that makes no sense is taken, or this does not notice")
    for line in told:
        print(line)
    sys.exit(1 if told else 0)


if __name__ == "__main__":
    main()
