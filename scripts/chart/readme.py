"""The table of values in the chart's README, from the schema's descriptions and the defaults.

    readme.py CHART     writes it anew
"""

import json
import sys
from pathlib import Path

import yaml

BEGIN, END = "<!-- values: written by scripts/chart/readme.py -->", "<!-- end of values -->"


def table(schema, values):
    lines = ["| value | default | |", "| --- | --- | --- |", *rows("", schema, schema["definitions"], values)]
    return "\n".join([BEGIN, "", *lines, "", END])


def rows(prefix, schema, definitions, values):
    for name, part in schema.get("properties", {}).items():
        part, path = resolved(part, definitions), f"{prefix}{name}"
        value = values.get(name) if isinstance(values, dict) else None
        said = part.get("description", "").replace("|", "\\|")
        nested = part.get("properties") and name != "config"
        yield f"| `{path}` | {'' if nested else default(value)} | {said} |"
        if nested:
            yield from rows(f"{path}.", part, definitions, value)


def resolved(schema, definitions):
    """What it refers to, where it does."""
    return definitions.get(schema.get("$ref", "").rpartition("/")[2], schema)


def default(value):
    if value in ("", None, [], {}):
        return ""
    text = json.dumps(value) if isinstance(value, (dict, list, bool)) else str(value)
    return f"`{text}`" if len(text) <= 60 else "see values.yaml"


def main():
    chart = Path(sys.argv[1])
    schema = json.loads((chart / "values.schema.json").read_text())
    values = yaml.safe_load((chart / "values.yaml").read_text())
    file = chart / "README.md"
    before, _, rest = file.read_text().partition(BEGIN)
    file.write_text(before + table(schema, values) + rest.partition(END)[2])


if __name__ == "__main__":
    main()
