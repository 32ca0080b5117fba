"""Renders the chart, and reads what comes out."""

import copy
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

# Release and namespace of all renderings.
RELEASE, NAMESPACE = "fanfare", "events"


class Failed(Exception):
    """What Helm said when it refused."""


@dataclass
class Rendered:
    """What one file of values makes of the chart."""

    name: str
    root: Path  # of the repository
    chart: Path
    values: dict  # the chart's own, overlaid with the file's
    documents: list

    def of(self, *kinds):
        return [document for document in self.documents if document["kind"] in kinds]

    def pods(self):
        """Whatever makes pods, with the pod's metadata and spec."""
        for document in self.documents:
            if document["kind"] == "Pod":
                yield document, document["metadata"], document["spec"]
            elif document["kind"] in ("Deployment", "Job"):
                template = document["spec"]["template"]
                yield document, template["metadata"], template["spec"]

    def role(self, name):
        """The pod spec of a role, if it is rendered."""
        for document, metadata, spec in self.pods():
            if document["kind"] == "Deployment" and metadata["labels"][COMPONENT] == name:
                return spec
        return None


COMPONENT = "app.kubernetes.io/component"
ROLES = ("scheduler", "worker", "api")


FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(text):
    """What a document of YAML says."""
    return yaml.load(text, Loader=FAST)


class Strict(FAST):
    """Refuses a key that stands twice, of which YAML's readers take either."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: `{min(twice)}` stands twice")
        return super().construct_mapping(node, deep)


def helm(program, *arguments):
    """What Helm prints."""
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        # It tells of each link that it follows.
        lines = [line for line in done.stderr.splitlines() if "symbolic link" not in line]
        raise Failed("\n".join(lines))
    return done.stdout


def documents(program, chart, values, *more):
    """What a chart or its package becomes with a file of values, in the release's namespace."""
    text = helm(program, "template", RELEASE, chart, "--namespace", NAMESPACE, "--values", values, *more)
    return [document for document in yaml.load_all(text, Loader=Strict) if document]


def render(program, root, chart, values, *more):
    made = documents(program, chart, values, *more)
    own = read((chart / "values.yaml").read_text())
    overlay = read(values.read_text()) or {}
    return Rendered(values.name, root, chart, overlaid(own, overlay), made)


def overlaid(below, above):
    """As Helm lays values over each other: null takes away."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return copy.deepcopy(above)
    merged = copy.deepcopy(below)
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = overlaid(merged.get(key), value)
    return merged


def title(document):
    return f"{document['kind']} {document['metadata']['name']}"


def environment(container):
    """Variables with a value of their own."""
    return {variable["name"]: variable.get("value") for variable in container.get("env", [])}


def example(root):
    """Every variable of .env.example, with its default."""
    lines = re.findall(r"^#((?:FANFARE|OTEL)_[A-Z_]+)=(.*)$", (root / ".env.example").read_text(), re.M)
    return dict(lines)


def milliseconds(duration):
    units = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"([0-9]+) ?(ms|s|m|h|d)", duration))


def quantity(text):
    """Bytes, or cores, of a quantity such as 256Mi or 50m."""
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text)).groups()
    powers = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    powers |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
    return float(number) * powers[unit]
