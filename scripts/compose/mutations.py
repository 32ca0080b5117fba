"""Holds the files against the rules; then breaks one thing at a time in copies of them, and expects the rules to find it.

    mutations.py ROOT FANFARE   prints what is wrong or passed unseen, and ends with 1 if anything did or was
"""

import re
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import containers
import simulated
import watching
import wiring
from faults import MUTATIONS
from model import Model, Refused

FOLDERS = ("collector", "compose", "grafana", "loki", "nginx", "postgres", "prometheus", "redis", "tempo")
PARTS = ("deploy/compose.yaml", "docs/OPERATIONS.md", ".env.example", *(f"deploy/{folder}" for folder in FOLDERS))


def faults(model):
    """What the rules have to say of the files, as lines."""
    found = []
    for rules in (containers, wiring, watching):
        rules.check(model, found.append)
    return found


def main():
    root, fanfare = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    try:
        whole = Model(root)
    except Refused as refused:
        sys.exit(str(refused))
    found = faults(whole) + simulated.faults(root / "deploy/compose/simulated-providers.toml", fanfare)
    if found:
        sys.exit("\n".join(found))
    with ThreadPoolExecutor(4) as pool:
        passed = [told for told in pool.map(lambda mutation: unseen(whole, *mutation), MUTATIONS) if told]
    print("\n".join([*passed, f"{len(MUTATIONS)} broken copies, {len(MUTATIONS) - len(passed)} found"]))
    sys.exit(1 if passed else 0)


def unseen(whole, file, pattern, replacement, expected):
    """What to say if the fault is not found."""
    root = whole.root
    with tempfile.TemporaryDirectory() as copy:
        copy = Path(copy).resolve()
        for part in PARTS:
            (copy / part).parent.mkdir(parents=True, exist_ok=True)
            copy_all = shutil.copytree if (root / part).is_dir() else shutil.copy
            copy_all(root / part, copy / part)
        broken = copy / file
        text = broken.read_text()
        text, count = re.subn(pattern, lambda _: replacement, text, count=1, flags=re.MULTILINE)
        if not count:
            return f"{file}: there is no `{pattern}` any more to be broken"
        broken.write_text(text)
        found = broken_faults(copy, whole, file)
    if any(expected in fault for fault in found):
        return None
    return f"{file}: `{pattern}` can be `{replacement}`; found was {found or 'nothing'}"


def broken_faults(copy, whole, file):
    try:
        return faults(Model(copy, whole, file))
    except Refused as refused:
        return [str(refused)]


if __name__ == "__main__":
    main()
