"""The crates that the binary links, as cargo resolves them for a build.

`cargo metadata` alone lists more: what an optional dependency would bring if it were asked for. `cargo tree` knows
which features a build has, and so what is really there.
"""

import json
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = "fanfare"

# Whose build embeds what another crate has, which is no dependency of the program then.
EMBEDS = {"utoipa-swagger-ui": "utoipa-swagger-ui-vendored"}


@dataclass
class Crate:
    name: str
    version: str
    licence: str
    description: str
    repository: str | None
    # Of the package as the registry has it; none for our own.
    sha256: str | None
    # Its source, and that of what its build embeds.
    folder: Path
    embedded: Path | None
    features: set[str]
    uses: set[tuple[str, str]] = field(default_factory=set)

    @property
    def key(self):
        return (self.name, self.version)

    @property
    def ours(self):
        return self.sha256 is None


def crates(root, target):
    """By name and version, the program among them."""
    lock = tomllib.loads((root / "Cargo.lock").read_text())
    sums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    packages = {
        (p["name"], p["version"]): p for p in json.loads(cargo(root, "metadata", "--format-version=1"))["packages"]
    }
    found = {}
    above = []
    for depth, key, features in tree(root, target):
        if key not in found:
            found[key] = crate(packages[key], sums[key], packages.values())
        found[key].features |= features
        above = above[:depth]
        if above:
            found[above[-1]].uses.add(key)
        above.append(key)
    return found


def tree(root, target):
    """Each crate below the one that uses it: depth, name and version, features. Macros run in the build alone."""
    lines = cargo(
        root, "tree", "--package", PROGRAM, "--target", target, "--edges", "normal,no-proc-macro",
        "--prefix", "depth", "--no-dedupe", "--format", " {p}\t{f}",
    )  # fmt: skip
    for line in lines.splitlines():
        named, _, features = line.partition("\t")
        depth, name, version, *_ = named.split()
        yield int(depth), (name, version.removeprefix("v")), set(features.split(",")) - {""}


def crate(package, sha256, packages):
    embedded = next((p for p in packages if p["name"] == EMBEDS.get(package["name"])), None)
    return Crate(
        name=package["name"],
        version=package["version"],
        # The older way of saying it.
        licence=(package["license"] or "").replace(" / ", " OR ").replace("/", " OR "),
        description=" ".join((package["description"] or "").split()),
        repository=package["repository"],
        sha256=sha256,
        folder=Path(package["manifest_path"]).parent,
        embedded=Path(embedded["manifest_path"]).parent if embedded else None,
        features=set(),
    )


def cargo(root, command, *arguments):
    return subprocess.run(
        ["cargo", command, "--locked", *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout
