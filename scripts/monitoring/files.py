"""Holds dashboards, rules and their documents against each other and against scrapes.

    files.py ROOT SCRAPE…       prints every fault, and ends with 1 if there is one
"""

import re
import sys
from pathlib import Path

import yaml

import dashboards
import rules
from spans import Spans
from vocabulary import Vocabulary


def faults(root, scrapes):
    """All faults of the files below `root`, as lines."""
    found = []
    document = (root / "docs/TELEMETRY.md").read_text()
    vocabulary = Vocabulary(scrapes, document)
    rule_file = "deploy/prometheus/alerts.yaml"
    alerts = rules.check(
        (root / rule_file).read_text(), root, vocabulary, lambda what: found.append(f"{rule_file}: {what}")
    )
    check_tests(root, alerts, found.append)
    check_manual(root, found.append)
    texts = {path.name: path.read_text() for path in sorted((root / "deploy/grafana").glob("*.json"))}
    if not texts:
        found.append("deploy/grafana: there are no dashboards")
    dashboards.check(texts, Spans(document), vocabulary, lambda what: found.append(f"deploy/grafana/{what}"))
    return found


def check_tests(root, alerts, say):
    """Each alert is tested to fire and to stay silent."""
    file = "deploy/prometheus/alerts_test.yaml"
    tests = yaml.safe_load((root / file).read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    for alert in sorted(alerts - fires):
        say(f"{file}: nothing tests that {alert} fires")
    for name in sorted((fires | silent) - alerts):
        say(f"{file}: there is no alert {name}")


def check_manual(root, say):
    """Links within the manual lead somewhere."""
    file = "docs/OPERATIONS.md"
    text = (root / file).read_text()
    for anchor in sorted(set(re.findall(r"\]\(#([^)]+)\)", text)) - rules.anchors(text)):
        say(f"{file}: a link leads to `#{anchor}`, which there is not")


def main():
    root, *scrapes = map(Path, sys.argv[1:])
    found = faults(root, [scrape.read_text() for scrape in scrapes])
    for fault in found:
        print(fault)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
