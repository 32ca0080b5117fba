"""What a container finds in its environment: what it needs, no more, and secrets by reference."""

import re

from render import environment, example

# How names end that are not for everybody's eyes.
SECRET = ("URL", "TOKEN", "PROXY", "HEADERS", "PASSWORD")
# What each role needs to start, and what it is not to have.
NEEDS = {
    "migrate": {"FANFARE_DATABASE_URL"},
    "scheduler": {"FANFARE_DATABASE_URL", "FANFARE_REDIS_URL", "FANFARE_OBSERVE_LISTEN"},
    "worker": {"FANFARE_DATABASE_URL", "FANFARE_REDIS_URL", "FANFARE_OBSERVE_LISTEN"},
    "api": {"FANFARE_DATABASE_URL", "FANFARE_LISTEN", "FANFARE_OBSERVE_LISTEN"},
    "doctor": {"FANFARE_DATABASE_URL"},
    "healthcheck": set(),
}
NEVER = {
    "migrate": {"FANFARE_REDIS_URL", "FANFARE_ADMIN_TOKEN"},
    "scheduler": {"FANFARE_ADMIN_TOKEN", "FANFARE_PROXY"},
    "worker": {"FANFARE_ADMIN_TOKEN", "FANFARE_CACHE_URL"},
    "api": {"FANFARE_REDIS_URL", "FANFARE_PROXY"},
    # The release's services must not be what its options say.
    "healthcheck": {"FANFARE_OBSERVE_LISTEN"},
}


def check(rendered, command, container):
    names = [variable["name"] for variable in container.get("env", [])]
    known = example(rendered.root)
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is set twice"
    for name in names:
        if name.startswith("FANFARE_") and name not in known:
            yield f"{name} is no variable of .env.example"
    for name, value in environment(container).items():
        if re.fullmatch(r"[0-9.]+e\+?[0-9]+", value or ""):
            yield f"{name} is {value}, which Fanfare does not read"
    if "OTEL_SERVICE_NAME" in names:
        yield "roles name themselves: OTEL_SERVICE_NAME is set"
    for name in sorted(NEEDS[command] - set(names)):
        yield f"it lacks {name}"
    for name in sorted(NEVER.get(command, set()) & set(names)):
        yield f"it is given {name}, which it has no use for"
    queue = any(rendered.values[role]["enabled"] for role in ("scheduler", "worker"))
    if command == "doctor" and ("FANFARE_REDIS_URL" in names) != queue:
        yield "it looks at a queue that this release does not use, or not at its own"
    allowed = references(rendered.values)
    for variable in container.get("env", []):
        name, source = variable["name"], variable.get("valueFrom", {}).get("secretKeyRef")
        if source and (source["name"], source["key"]) not in allowed:
            yield f"{name} comes from a Secret that no value names"
        secret = name.startswith("FANFARE_") and name.endswith(SECRET) or name.endswith("_HEADERS")
        if secret and not source:
            yield f"{name} is a secret, and stands there as it is"


def references(values):
    """All Secrets and keys that values name."""
    default = values["secrets"]["name"]
    entries = [entry for entry in values["secrets"].values() if isinstance(entry, dict)]
    entries.append(values["otel"]["headers"])
    found = {(entry.get("name") or default, entry["key"]) for entry in entries if entry.get("key")}
    for role in ("scheduler", "worker", "api"):
        for variable in values[role]["extraEnv"]:
            source = variable.get("valueFrom", {}).get("secretKeyRef")
            if source:
                found.add((source["name"], source["key"]))
    return found
