"""Renders the chart with each file of values in its ci/, and prints every fault.

    check.py ROOT HELM      ends with 1 if there is a fault
"""

import re
import shutil
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

import monitoring
import network
import pods
import scaling
import schemas
import settings
import structure
from render import NAMESPACE, RELEASE, Failed, documents, helm, render

RULES = (pods, structure, network, scaling, monitoring)


def faults(program, root, chart, versions=(schemas.OLDEST, schemas.NEWEST), only=None):
    """All faults of a chart, as lines."""
    yield from settings.check(root, chart)
    files = sorted((chart / "ci").glob("*-values.yaml")) if only is None else [chart / "ci" / only]
    if not files:
        yield "ci: there are no files of values"
    with ThreadPoolExecutor(4) as pool:
        for file, rendered in zip(files, pool.map(lambda file: attempt(program, root, chart, file), files)):
            if isinstance(rendered, Exception):
                yield f"{file.name}: {rendered}"
                continue
            for fault in judged(rendered, versions):
                yield f"{file.name}: {fault}"


def judged(rendered, versions):
    """Rules take for granted what schemas say."""
    found = list(schemas.check(rendered, versions))
    yield from found
    for rules in () if found else RULES:
        try:
            yield from rules.check(rendered)
        except (KeyError, ValueError) as error:
            yield f"{rules.__name__}: can't be judged: {error!r}"


def attempt(program, root, chart, file):
    try:
        return render(program, root, chart, file)
    except (Failed, yaml.YAMLError) as failed:
        return failed


def lint(program, chart):
    for file in sorted((chart / "ci").glob("*-values.yaml")):
        try:
            helm(program, "lint", "--strict", "--quiet", chart, "--values", file)
        except Failed as failed:
            yield f"{file.name}: helm lint: {failed}"


def everything(program, root, chart):
    """What differs from release to release of Kubernetes, and from the chart to its package."""
    file = chart / "ci/everything-values.yaml"
    whole = render(program, root, chart, file)
    yield from schemas.check(whole, schemas.between())
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        helm(program, "package", chart, "--destination", folder)
        (archive,) = folder.glob("*.tgz")
        with tarfile.open(archive) as package:
            if any("/ci/" in name for name in package.getnames()):
                yield "the package has the values that the chart is checked with"
        if documents(program, archive, file) != whole.documents:
            yield "the package renders something else than the chart"
        newer = folder / "newer"
        shutil.copytree(chart, newer)
        told = newer / "Chart.yaml"
        told.write_text(re.sub(r"(?m)^(version|appVersion): .*", r"\1: 99.0.0", told.read_text()))
        yield from structure.upgrade(program, whole, file, newer)
    helm(program, "template", RELEASE, chart, "--namespace", NAMESPACE, "--kube-version", schemas.OLDEST)
    try:
        helm(program, "template", RELEASE, chart, "--kube-version", "1.28.0")
        yield "Chart.yaml: Kubernetes 1.28, for which nothing is validated, is taken"
    except Failed:
        pass
    notes = helm(program, "install", RELEASE, chart, "--dry-run=client", "--namespace", NAMESPACE).partition("NOTES:")[2]
    for wanted in (f"helm -n {NAMESPACE} test {RELEASE}", "No providers are given", "nothing watches it yet"):
        if wanted not in notes:
            yield f"NOTES.txt: it does not say `{wanted}`"


def main():
    root, program = Path(sys.argv[1]), sys.argv[2]
    chart = root / "deploy/helm/fanfare"
    found = [*faults(program, root, chart), *lint(program, chart), *everything(program, root, chart)]
    for fault in found:
        print(fault)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
