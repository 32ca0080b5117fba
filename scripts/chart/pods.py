"""What every pod of the chart is held to. Its variables are held to more in variables.py."""

import re

import variables
from render import COMPONENT, environment, example, milliseconds, quantity, title

# Under these the image's processes are not root, and the host is out of reach: the standard `restricted`.
CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def check(rendered):
    commands = subcommands(rendered.root)
    images = set()
    for document, metadata, spec in rendered.pods():
        say = lambda what, where=title(document): f"{where}: {what}"
        yield from map(say, identity(spec, rendered))
        (container,) = spec["containers"]
        images.add(container["image"])
        command = container["args"][0]
        if command not in commands:
            yield say(f"`fanfare {command}` is no command")
        for option in container["args"]:
            if option.startswith("--") and option not in options(rendered.root):
                yield say(f"`{option}` is no option")
        # The image says by itself where a process answers.
        if command == "healthcheck" and "--observe-listen" not in container["args"]:
            yield say("it asks itself whether it is well")
        for name, wanted in CONTAINER.items():
            if container.get("securityContext", {}).get(name) != wanted:
                yield say(f"its container's {name} is not {wanted}")
        if container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            yield say("a crash leaves no reason behind")
        yield from map(say, variables.check(rendered, command, container))
        yield from map(say, volumes(spec, container))
        yield from map(say, resources(container))
        if document["kind"] == "Deployment":
            role = metadata["labels"][COMPONENT]
            yield from map(say, probes(container))
            yield from map(say, stopping(rendered, role, spec, container))
            yield from map(say, spreading(metadata, spec))
        elif spec.get("restartPolicy") != "Never":
            yield say("it starts again where it failed, and takes its log with it")
    if len(images) > 1:
        yield f"there is one image for all, and here are {sorted(images)}"


def subcommands(root):
    text = (root / "fanfare/src/cli.rs").read_text()
    variants = re.search(r"enum Command \{(.*?)\n\}", text, re.S).group(1)
    return {name.lower() for name in re.findall(r"^    ([A-Z][a-z]+)\b", variants, re.M)}


def options(root):
    """Those of one word, and those that are read from a variable."""
    text = "".join((root / "fanfare/src" / name).read_text() for name in ("cli.rs", "options.rs", "api_options.rs"))
    fields = re.findall(r"#\[arg\([^\]]*?long[^\]]*?\)\]\s+(?:pub\(crate\) )?(\w+):", text)
    return {"--" + name.replace("_", "-") for name in fields}


def identity(spec, rendered):
    if spec.get("automountServiceAccountToken") is not False:
        yield "it is given a token for Kubernetes"
    (container,) = spec["containers"]
    asks_for_services = any("_SERVICE_HOST)" in argument for argument in container["args"])
    if spec.get("enableServiceLinks") is not asks_for_services:
        yield "variables of services get among its own"
    for field in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if spec.get(field):
            yield f"it has {field}"
    context = spec.get("securityContext", {})
    user = rendered.values["podSecurity"].get("runAsUser")
    wanted = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if user:
        wanted |= {"runAsUser": user, "runAsGroup": user, "fsGroup": user}
    for name, value in wanted.items():
        if context.get(name) != value:
            yield f"its {name} is not {value}"


def volumes(spec, container):
    declared = {volume["name"] for volume in spec.get("volumes", [])}
    mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
    for name in sorted(declared ^ mounted):
        yield f"volume {name} is not both declared and mounted"
    for volume in spec.get("volumes", []):
        if "hostPath" in volume:
            yield f"volume {volume['name']} is the node's"


def resources(container):
    requests = container["resources"].get("requests", {})
    limits = container["resources"].get("limits", {})
    for name in ("cpu", "memory"):
        if name not in requests:
            yield f"it requests no {name}"
    if "memory" not in limits or quantity(limits["memory"]) < quantity(requests.get("memory", 0)):
        yield "its memory is not bounded by what it requests or more"
    if "cpu" in limits:
        yield "a limit of CPU makes it wait"


def probes(container):
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    listens = environment(container)["FANFARE_OBSERVE_LISTEN"]
    if listens not in (f"0.0.0.0:{ports.get('observe')}", f"[::]:{ports.get('observe')}"):
        yield f"it answers probes at {listens}, which is not its port `observe`"
    for name, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        probe = container.get(f"{name}Probe")
        if probe is None or probe.get("httpGet") != {"path": path, "port": "observe"}:
            yield f"its {name} probe does not ask for {path} at the port `observe`"
        elif probe["timeoutSeconds"] > probe["periodSeconds"]:
            yield f"its {name} probe overlaps itself"
    for name, least in (("startup", 60), ("liveness", 30)):
        probe = container.get(f"{name}Probe", {})
        if probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3) < least:
            yield f"its {name} probe gives up within {least} s"
    if container.get("lifecycle"):
        yield "it needs no hook to stop, and the image has nothing to run in one"


def stopping(rendered, role, spec, container):
    """The rules of docs/OPERATIONS.md, "Stopping"."""
    defaults, own = example(rendered.root), environment(container)
    value = lambda name: milliseconds(own.get(name) or defaults[name]) / 1000
    least = {
        "scheduler": lambda: 30,
        "worker": lambda: value("FANFARE_DRAIN") + 10,
        "api": lambda: value("FANFARE_DRAIN_DELAY") + 15,
    }[role]()
    grace = spec.get("terminationGracePeriodSeconds", 30)
    if not least <= grace < least + 1.001:
        yield f"it has {grace} s to stop, and should have {least:g}"
    bound = {"worker": "FANFARE_MAX_SPOOL", "api": "FANFARE_API_MAX_SPOOL"}.get(role)
    if bound:
        yield from temporary(rendered, role, spec, container, int(own.get(bound) or defaults[bound]))


def temporary(rendered, role, spec, container, bound):
    mounts = {mount["mountPath"]: mount for mount in container.get("volumeMounts", [])}
    if mounts.get("/tmp", {}).get("name") != "tmp":
        yield "it can't write to /tmp"
        return
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "tmp"]
    if "emptyDir" in volume:
        if volume["emptyDir"].get("medium"):
            yield "its /tmp is in memory"
        size = volume["emptyDir"].get("sizeLimit", "0")
    else:
        claim = volume["ephemeral"]["volumeClaimTemplate"]["spec"]
        size = claim["resources"]["requests"]["storage"]
    if quantity(size) <= bound:
        yield f"its /tmp of {size} is too small for {bound} bytes"


def spreading(metadata, spec):
    for constraint in spec.get("topologySpreadConstraints", []):
        wanted = constraint["labelSelector"]["matchLabels"]
        if wanted.get(COMPONENT) != metadata["labels"][COMPONENT] or wanted.items() - metadata["labels"].items():
            yield "it is spread among pods that are not its own"
