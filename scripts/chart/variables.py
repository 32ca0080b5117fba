"""What a container finds in its environment: what it needs, no more, and secrets by reference."""

import re

from render import ROLES, environment, example

# Not options of values: the chart decides them.
FIXED = {
    "FANFARE_LISTEN", "FANFARE_OBSERVE_LISTEN", "FANFARE_PROVIDERS", "FANFARE_SPOOL_DIR", "FANFARE_API_SPOOL_DIR",
}
SECRETS = {
    "databaseUrl": "FANFARE_DATABASE_URL",
    "redisUrl": "FANFARE_REDIS_URL",
    "databaseReadUrl": "FANFARE_DATABASE_READ_URL",
    "cacheUrl": "FANFARE_CACHE_URL",
    "adminToken": "FANFARE_ADMIN_TOKEN",
    "proxy": "FANFARE_PROXY",
}
# What a role is given where there is one.
GIVEN = {
    "worker": {"FANFARE_PROXY"},
    "api": {"FANFARE_DATABASE_READ_URL", "FANFARE_CACHE_URL", "FANFARE_ADMIN_TOKEN"},
}

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
    yield from secrets(rendered.values, command, container)
    yield from settings(rendered.values, command, container)
    allowed = references(rendered.values)
    for variable in container.get("env", []):
        name, source = variable["name"], variable.get("valueFrom", {}).get("secretKeyRef")
        if source and (source["name"], source["key"]) not in allowed:
            yield f"{name} comes from a Secret that no value names"
        secret = name.startswith("FANFARE_") and name.endswith(SECRET) or name.endswith("_HEADERS")
        if secret and not source:
            yield f"{name} is a secret, and stands there as it is"


def secrets(values, command, container):
    """Each comes from where values say, if they say so."""
    for variable in container.get("env", []):
        name, source = variable["name"], variable.get("valueFrom", {}).get("secretKeyRef")
        value = next((value for value, its in SECRETS.items() if its == name), None)
        if command == "migrate" and name == "FANFARE_DATABASE_URL" and values["secrets"]["migrateDatabaseUrl"]["key"]:
            value = "migrateDatabaseUrl"
        if value and source:
            wanted = values["secrets"][value]
            if (source["name"], source["key"]) != (wanted["name"] or values["secrets"]["name"], wanted["key"]):
                yield f"{name} is not what secrets.{value} names"
    for value, name in SECRETS.items():
        given = [n for n in GIVEN.get(command, ()) if n == name and values["secrets"][value]["key"]]
        if given and name not in [variable["name"] for variable in container["env"]]:
            yield f"it lacks {name}, which secrets.{value} names"


def settings(values, command, container):
    """Each is as values say, a role's own before those of all."""
    if command not in ROLES:
        return
    wanted = {**values["config"], **values[command]["config"]}
    found = environment(container)
    for name, value in wanted.items():
        if found.get(name) != str(value):
            yield f"{name} is {found.get(name)}, and values say {value}"
    own = [name for name in found if name.startswith("FANFARE_") and name not in SECRETS.values()]
    for name in sorted(set(own) - wanted.keys() - FIXED):
        yield f"{name} is set, and no value says so"


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
