"""Who decides how many there are."""

import re

from render import environment, example, title

LIST = r"\| `\{fanfare\}:active` \| list \|"


def check(rendered):
    values = rendered.values
    scaled = rendered.of("ScaledObject")
    if len(scaled) != (values["worker"]["enabled"] and values["worker"]["keda"]["enabled"]):
        yield f"there are {len(scaled)} scaled objects"
    for document in scaled:
        named = lambda what, where=title(document): f"{where}: {what}"
        yield from map(named, by_queue(rendered, document["spec"]))
    autoscalers = rendered.of("HorizontalPodAutoscaler")
    if len(autoscalers) != (values["api"]["enabled"] and values["api"]["autoscaling"]["enabled"]):
        yield f"there are {len(autoscalers)} autoscalers of the API"
    for document in autoscalers:
        named = lambda what, where=title(document): f"{where}: {what}"
        yield from map(named, by_cpu(rendered, document["spec"]))


def by_queue(rendered, spec):
    triggers = spec["triggers"]
    if [trigger["type"] for trigger in triggers] != ["redis"]:
        yield "it has not one trigger, the queue's length"
        return
    metadata = triggers[0]["metadata"]
    (worker,) = rendered.role("worker")["containers"]
    queue = environment(worker).get("FANFARE_QUEUE") or example(rendered.root)["FANFARE_QUEUE"]
    if metadata.get("listName") != f"{{{queue}}}:active":
        yield f"it looks at {metadata.get('listName')}, and runs of the queue {queue} wait elsewhere"
    if not re.search(LIST, (rendered.root / "queue/src/redis/mod.rs").read_text()):
        yield "the queue keeps what waits no more in the list that this looks at"
    redis = rendered.values["worker"]["keda"]["redis"]
    said = (metadata.get("address"), metadata.get("databaseIndex"), metadata.get("enableTLS"))
    if said != (redis["address"], str(redis["database"]), str(redis["tls"]).lower()):
        yield "it looks at another Redis than values say"
    reference = triggers[0].get("authenticationRef")
    wanted = bool(redis["passwordSecret"]["key"] or redis["usernameSecret"]["key"] or redis["authenticationRef"]["name"])
    own = {document["metadata"]["name"]: document for document in rendered.of("TriggerAuthentication")}
    if bool(reference) != wanted:
        yield "it shows Redis no password, or one that nobody gave"
    elif wanted and not redis["authenticationRef"]["name"] and reference["name"] not in own:
        yield f"there is no authentication {reference['name']}"
    for document in own.values():
        shown = {(r["parameter"], r["name"], r["key"]) for r in document["spec"]["secretTargetRef"]}
        for parameter in ("username", "password"):
            secret = redis[f"{parameter}Secret"]
            if secret["key"] and (parameter, secret["name"] or rendered.values["secrets"]["name"], secret["key"]) not in shown:
                yield f"the {parameter} is not the one that values name"
    if not 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]:
        yield "it may leave no worker, or its bounds cross"
    if spec["fallback"]["replicas"] < 1:
        yield "without Redis it would leave no worker"
    yield from calm(spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"])


def by_cpu(rendered, spec):
    (metric,) = spec["metrics"]
    if metric["resource"]["name"] != "cpu" or metric["resource"]["target"]["type"] != "Utilization":
        yield "it does not scale by use of CPU"
    (api,) = rendered.role("api")["containers"]
    if "cpu" not in api["resources"].get("requests", {}):
        yield "use of CPU is measured against what is requested, which is nothing"
    if not 1 <= spec["minReplicas"] <= spec["maxReplicas"]:
        yield "its bounds cross"
    yield from calm(spec["behavior"])


def calm(behavior):
    if behavior["scaleDown"]["stabilizationWindowSeconds"] < 300 or not behavior["scaleDown"]["policies"]:
        yield "it scales down at the first lull"
    if behavior["scaleUp"]["stabilizationWindowSeconds"] > 60:
        yield "it waits too long before it scales up"
