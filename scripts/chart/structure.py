"""How the rendered documents refer to each other."""

import json
import re
from collections import Counter

from render import COMPONENT, NAMESPACE, RELEASE, render, title

STABLE = {"app.kubernetes.io/name", "app.kubernetes.io/instance", COMPONENT}
EVERYWHERE = STABLE - {COMPONENT} | {"app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"}


def check(rendered):
    yield from names(rendered)
    yield from selectors(rendered)
    yield from strategies(rendered)
    yield from budgets(rendered)
    yield from services(rendered)
    yield from providers(rendered)
    yield from hooks(rendered)


def names(rendered):
    space = lambda document: document["metadata"].get("namespace", NAMESPACE)
    count = Counter((space(document), title(document)) for document in rendered.documents)
    for (_, name), times in count.items():
        if times > 1:
            yield f"{name}: there are {times} of them"
    for document in rendered.documents:
        name = document["metadata"]["name"]
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
            yield f"{title(document)}: its name is none for everything that is named after it"
        if re.search(r"://[^/\s:@\"]+:[^/\s@\"]+@", json.dumps(document)):
            yield f"{title(document)}: a password stands in an address"
        labels = document["metadata"].get("labels", {})
        for label in sorted(EVERYWHERE - labels.keys()):
            yield f"{title(document)}: it has no label {label}"
        if labels.get("app.kubernetes.io/instance") != RELEASE:
            yield f"{title(document)}: it is another release's"
        for label, value in labels.items():
            if not re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", value):
                yield f"{title(document)}: `{value}` is no value of a label"


def matches(selector, labels):
    return not selector.items() - labels.items()


def selectors(rendered):
    """Each Deployment has its own pods and no other's, and says so in words that stay."""
    for document in rendered.of("Deployment"):
        selector = document["spec"]["selector"]["matchLabels"]
        for label in sorted(selector.keys() - STABLE):
            yield f"{title(document)}: its selector has {label}, which may change and must not"
        for other, metadata, _ in rendered.pods():
            if matches(selector, metadata["labels"]) != (other is document):
                yield f"{title(document)}: its selector does not tell its pods from those of {title(other)}"
    for document, metadata, _ in rendered.pods():
        if document["kind"] != "Pod" and "helm.sh/chart" in metadata["labels"]:
            yield f"{title(document)}: a new chart replaces its pods though nothing else is new"
    for document in rendered.of("NetworkPolicy"):
        selector = document["spec"]["podSelector"].get("matchLabels", {})
        if not any(matches(selector, metadata["labels"]) for _, metadata, _ in rendered.pods()):
            yield f"{title(document)}: it selects no pod"


def strategies(rendered):
    most = {"scheduler": 0, "api": 0, "worker": "25%"}
    for document in rendered.of("Deployment"):
        role = document["metadata"]["labels"][COMPONENT]
        strategy = document["spec"]["strategy"]
        if strategy["type"] != "RollingUpdate" or strategy["rollingUpdate"].get("maxUnavailable") != most[role]:
            yield f"{title(document)}: a roll-out takes away more than {most[role]}"
        scaled = [
            scaler
            for scaler in rendered.of("HorizontalPodAutoscaler", "ScaledObject")
            if scaler["spec"]["scaleTargetRef"]["name"] == document["metadata"]["name"]
        ]
        if len(scaled) > 1:
            yield f"{title(document)}: two scale it"
        if ("replicas" in document["spec"]) == bool(scaled):
            yield f"{title(document)}: its number of replicas is not just one's to say"
    for scaler in rendered.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]["name"]
        if target not in [document["metadata"]["name"] for document in rendered.of("Deployment")]:
            yield f"{title(scaler)}: it scales {target}, which there is not"


def budgets(rendered):
    for budget in rendered.of("PodDisruptionBudget"):
        spec = budget["spec"]
        selected = [
            document
            for document in rendered.of("Deployment")
            if matches(spec["selector"]["matchLabels"], document["spec"]["template"]["metadata"]["labels"])
        ]
        if len(selected) != 1:
            yield f"{title(budget)}: it is for {len(selected)} deployments"
        if "minAvailable" in spec or spec.get("maxUnavailable") in (0, "0%", None):
            yield f"{title(budget)}: it can keep a node from being drained"
    for role in ("scheduler", "worker", "api"):
        wanted = rendered.role(role) and rendered.values[role]["podDisruptionBudget"]["enabled"]
        if wanted and role not in [b["metadata"]["labels"][COMPONENT] for b in rendered.of("PodDisruptionBudget")]:
            yield f"{role}: it has no budget of disruptions"


def services(rendered):
    for service in rendered.of("Service"):
        selector = service["spec"]["selector"]
        pods = [
            (metadata, spec) for document, metadata, spec in rendered.pods()
            if document["kind"] == "Deployment" and matches(selector, metadata["labels"])
        ]
        if not pods:
            yield f"{title(service)}: nothing is behind it"
        if service["spec"].get("clusterIP") != "None" and {m["labels"][COMPONENT] for m, _ in pods} - {"api"}:
            yield f"{title(service)}: it leads to more than the API"
        for port in service["spec"]["ports"]:
            for _, spec in pods:
                if port["targetPort"] not in [named["name"] for named in spec["containers"][0]["ports"]]:
                    yield f"{title(service)}: pods have no port {port['targetPort']}"
            if port["targetPort"] == "observe" and service["spec"].get("clusterIP") != "None":
                yield f"{title(service)}: it gives out metrics"
    ports = {
        (service["metadata"]["name"], port)
        for service in rendered.of("Service")
        for entry in service["spec"]["ports"]
        for port in (entry["name"], entry["port"])
    }
    for document in rendered.of("Ingress", "HTTPRoute"):
        for backend in backends(document):
            if backend not in ports:
                yield f"{title(document)}: it leads to {backend}, which there is not"


def backends(document):
    for rule in document["spec"]["rules"]:
        for path in rule.get("http", {}).get("paths", []):
            service = path["backend"]["service"]
            yield service["name"], service["port"].get("name") or service["port"].get("number")
        for reference in rule.get("backendRefs", []):
            yield reference["name"], reference["port"]


def providers(rendered):
    """The file is where the variable says, and a new one means new schedulers."""
    spec = rendered.role("scheduler")
    if spec is None:
        return
    text, existing = rendered.values["providers"]["file"], rendered.values["providers"]["existingConfigMap"]
    (container,) = spec["containers"]
    file = {v["name"]: v.get("value") for v in container["env"]}.get("FANFARE_PROVIDERS")
    if bool(file) != bool(text or existing["name"]):
        yield "scheduler: it does not have the provider file that values give it"
    if not file:
        return
    (mount,) = [m for m in container["volumeMounts"] if file.startswith(m["mountPath"] + "/")]
    (volume,) = [v for v in spec["volumes"] if v["name"] == mount["name"]]
    source = volume["configMap"]
    if [item["path"] for item in source["items"]] != [file.removeprefix(mount["mountPath"] + "/")]:
        yield f"scheduler: there is no {file} in its volume"
    if text:
        maps = {m["metadata"]["name"]: m["data"] for m in rendered.of("ConfigMap")}
        if maps.get(source["name"], {}).get(source["items"][0]["key"], "").strip() != text.strip():
            yield "scheduler: its provider file is not the one of the values"
        (document,) = [d for d in rendered.of("Deployment") if d["metadata"]["labels"][COMPONENT] == "scheduler"]
        if "checksum/providers" not in document["spec"]["template"]["metadata"].get("annotations", {}):
            yield "scheduler: a new provider file does not replace it"
    elif source["name"] != existing["name"]:
        yield "scheduler: its provider file is not the one of the values"


def hooks(rendered):
    """What runs before the installation finds what it needs, and nothing is left of it."""
    annotation = lambda document, name: document["metadata"].get("annotations", {}).get(f"helm.sh/hook{name}", "")
    for document in rendered.documents:
        events = annotation(document, "")
        if events and "before-hook-creation" not in annotation(document, "-delete-policy"):
            yield f"{title(document)}: a second one of its name is refused"
        if "rollback" in events:
            yield f"{title(document)}: an older migration says nothing to a newer schema"
        if document["kind"] == "Pod" and events != "test":
            yield f"{title(document)}: it is no test"
        if events == "test" and "hook-succeeded" in annotation(document, "-delete-policy"):
            yield f"{title(document)}: its log is gone before anybody can read it"
    for job in rendered.of("Job"):
        if annotation(job, "") != "pre-install,pre-upgrade":
            yield f"{title(job)}: it does not run before installations and upgrades"
        if not job["spec"].get("activeDeadlineSeconds"):
            yield f"{title(job)}: it may hang for ever"
        pod, labels = job["spec"]["template"]["spec"], job["spec"]["template"]["metadata"]["labels"]
        needs = [d for d in rendered.of("ServiceAccount") if d["metadata"]["name"] == pod["serviceAccountName"]]
        if rendered.values["serviceAccount"]["create"] and not needs:
            yield f"{title(job)}: nothing makes its service account"
        policies = [
            d for d in rendered.of("NetworkPolicy")
            if COMPONENT in d["spec"]["podSelector"]["matchLabels"] and matches(d["spec"]["podSelector"]["matchLabels"], labels)
        ]
        if rendered.values["networkPolicy"]["enabled"] and not policies:
            yield f"{title(job)}: no policy lets it reach the database"
        for document in needs + policies:
            if annotation(document, "") != annotation(job, ""):
                yield f"{title(document)}: it is not there yet when the migration runs"
            elif int(annotation(document, "-weight")) >= int(annotation(job, "-weight")):
                yield f"{title(document)}: it comes after the migration that needs it"


def upgrade(program, rendered, values, newer):
    """Selectors and names stay when the release, its labels and its settings change."""
    after = render(program, rendered.root, newer, values, "--set", "commonLabels.changed=yes,image.tag=9.9.9")
    fixed = lambda r: {title(d): d["spec"]["selector"] for d in r.of("Deployment")}
    if fixed(rendered) != fixed(after):
        yield "an upgrade changes selectors of deployments, which Kubernetes refuses"
    if sorted(map(title, rendered.documents)) != sorted(map(title, after.documents)):
        yield "an upgrade gives other names"
