"""The chart as a package: its versions, its values' names, its documents."""

import json
import re
import tomllib

import readme
import schemas
from render import ROLES, example, read
from variables import FIXED, SECRETS


def check(root, chart):
    yield from versions(root, chart)
    schema = json.loads((chart / "values.schema.json").read_text())
    yield from variables(root, schema)
    yield from closed("values", schema)
    values = read((chart / "values.yaml").read_text())
    yield from described("values", schema, schema["definitions"], values)
    if readme.table(schema, values) not in (chart / "README.md").read_text():
        yield "README.md: its table of values is not the schema's; `scripts/chart/readme.py CHART` writes it anew"


def versions(root, chart):
    told = read((chart / "Chart.yaml").read_text())
    workspace = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    if told["appVersion"] != workspace:
        yield f"Chart.yaml: appVersion is {told['appVersion']}, and the workspace's version {workspace}"
    if told["kubeVersion"] != f">={schemas.OLDEST}-0":
        yield f"Chart.yaml: kubeVersion is {told['kubeVersion']}, and {schemas.OLDEST} the oldest that is validated"


def variables(root, schema):
    """Each variable of .env.example has one place, or is the chart's."""
    known = {name for name in example(root) if name.startswith("FANFARE_")}
    shared = set(schema["properties"]["config"]["properties"])
    own = {role: set(schema["properties"][role]["properties"]["config"]["properties"]) for role in ROLES}
    placed = shared.union(*own.values()) | FIXED
    for value, variable in SECRETS.items():
        if value not in schema["properties"]["secrets"]["properties"]:
            yield f"values.schema.json: secrets.{value} is missing"
        if variable in placed:
            yield f"values.schema.json: {variable} is a secret, and may stand in config"
    placed |= set(SECRETS.values())
    for name in sorted(known - placed):
        yield f"values.schema.json: {name} can't be set"
    for name in sorted(placed - known):
        yield f"values.schema.json: {name} is no variable of .env.example"
    for role in ROLES:
        for other in ROLES:
            for name in sorted((own[role] & own[other]) - shared if role < other else ()):
                yield f"values.schema.json: {name} stands under {role} and {other}"


def closed(path, schema):
    """A typo is refused wherever the chart knows all names."""
    if "properties" in schema and schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        yield f"values.schema.json: {path} takes what it does not know"
    for name, part in schema.get("properties", {}).items():
        yield from closed(f"{path}.{name}", part)


def described(path, schema, definitions, values):
    """Each value has a default and a description."""
    for name, part in schema.get("properties", {}).items():
        part, place = readme.resolved(part, definitions), f"{path}.{name}"
        if ".config." not in place and not place.endswith(".global"):
            if not isinstance(values, dict) or name not in values:
                yield f"values.yaml: {place} has no default"
                continue
            if not part.get("description"):
                yield f"values.schema.json: {place} has no description"
        if isinstance(values, dict) and isinstance(values.get(name), dict):
            yield from described(place, part, definitions, values[name])
    for name in values if isinstance(values, dict) and re.search(r"^values(\.\w+)*$", path) else ():
        if schema.get("properties") and name not in schema["properties"]:
            yield f"values.yaml: {path}.{name} is unknown to the schema"
