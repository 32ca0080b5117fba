"""What the real Compose makes of the files, with one combination of profiles after another."""

import json
import os
import re
import subprocess
import tempfile

import yaml

FILES = ("deploy/compose.yaml", "deploy/compose/observability.yaml")
PLAIN, WHOLE = (), ("simulator", "observability")
PROFILES = (PLAIN, ("simulator",), ("observability",), WHOLE)


class Refused(Exception):
    """Compose does not take the files."""


class Model:
    """The files below `root`, resolved with all profiles as `services`, `networks` and `volumes`."""

    def __init__(self, root, profiles=PROFILES, known=None):
        """Asks Compose for what it makes of `profiles`, unless that is `known` from a model of other files."""
        self.root = root
        self.deploy = root / "deploy"
        self.texts = {file: (root / file).read_text() for file in FILES}
        self.settings = settings((self.deploy / "compose/env.example").read_text())
        if known:
            self.resolved = {one: text.replace(str(known.root), str(root)) for one, text in known.resolved.items()}
        else:
            self.resolved = {one: self.resolve(one) for one in profiles}
        self.plain = json.loads(self.resolved[PLAIN])["services"]
        whole = json.loads(self.resolved[WHOLE])
        self.services = whole["services"]
        self.networks = whole["networks"]
        # Compose drops what it does not know.
        self.reasons = {
            name: service["x-without-healthcheck"]
            for text in self.texts.values()
            for name, service in yaml.safe_load(text)["services"].items()
            if service.get("x-without-healthcheck")
        }

    def resolve(self, profiles):
        chosen = [argument for profile in profiles for argument in ("--profile", profile)]
        with tempfile.NamedTemporaryFile("w", suffix=".env") as file:
            file.write("".join(f"{name}={value}\n" for name, value in self.settings.items()))
            file.flush()
            done = subprocess.run(
                ["docker-compose", "--file", self.root / FILES[0], "--env-file", file.name, *chosen]
                + ["config", "--format", "json"],
                capture_output=True, text=True, timeout=60, check=False,
                env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
            )
        if done.returncode or not done.stdout:
            raise Refused(f"{FILES[0]}: with profiles {', '.join(profiles) or 'none'}: {done.stderr.strip()}")
        return done.stdout

    def yaml(self, file):
        return yaml.safe_load((self.deploy / file).read_text())

    def variables(self):
        """Names that the files ask .env for."""
        return {name for text in self.texts.values() for name in re.findall(r"(?<!\$)\$\{(\w+)", without_comments(text))}


def settings(example):
    """What one who just made .env of the example has."""
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", example, re.MULTILINE))
    return {name: value.replace("GENERATED", f"{name.lower()}-of-the-check") for name, value in values.items()}


def offered(example):
    """All that the example names, used or not."""
    return dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.MULTILINE))


def without_comments(text):
    return re.sub(r"(^|\s)#.*$", "", text, flags=re.MULTILINE)


def seconds(duration):
    """Of what Compose prints, such as 1m30s."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", duration or ""))


def data_size(text):
    """Bytes of what PostgreSQL and Redis call a size."""
    number, unit = re.fullmatch(r"(\d+)\s*([kmg]?)b?", text.strip().lower()).groups()
    return int(number) * 1024 ** " kmg".index(unit or " ")
