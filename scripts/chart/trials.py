"""Sees that each value does something: some file in the chart's ci/ tries another one, and it makes a difference.

    trials.py ROOT HELM     prints values that do nothing or that nothing tries, and ends with 1 if there are any
"""

import copy
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from render import NAMESPACE, RELEASE, Failed, helm, read

# What a chart around this one says is for others.
IDLE = {("global",)}


def leaves(values, path=()):
    """Paths of all that is a value and no group of values."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name)


def has(values, path):
    for name in path:
        if not isinstance(values, dict) or name not in values:
            return False
        values = values[name]
    return True


def without(values, path):
    """A copy that lacks what the path leads to."""
    made = copy.deepcopy(values)
    group = made
    for name in path[:-1]:
        group = group[name]
    del group[path[-1]]
    return made


def template(program, chart, values):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        try:
            return helm(program, "template", RELEASE, chart, "--namespace", NAMESPACE, "--values", file.name)
        except Failed as failed:
            return str(failed)


def told(program, chart, wholes, trials, path):
    """Nothing if one of the files shows that it does something."""
    name = ".".join(path)
    tried = [file for file, values in trials.items() if has(values, path)]
    if not tried:
        return f"{name}: no file in ci/ tries it"
    for file in tried:
        if template(program, chart, without(trials[file], path)) != wholes[file]:
            return None
    return f"{name}: it does nothing"


def main():
    root, program = Path(sys.argv[1]), sys.argv[2]
    chart = root / "deploy/helm/fanfare"
    trials = {file.name: read(file.read_text()) or {} for file in sorted((chart / "ci").glob("*-values.yaml"))}
    # The fullest first: it tries most.
    trials = dict(sorted(trials.items(), key=lambda item: -len(list(leaves(item[1])))))
    own = read((chart / "values.yaml").read_text())
    paths = {path for path in leaves(own) if path[-2:-1] != ("config",) and path not in IDLE}
    paths |= {path for values in trials.values() for path in leaves(values) if path[-2:-1] == ("config",)}
    with ThreadPoolExecutor(2) as pool:
        wholes = {file: template(program, chart, values) for file, values in trials.items()}
        found = [*filter(None, pool.map(lambda path: told(program, chart, wholes, trials, path), sorted(paths)))]
    for line in found:
        print(line)
    print(f"{len(paths)} values, {len(paths) - len(found)} of them do something")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
