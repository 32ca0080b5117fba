"""What watches it sees what the repository says."""

import json
import re

from render import COMPONENT, ROLES, read, title
from structure import matches

MOST_BYTES = 1 << 20  # of a ConfigMap
ALERTS = "deploy/prometheus/alerts.yaml"


def check(rendered):
    monitoring = rendered.values["monitoring"]
    for kind, name in (("PrometheusRule", "prometheusRule"), ("ServiceMonitor", "serviceMonitor")):
        if len(rendered.of(kind)) != monitoring[name]["enabled"]:
            yield f"there are {len(rendered.of(kind))} of kind {kind}"
        for document in rendered.of(kind):
            if monitoring[name]["labels"].items() - document["metadata"]["labels"].items():
                yield f"{title(document)}: it lacks labels by which it is selected"
    alerts = (rendered.root / ALERTS).read_text()
    base = monitoring["prometheusRule"]["runbookBase"] or "docs/OPERATIONS.md"
    wanted = read(alerts.replace("runbook_url: docs/OPERATIONS.md#", f"runbook_url: {base}#"))
    for rule in rendered.of("PrometheusRule"):
        if rule["spec"] != wanted:
            yield f"{title(rule)}: it is not what {ALERTS} says"
    yield from dashboards(rendered)
    for monitor in rendered.of("ServiceMonitor"):
        named = lambda what, where=title(monitor): f"{where}: {what}"
        yield from map(named, scraped(rendered, monitor["spec"], alerts))


def dashboards(rendered):
    wanted = rendered.values["monitoring"]["dashboards"]
    maps = [d for d in rendered.of("ConfigMap") if any(key.endswith(".json") for key in d["data"])]
    files = {file.name: file.read_text() for file in (rendered.root / "deploy/grafana").glob("*.json")}
    if not wanted["enabled"]:
        files = {}
    shown = {name: text for document in maps for name, text in document["data"].items()}
    if shown.keys() != files.keys():
        yield f"dashboards are {sorted(shown)}, and should be {sorted(files)}"
    for name in shown.keys() & files.keys():
        if json.loads(shown[name]) != json.loads(files[name]):
            yield f"the dashboard {name} is not what deploy/grafana says"
        if len(shown[name]) > MOST_BYTES:
            yield f"the dashboard {name} is too large for a ConfigMap"
    for document in maps:
        if wanted["labels"].items() - document["metadata"]["labels"].items():
            yield f"{title(document)}: it lacks labels by which it is selected"
        if document["metadata"].get("namespace", "") != wanted["namespace"]:
            yield f"{title(document)}: it is not where it is looked for"


def scraped(rendered, spec, alerts):
    """Each role becomes a target, in a job that the alerts take."""
    services = [s for s in rendered.of("Service") if matches(spec["selector"]["matchLabels"], s["metadata"]["labels"])]
    if len(services) != 1 or services[0]["spec"]["selector"].get(COMPONENT):
        yield "it does not select the one service of all roles"
        return
    (service,) = services
    if not service["spec"].get("publishNotReadyAddresses"):
        yield "processes that are not ready are not scraped"
    (endpoint,) = spec["endpoints"]
    if (endpoint["port"], endpoint["path"]) not in [(p["name"], "/metrics") for p in service["spec"]["ports"]]:
        yield "it asks for metrics where there are none"
    taken = re.findall(r'job=~"([^"]+)"', alerts)
    if not taken:
        yield f"{ALERTS} selects no jobs any more"
    for role in filter(rendered.role, ROLES):
        job = relabelled(endpoint.get("relabelings", []), role, service["metadata"]["name"])
        if not all(re.fullmatch(pattern, job) for pattern in taken):
            yield f"the job of {role}s is {job}, which the alerts do not take"


def relabelled(steps, role, service):
    """The job of a role's target, by the steps that the chart uses."""
    labels = {"job": service, "__meta_kubernetes_pod_label_app_kubernetes_io_component": role}
    for step in steps:
        text = ";".join(labels.get(name, "") for name in step.get("sourceLabels", []))
        match = re.fullmatch(step.get("regex", "(.*)"), text)
        if step.get("action", "replace") == "replace" and match:
            labels[step["targetLabel"]] = match.expand(step.get("replacement", "$1").replace("$", "\\"))
    return labels["job"]
