"""Validates documents strictly: an unknown field is a fault."""

import functools
from pathlib import Path

import jsonschema
import kubernetes_validate.utils as kubernetes
import yaml
from referencing import Registry, Resource

from render import FAST, read, title

HERE = Path(__file__).parent / "schemas"
OLDEST, NEWEST = "1.29.0", "1.37.0"


def check(rendered, versions=(OLDEST, NEWEST)):
    for document in rendered.documents:
        own = custom().get((document["apiVersion"], document["kind"]))
        if own:
            # Their schemas leave what all kinds have in common to the server.
            common = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": document["metadata"]}
            for error in of_kubernetes("v1", "ConfigMap", NEWEST).iter_errors(common):
                yield f"{title(document)}: {error.message[:300]}"
        for version in versions if own is None else [None]:
            validator = own or of_kubernetes(document["apiVersion"], document["kind"], version)
            if validator is None:
                yield f"{title(document)}: Kubernetes {version} has no {document['apiVersion']} {document['kind']}"
                continue
            for error in sorted(validator.iter_errors(document), key=str):
                place = ".".join(map(str, error.absolute_path))
                against = f" (Kubernetes {version})" if version else ""
                yield f"{title(document)}: {place}: {error.message[:300]}{against}"


def between():
    """All releases that the chart supports, as far as their schemas are there."""
    return [version for version in kubernetes.all_versions() if minor(OLDEST) <= minor(version) <= minor(NEWEST)]


def minor(version):
    return int(version.lstrip("v").split(".")[1])


@functools.cache
def of_kubernetes(api_version, kind, version):
    """The strict schema of a built-in kind."""
    group, _, plain = api_version.rpartition("/")
    name = "-".join(filter(None, [kind.lower(), group.split(".")[0], plain]))
    folder = f"kubernetes-json-schema/v{version}-local-strict"
    try:
        schema = kubernetes.schema_contents(f"{folder}/{name}.json", version)
    except FileNotFoundError:
        return None
    registry = Resource.from_contents(schema) @ definitions(version)
    return jsonschema.Draft202012Validator(schema, registry=registry)


@functools.cache
def definitions(version):
    contents = kubernetes.schema_contents(f"kubernetes-json-schema/v{version}-local-strict/_definitions.json", version)
    return Resource.from_contents(contents) @ Registry()


@functools.cache
def custom():
    """Validators of kinds that are not built in, by their version and name."""
    found = {}
    for file in sorted(HERE.glob("keda/*.yaml")):
        for definition in yaml.load_all(file.read_text(), Loader=FAST):
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                found[key] = jsonschema.Draft7Validator(schema)
    for file in sorted(HERE.glob("*.yaml")):
        schema = read(file.read_text())
        key = (schema["properties"]["apiVersion"]["const"], schema["properties"]["kind"]["const"])
        found[key] = jsonschema.Draft7Validator(strict(schema))
    return found


def strict(schema):
    """A server drops fields that it does not know; here they are refused."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if made.pop("x-kubernetes-int-or-string", False):
        made["type"] = ["integer", "string"]
    closed = isinstance(made.get("properties"), dict) and "additionalProperties" not in made
    if closed and not made.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    return made
