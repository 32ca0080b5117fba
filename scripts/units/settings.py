"""Whether the settings that units and their example give are ones that Fanfare has."""

import re

EXAMPLE = "deploy/systemd/fanfare.env.example"
SANDBOX = "deploy/systemd/fanfare-.service.d/sandbox.conf"
ALL = ".env.example"

# How many connections are open besides those to clients.
BESIDES = 500


def faults(root, units):
    yield from names(root, units)
    yield from example(root)
    yield from observed(units)
    yield from files(root, units)
    yield from folders(units)


def defaults(root):
    """Each setting of Fanfare's with its default."""
    return dict(re.findall(r"^#?([A-Z][A-Z_]*)=(.*)$", (root / ALL).read_text(), re.M))


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+)(s|m)", duration).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def given(text):
    """Each setting in a unit's Environment, with its value."""
    lines = re.findall(r"^Environment=(.*)$", text, re.M)
    return [tuple(pair.split("=", 1)) for line in lines for pair in line.split()]


def names(root, units):
    known = defaults(root)
    places = {SANDBOX: given((root / SANDBOX).read_text())}
    places |= {unit.name: [tuple(pair.split("=", 1)) for value in unit.values.get("Environment", []) for pair in value.split()] for unit in units.values()}
    places[EXAMPLE] = re.findall(r"^#?([A-Z][A-Z_]*)=(.*)$", (root / EXAMPLE).read_text(), re.M)
    for place, settings in places.items():
        for name, _ in settings:
            if name not in known:
                yield f"{place}: Fanfare has no setting {name}"


def example(root):
    """What holds for all roles of a machine, in a form that systemd reads as it is meant."""
    for line in (root / EXAMPLE).read_text().splitlines():
        if not line or line.startswith("# "):
            continue
        match = re.fullmatch(r"#?[A-Z][A-Z_]*=([^\s\"'#\\]*|\"[^\"\\]*\")", line)
        if not match:
            yield f"{EXAMPLE}: systemd reads `{line}` otherwise, or not at all"
        if re.match(r"#?FANFARE_OBSERVE_LISTEN=", line):
            yield f"{EXAMPLE}: all processes would listen on one address"


def observed(units):
    """Each process has a port of its own, and what a worker's name adds makes a port."""
    seen = {}
    # fanfare-all runs instead of the others.
    for unit in (unit for unit in units.values() if unit.name != "fanfare-all.service"):
        for value in unit.values.get("Environment", []):
            for address in re.findall(r"FANFARE_OBSERVE_LISTEN=(\S+)", value):
                instances = [address.replace("%i", str(n)) for n in range(1, 10)] if "%i" in address else [address]
                if "@" in unit.name and "%i" not in address:
                    yield f"{unit.name}: its instances share {address}"
                for one in instances:
                    port = one.rpartition(":")[2]
                    if not port.isdigit() or not 1024 <= int(port) <= 65535:
                        yield f"{unit.name}: {one} is no address"
                    other = seen.setdefault(one, unit.name)
                    if other != unit.name:
                        yield f"{unit.name}: {other} listens on {one}, too"


def files(root, units):
    """Settings come from where they can be protected, and connections have files enough."""
    connections = int(defaults(root)["FANFARE_API_CONNECTIONS"])
    for unit in units.values():
        for path in unit.values.get("EnvironmentFile", []):
            if not path.removeprefix("-").startswith("/etc/fanfare/"):
                yield f"{unit.name}: {path} is not in /etc/fanfare"
        if unit.name in ("fanfare-api.service", "fanfare-all.service"):
            limit = unit.last("LimitNOFILE", "0")
            if not limit.isdigit() or int(limit) < connections + BESIDES:
                yield f"{unit.name}: {limit} open files are too few for {connections} connections"
        if unit.name.endswith(".service") and "change-me" in unit.last("ExecStart"):
            yield f"{unit.name}: a secret in its arguments is everybody's to see"


def folders(units):
    """What writes has a folder, since everything else can't be written."""
    for unit in units.values():
        state = unit.last("StateDirectory")
        for path in re.findall(r"%S/(\S+)", unit.last("ExecStart") + " " + unit.last("WorkingDirectory")):
            if not state or not path.startswith(state):
                yield f"{unit.name}: it can't write to %S/{path}"
