"""Reads the units in deploy/systemd, and tells what is wrong with them.

    units.py ROOT   prints the faults, and ends with 1 if there is one
"""

import re
import sys
from pathlib import Path

import settings
import systemd

UNITS = "deploy/systemd"
SANDBOX = f"{UNITS}/fanfare-.service.d/sandbox.conf"

# Roles, and which of them talk to strangers: workers ask the internet, an API is asked by it.
ROLES = ["fanfare-scheduler.service", "fanfare-worker@.service", "fanfare-api.service", "fanfare-all.service"]
OPEN = ["fanfare-worker@.service", "fanfare-api.service", "fanfare-all.service"]

# What each has to be given between being asked to stop and being killed: a setting, and what it takes besides.
STOPPING = {
    "fanfare-scheduler.service": [(None, 15)],
    "fanfare-worker@.service": [("FANFARE_DRAIN", 10)],
    "fanfare-api.service": [("FANFARE_DRAIN_DELAY", 15)],
    "fanfare-all.service": [("FANFARE_DRAIN", 10), ("FANFARE_DRAIN_DELAY", 15)],
}


def faults(root):
    """Everything that is wrong, each with the file it is in."""
    units = {path.name: Unit(path) for path in sorted((root / UNITS).glob("fanfare*.*")) if path.suffix in (".service", ".timer", ".target")}
    missing = [f"{name} is missing" for name in [*ROLES, "fanfare-migrate.service", "fanfare.target"] if name not in units]
    if missing or not (root / SANDBOX).exists():
        return missing or [f"{SANDBOX} is missing"]
    return [
        *systemd.faults(root, sorted(units)),
        *settings.faults(root, units),
        *commands(root, units),
        *stopping(root, units),
        *networks(units),
        *starting(units),
    ]


class Unit:
    """A unit's settings, each with all of its values; specifiers stay as they are."""

    def __init__(self, path):
        self.name = path.name
        self.values = {}
        for line in path.read_text().splitlines():
            if match := re.match(r"([A-Za-z]+)=(.*)", line):
                self.values.setdefault(match[1], []).append(match[2])

    def last(self, name, default=""):
        return self.values.get(name, [default])[-1]

    def seconds(self, name):
        number = re.fullmatch(r"(\d+)s", self.last(name))
        return int(number[1]) if number else 0


def commands(root, units):
    """What is started is there, and takes what it is given."""
    cli = (root / "fanfare/src/cli.rs").read_text()
    enum = re.search(r"pub\(crate\) enum Command \{(.*?)\n\}", cli, re.S)[1]
    known = {name.lower() for name in re.findall(r"^    ([A-Z]\w*)", enum, re.M)}
    for unit in units.values():
        if not unit.name.endswith(".service"):
            continue
        program, *arguments = unit.last("ExecStart").split()
        if program == "/usr/local/bin/fanfare":
            if arguments[:1] != [word for word in arguments[:1] if word in known]:
                yield f"{unit.name}: fanfare has no command `{' '.join(arguments)}`"
        elif program.startswith("/usr/local/lib/fanfare/"):
            script = root / "deploy" / program.removeprefix("/usr/local/lib/fanfare/")
            text = script.read_text() if script.exists() else ""
            if not text:
                yield f"{unit.name}: there is no {script.relative_to(root)}"
            for flag in arguments:
                if flag.startswith("--") and f"{flag})" not in text:
                    yield f"{unit.name}: {script.name} takes no {flag}"
        else:
            yield f"{unit.name}: it starts `{program}`"


def stopping(root, units):
    """Nobody is killed who is about to end well."""
    defaults = settings.defaults(root)
    for name, needs in STOPPING.items():
        unit = units[name]
        for setting, more in needs:
            needed = more + (settings.seconds(defaults[setting]) if setting else 0)
            if unit.seconds("TimeoutStopSec") < needed:
                yield f"{name}: it has {unit.last('TimeoutStopSec') or 'no time'} to stop and may need {needed}s"
        if unit.last("KillMode") != "mixed":
            yield f"{name}: its KillMode is not mixed"


def networks(units):
    """Who does not talk to strangers can't."""
    for unit in units.values():
        closed = unit.last("IPAddressDeny") == "any"
        if unit.name.endswith(".service") and closed == (unit.name in OPEN):
            yield f"{unit.name}: {'it is cut off from those it serves' if closed else 'it may reach the internet'}"
        for address in unit.last("IPAddressAllow").split():
            if address == "any" or address.endswith("/0"):
                yield f"{unit.name}: it may reach the internet"


def starting(units):
    """Roles come back, and come after what they need; and settings that are wrong are told, not retried."""
    for name in ROLES:
        unit = units[name]
        wanted = {"Type": "exec", "Restart": "on-failure", "RestartPreventExitStatus": "2", "StartLimitIntervalSec": "0"}
        for setting, value in wanted.items():
            if unit.last(setting) != value:
                yield f"{name}: {setting} is not {value}"
        if name == "fanfare-all.service":
            continue
        for setting in ("Wants", "After"):
            for other in ("fanfare-migrate.service", "network-online.target"):
                if other not in unit.last(setting).split():
                    yield f"{name}: {other} is not in its {setting}"
        if unit.last("PartOf") != "fanfare.target" or unit.last("WantedBy") != "fanfare.target":
            yield f"{name}: it does not start and stop with fanfare.target"


def main():
    found = faults(Path(sys.argv[1]))
    for fault in found:
        print(fault)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
