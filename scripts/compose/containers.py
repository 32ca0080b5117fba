"""What holds for every container by itself: what it may, what it may take, and how it is looked after."""

import re
from pathlib import Path

from model import data_size, offered, seconds, without_comments

ONE_SHOT = {"migrate"}
PUBLISHED = {"nginx", "prometheus", "grafana"}
ROLES = {"migrate", "scheduler", "worker", "api"}
# The one that reads files of root's, and how.
ROOT = {"logs": ["DAC_READ_SEARCH"]}
LOG_LABELS = {"com.docker.compose.project", "com.docker.compose.service", "com.docker.compose.container-number"}


def check(model, say):
    for name, service in sorted(model.services.items()):
        about = lambda what, name=name: say(f"{name}: {what}")
        check_rights(name, service, about)
        check_care(name, service, about)
        check_health(name, service, model.reasons.get(name), about)
        check_ports(name, service, about)
        check_mounts(model, name, service, about)
    check_settings(model, say)


def check_rights(name, service, say):
    if not service.get("read_only"):
        say("its root file system can be written")
    if service.get("cap_drop") != ["ALL"]:
        say("it does not drop all capabilities")
    if service.get("cap_add", []) != ROOT.get(name, []):
        say(f"it has capabilities of its own: {service.get('cap_add', [])}")
    if "no-new-privileges:true" not in service.get("security_opt", []):
        say("it can gain rights")
    user = str(service.get("user", ""))
    if not user or (re.match(r"(0|root)(:|$)", user) and name not in ROOT):
        say(f"its user is `{user}`")
    for setting in ("privileged", "network_mode", "pid", "ipc", "devices", "userns_mode"):
        if service.get(setting):
            say(f"it has `{setting}`")
    image = service["image"]
    if not re.search(r"(:v?\d+\.\d+[\w.-]*|@sha256:[0-9a-f]{64})$", image):
        say(f"its image `{image}` is not pinned")


def check_care(name, service, say):
    if service.get("restart") != ("no" if name in ONE_SHOT else "unless-stopped"):
        say(f"its restart policy is `{service.get('restart')}`")
    if service.get("container_name"):
        say("it has a fixed name, so that it can't be scaled")
    limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
    # A thread for each of the machine's CPUs is no leak.
    if service["image"].startswith(("fanfare:", "nginx:")) and int(limits.get("pids", 0)) < 1024:
        say("on a machine with many CPUs it may not make its threads")
    if not limits.get("memory") or not limits.get("pids"):
        say("it has no limit of memory, or none of processes")
    logging = service.get("logging", {})
    if logging.get("driver") != "json-file" or not {"max-size", "max-file"} <= set(logging.get("options", {})):
        say("its logs are kept for ever, or where the collector does not look")
    if set(logging.get("options", {}).get("labels", "").split(",")) != LOG_LABELS:
        say("its log lines do not tell whose they are")
    if not service.get("stop_grace_period"):
        say("nothing says how long it may take to end")
    if (limit := int(limits.get("memory", 0))) and (go := service.get("environment", {}).get("GOMEMLIMIT")):
        if not data_size(go.replace("i", "")) < limit:
            say("its GOMEMLIMIT is not below its limit of memory")


def check_health(name, service, reason, say):
    health = service.get("healthcheck", {})
    if name in ONE_SHOT:
        if not health.get("disable"):
            say("it ends by itself and has a health check")
    elif not reason:
        if not health.get("test") or health.get("disable"):
            say("it has no health check, and no reason for that")
        elif not all(health.get(part) for part in ("interval", "timeout", "retries", "start_period")):
            say("its health check leaves something to Docker's defaults")
    elif health:
        # `up --wait` takes a disabled one for a fault.
        say("it has a health check and a reason to have none")


def check_ports(name, service, say):
    for port in service.get("ports", []):
        if name not in PUBLISHED:
            say(f"it publishes port {port['target']}")
        elif port.get("host_ip") != "127.0.0.1":
            say("it is published to others than this machine by default")
        if name == "nginx" and port["target"] != 8080:
            say(f"it publishes port {port['target']}, which is internal")


def check_mounts(model, name, service, say):
    for mount in service.get("volumes", []):
        if mount["type"] == "volume" and not mount.get("source"):
            say(f"{mount['target']} is a new volume in each container")
        if mount["type"] != "bind":
            continue
        source = Path(mount["source"])
        if not mount.get("read_only"):
            say(f"it may write to {source.name}")
        if mount.get("bind", {}).get("create_host_path"):
            say(f"a missing {source.name} would be made as a folder of root's")
        if "docker.sock" in str(source):
            say("it has Docker's socket, which is root on the machine")
        if source == Path("/var/lib/docker/containers"):
            continue
        if not source.exists():
            say(f"{source} is not there")
        elif model.deploy not in source.resolve().parents:
            say(f"{source} is not below deploy/")
        elif any(not file.stat().st_mode & 0o004 for file in [source, *source.rglob("*")]):
            say(f"others than its owner can't read all of {source.name}")
    for entry in service.get("tmpfs", []):
        if "size=" not in entry:
            say(f"{entry} may take all of the memory")
        # The image's folder may be root's, and its mode wins. Those of users that go by name are their own.
        user = re.match(r"\d+", str(service.get("user", "")))
        if user and not entry.startswith("/tmp:") and f"uid={user[0]}," not in entry:
            say(f"{entry} may belong to root")
    disks = {mount["target"] for mount in service.get("volumes", []) if mount["type"] == "volume"}
    if name in ("worker", "api", "nginx") and "/tmp" not in disks:
        say("its /tmp is not on a disk")


def check_settings(model, say):
    example = (model.root / ".env.example").read_text()
    known = set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))
    for name, service in sorted(model.services.items()):
        for variable in sorted(service.get("environment", {})):
            if variable.startswith("FANFARE_") and variable not in known:
                say(f"{name}: there is no setting {variable}")
    names = offered((model.deploy / "compose/env.example").read_text())
    # Compose's own.
    asked = model.variables() - {"COMPOSE_PROJECT_NAME"}
    for variable in sorted(asked - set(names)):
        say(f"compose/env.example does not tell of {variable}")
    for variable in sorted(set(names) - asked - {"COMPOSE_PROFILES"}):
        say(f"compose/env.example tells of {variable}, which nothing asks for")
    check_secrets(model, names, say)


def check_secrets(model, names, say):
    secrets = {name for name, value in names.items() if value == "GENERATED"}
    for file, text in model.texts.items():
        for name in sorted(secrets):
            for use in re.findall(r"\$\{" + name + r"\b([^}]*)\}", without_comments(text)):
                if not use.startswith(":?"):
                    say(f"{file}: {name} may be left out")
        for key, value in re.findall(r"^\s*(\w*(?:PASSWORD|PASS|TOKEN|SECRET)\w*):\s*(.+)$", text, re.MULTILINE):
            if not value.startswith("${"):
                say(f"{file}: {key} stands in the file")
        if re.search(r"://[^/\s$]*:[^/\s$]*@", without_comments(text)):
            say(f"{file}: there is a password in an address")
    for variable, default in re.findall(r"\$\{(\w+):-([^}]*)\}", "".join(model.texts.values())):
        if names.get(variable) and names[variable] != default and not variable.endswith("PASSWORD"):
            if default:
                say(f"compose/env.example has another default of {variable}: {names[variable]} for {default}")


def grace(service):
    return seconds(service.get("stop_grace_period"))
