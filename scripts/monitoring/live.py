"""Lets a Prometheus watch a demo, and asks it all that dashboards ask and alerts evaluate.

    live.py ROOT ADDRESS FOLDER     prints every fault, and ends with 1 if there is one

What can't be matched, such as two series where one is wanted, shows only here.
"""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from dashboards import replaced
from scrape import REQUESTS

RATE = "15s"
WATCHED_S = 25  # longer than RATE: what is asked for has happened within
READY_WITHIN_S = 30

# What a healthy demo without a shared cache's hits or a failing provider does not show.
QUIET = {
    "Runs lost",
    "Telemetry lost",
    "Server errors",
    "Runs that brought nothing",
    "Fetches without a good answer",
    "Events that left their feeds",
}


def main():
    root, address, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    rules = (root / "deploy/prometheus/alerts.yaml").read_text().replace("interval: 1m", "interval: 1s")
    (folder / "rules.yaml").write_text(rules)
    (folder / "prometheus.yaml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        "rule_files: [rules.yaml]\n"
        f"scrape_configs: [{{job_name: fanfare, static_configs: [{{targets: ['{address.removeprefix('http://')}']}}]}}]\n"
    )
    prometheus = subprocess.Popen(
        ["prometheus", f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/tsdb"]
        + [f"--web.listen-address={listen}", "--log.level=error"]
    )
    try:
        faults = watch(root, address, f"http://{listen}/api/v1")
    finally:
        prometheus.terminate()
        prometheus.wait(timeout=30)
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


def watch(root, address, prometheus):
    deadline = time.monotonic() + READY_WITHIN_S
    while not value(prometheus, 'up{job="fanfare"} == 1'):
        if time.monotonic() > deadline:
            return [f"Prometheus does not scrape {address} within {READY_WITHIN_S} s"]
        time.sleep(0.2)
    deadline = time.monotonic() + WATCHED_S
    while time.monotonic() < deadline:
        for path in REQUESTS:
            answer(address + path)
        time.sleep(0.2)
    return [*asked(root, prometheus), *evaluated(prometheus)]


def asked(root, prometheus):
    """What the dashboards ask."""
    for path in sorted((root / "deploy/grafana").glob("*.json")):
        board = json.loads(path.read_text())
        variables = {v["name"] for v in board["templating"]["list"]}
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", RATE)
                expression = replaced(expression, variables, lambda _: None)
                series = value(prometheus, expression)
                if isinstance(series, str):
                    yield f"{path.name}: panel `{panel['title']}`: {series}"
                elif not series and panel["title"] not in QUIET:
                    yield f"{path.name}: panel `{panel['title']}`: nothing for `{expression}`"


def evaluated(prometheus):
    """Whether each rule can be evaluated."""
    groups = json.loads(answer(f"{prometheus}/rules"))["data"]["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        if rule.get("lastError"):
            yield f"{rule['name']}: {rule['lastError']}"
        if rule.get("state") == "firing":
            yield f"{rule['name']} fires although all is well: {rule['alerts']}"


def value(prometheus, expression):
    """The series of an instant query, or why there are none."""
    text = answer(f"{prometheus}/query?query={urllib.parse.quote(expression)}")
    if text is None:
        return []
    told = json.loads(text)
    return told["data"]["result"] if told["status"] == "success" else told["error"]


def answer(address):
    try:
        with urllib.request.urlopen(address, timeout=10) as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        # What it can't ask it says as JSON, and that it is still starting as text.
        return None if error.code == 503 else error.read().decode()
    except OSError:
        return None


if __name__ == "__main__":
    main()
