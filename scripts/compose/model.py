"""What the real Compose makes of the files, with one combination of profiles after another."""

import json
import os
import re
import subprocess
import tempfile

import yaml

FILES = ("deploy/compose.yaml", "deploy/compose/observability.yaml")
TLS = "deploy/compose/tls.yaml"
WHOLE = ("simulator", "observability")
PROFILES = ((), ("simulator",), ("observability",), WHOLE)
READ_BY_COMPOSE = (*FILES, "deploy/compose/env.example")


class Refused(Exception):
    """Compose does not take the files."""


class Model:
    """The files below `root`, resolved with all profiles as `services`, `networks` and `volumes`."""

    def __init__(self, root, known=None, changed=None):
        """Asks Compose about all, or only about what has `changed` against the files that are `known`."""
        self.root = root
        self.deploy = root / "deploy"
        self.texts = {file: (root / file).read_text() for file in FILES}
        self.settings = settings((self.deploy / "compose/env.example").read_text())
        self.resolved = self.adopted(known, changed) if known else self.asked()
        whole = json.loads(self.resolved[WHOLE])
        self.services = whole["services"]
        self.plain = {name: service for name, service in self.services.items() if not service.get("profiles")}
        self.networks = whole["networks"]
        self.encrypted = json.loads(self.resolved[TLS])["services"]
        # Compose drops what it does not know.
        self.reasons = {
            name: service["x-without-healthcheck"]
            for text in self.texts.values()
            for name, service in yaml.safe_load(text)["services"].items()
            if service.get("x-without-healthcheck")
        }

    def asked(self):
        return {profiles: self.resolve(profiles) for profiles in PROFILES} | {TLS: self.resolve((), TLS)}

    def adopted(self, known, changed):
        resolved = {one: text.replace(str(known.root), str(self.root)) for one, text in known.resolved.items()}
        if changed in READ_BY_COMPOSE:
            resolved[WHOLE] = self.resolve(WHOLE)
        if changed == TLS:
            resolved[TLS] = self.resolve((), TLS)
        return resolved

    def resolve(self, profiles, *others):
        files = [argument for file in (FILES[0], *others) for argument in ("--file", self.root / file)]
        chosen = [argument for profile in profiles for argument in ("--profile", profile)]
        with tempfile.NamedTemporaryFile("w", suffix=".env") as file:
            file.write("".join(f"{name}={value}\n" for name, value in self.settings.items()))
            file.flush()
            done = subprocess.run(
                ["docker-compose", *files, "--env-file", file.name, *chosen]
                + ["config", "--format", "json"],
                capture_output=True, text=True, timeout=60, check=False,
                env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
            )
        if done.returncode or not done.stdout:
            raise Refused(f"{' and '.join((FILES[0], *others))}: with profiles {', '.join(profiles) or 'none'}: {done.stderr.strip()}")
        return done.stdout

    def yaml(self, file):
        return yaml.safe_load((self.deploy / file).read_text())

    def variables(self):
        """Names that the files ask .env for."""
        texts = [*self.texts.values(), (self.root / TLS).read_text()]
        return {name for text in texts for name in re.findall(r"(?<!\$)\$\{(\w+)", without_comments(text))}


def settings(example):
    """What one who just made .env of the example has."""
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", example, re.MULTILINE))
    values = {name: value.replace("GENERATED", f"{name.lower()}-of-the-check") for name, value in values.items()}
    return values | {"TLS_CERTIFICATE": "./certificate.pem", "TLS_KEY": "./key.pem"}


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
