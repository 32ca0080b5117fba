"""Breaks one thing at a time in copies of the files, and expects the check to find it.

    mutations.py ROOT SCRAPE…   prints what passed unseen, and ends with 1 if anything did
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from files import faults

RULES = "deploy/prometheus/alerts.yaml"
TESTS = "deploy/prometheus/alerts_test.yaml"
SYNC = "deploy/grafana/fanfare-sync.json"
FRESHNESS = "deploy/grafana/fanfare-freshness.json"
API = "deploy/grafana/fanfare-api.json"
MANUAL = "docs/OPERATIONS.md"

# File, pattern, replacement of its first match, and what the fault has to say.
MUTATIONS = [
    (RULES, r"fanfare_workers\)", "fanfare_worker)", "no process tells a metric `fanfare_worker`"),
    (RULES, r"fanfare_queue_drain_seconds", "fanfare_queue_drain", "no process tells a metric"),
    (RULES, r"fanfare_set_asides_total\[1h\]", "fanfare_run_active[1h]", "which is a gauge"),
    (RULES, r'fanfare_outcome="lost"', 'fanfare_outcom="lost"', "has no label `fanfare_outcom`"),
    (RULES, r'fanfare_outcome="lost"', 'fanfare_outcome="gone"', "has no `fanfare_outcome` of `gone`"),
    (RULES, r"late\|stale\|never", "late|stal|never", "has no `fanfare_staleness` of `stal`"),
    (RULES, r"by \(namespace, le\)", "by (namespace)", "without the label `le`"),
    (RULES, r"max by \(namespace, instance\) \(fanfare_dataset", "max by (namespace) (fanfare_dataset", "names the label `instance`"),
    (RULES, r"and on \(namespace, instance\)", "and on (namespace, process)", "matches by `process`"),
    (RULES, r"fanfare:providers_not_fresh:ratio\[3d\]", "fanfare:providers_late:ratio[3d]", "no process tells a metric"),
    (RULES, r"max\(fanfare_workers\{namespace=%q", "max(fanfare_workers{space=%q", "has no label `space`"),
    (RULES, r"\.Labels\.fanfare_reason", ".Labels.reason", "asked for the label `reason`"),
    (RULES, r"\) == 0\n", ") == \n", "is no PromQL"),
    (RULES, r"severity: warning", "severity: notice", "its severity is none of"),
    (RULES, r"#fanfareapislow", "#fanfareapislowly", "has no section"),
    (RULES, r"#fanfareapislow", "#fanfareapierrors", "is the section of another alert"),
    (MANUAL, r"### FanfareEventsHeld", "### FanfareEventHeld", "has no section `#fanfareeventsheld`"),
    (MANUAL, r"\]\(#profiling\)", "](#profile)", "a link leads to `#profile`"),
    (TESTS, r"alertname: FanfareApiSlow\n", "alertname: FanfareApiSlower\n", "nothing tests that FanfareApiSlow fires"),
    (SYNC, r"fanfare_run_wait_seconds_bucket", "fanfare_run_waits_seconds_bucket", "no process tells a metric"),
    (SYNC, r"\{\{fanfare_stage\}\}", "{{stage}}", "its legend names the label `stage`"),
    (SYNC, r"fanfare_trigger\)", "trigger)", "groups by `trigger`"),
    (SYNC, r"labels\.fanfare_outcome\}", "labels.outcome}", "a link names the label `outcome`"),
    (SYNC, r"span\.fanfare\.trigger", "span.fanfare.triger", "no span has an attribute `span.fanfare.triger`"),
    (SYNC, r"fan-out%20closed", "fan-out%20close", "there is no span"),
    (SYNC, r"/d/fanfare-api\?", "/d/fanfare-web?", "leads to a dashboard `fanfare-web`"),
    (SYNC, r"group_left \(fanfare_role\)", "group_left (role)", "takes over `role`"),
    (SYNC, r"\$__rate_interval", "$__rate", "there is no variable `$__rate`"),
    (SYNC, r'"id": 3,', '"id": 2,', "another panel has its id 2"),
    (SYNC, r'"x": 4,', '"x": 3,', "it overlaps"),
    (SYNC, r'"w": 12,', '"w": 25,', "does not lie within 24 columns"),
    (SYNC, r'"uid": "\$\{prometheus\}"', '"uid": "P1809F7CD0C75ACF3"', "a data source of one Grafana"),
    (SYNC, r'"unit": "s"', '"unit": ""', "it has no unit"),
    (FRESHNESS, r"label_values\(fanfare_provider_freshness_seconds", "label_values(fanfare_freshness_seconds", "variable `provider`"),
    (FRESHNESS, r"\$provider", "$supplier", "there is no variable `$supplier`"),
    (FRESHNESS, r'"uid": "fanfare-freshness"', '"uid": "fanfare-api"', "there are two dashboards"),
    (API, r"http_response_status_code=~", "status_code=~", "has no label `status_code`"),
    (API, r'fanfare_layer=\\"memory', 'fanfare_layer=\\"local', "has no `fanfare_layer` of `local`"),
    (API, r"span\.http\.route", "span.http.path", "no span has an attribute `span.http.path`"),
    (API, r"\{\{severity\}\}", "{{urgency}}", "its legend names the label `urgency`"),
]


def main():
    root, *scrapes = map(Path, sys.argv[1:])
    scrapes = [scrape.read_text() for scrape in scrapes]
    passed = [told for mutation in MUTATIONS for told in unseen(root, scrapes, *mutation)]
    for told in passed:
        print(told)
    print(f"{len(MUTATIONS)} broken copies, {len(MUTATIONS) - len(passed)} found")
    sys.exit(1 if passed else 0)


def unseen(root, scrapes, file, pattern, replacement, expected):
    """Nothing if the fault is found."""
    with tempfile.TemporaryDirectory() as copy:
        copy = Path(copy)
        for part in (RULES, TESTS, SYNC, FRESHNESS, API, MANUAL, "docs/TELEMETRY.md"):
            (copy / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / part, copy / part)
        text = (copy / file).read_text()
        broken, count = re.subn(pattern, lambda _: replacement, text, count=1)
        if not count:
            return [f"{file}: there is no `{pattern}` any more to be broken"]
        (copy / file).write_text(broken)
        if any(expected in fault for fault in faults(copy, scrapes)):
            return []
        return [f"{file}: `{pattern}` can be `{replacement}`"]


if __name__ == "__main__":
    main()
