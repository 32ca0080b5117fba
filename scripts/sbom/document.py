"""The document: CycloneDX 1.6, in an order and with an identity that only the content gives."""

import json
import subprocess
import uuid
from dataclasses import dataclass

import bundled
import linked

# A namespace of our own for serial numbers, so that the same content has the same one.
NAMESPACE = uuid.UUID("0b5f3e7e-6a55-4c6c-9d3f-5a6f7b1c2d90")


@dataclass
class Source:
    commit: str | None
    at: str | None


def source(root):
    """The commit that is described, and its time; neither where the tree is another than the commit's."""

    def git(*arguments):
        ran = subprocess.run(["git", "-C", str(root), *arguments], check=False, capture_output=True, text=True)
        return ran.stdout.strip() if ran.returncode == 0 else None

    if git("status", "--porcelain") != "":
        return Source(None, None)
    seconds = git("show", "--no-patch", "--format=%ct", "HEAD")
    at = subprocess.run(
        ["date", "--utc", f"--date=@{seconds}", "+%Y-%m-%dT%H:%M:%SZ"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return Source(git("rev-parse", "HEAD"), at)


def written(crates, target, source):
    program = next(crate for crate in crates.values() if crate.name == linked.PROGRAM)
    others = sorted((crate for crate in crates.values() if crate is not program), key=lambda crate: crate.key)
    content = {
        "metadata": {
            **({"timestamp": source.at} if source.at else {}),
            "lifecycles": [{"phase": "build"}],
            "component": {**component(program), "type": "application"},
            "properties": [
                {"name": "fanfare:target", "value": target},
                *([{"name": "fanfare:commit", "value": source.commit}] if source.commit else []),
            ],
        },
        "components": [component(crate) for crate in others],
        "dependencies": [edges(crate, crates) for crate in [program, *others]],
    }
    serial = uuid.uuid5(NAMESPACE, json.dumps(content, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1}
    return json.dumps(head | content, indent=1, ensure_ascii=False) + "\n"


def component(crate):
    inside = [within(crate, part) for part in bundled.within(crate)]
    return {
        "type": "library",
        "bom-ref": ref(crate),
        **({"group": linked.PROGRAM} if crate.ours else {}),
        "name": crate.name,
        "version": crate.version,
        **({"description": crate.description} if crate.description else {}),
        "scope": "required",
        **({"hashes": [{"alg": "SHA-256", "content": crate.sha256}]} if crate.sha256 else {}),
        "licenses": [{"expression": crate.licence}],
        # Crates of ours are in no registry, where others may have the same names.
        **({} if crate.ours else {"purl": ref(crate)}),
        **({"externalReferences": [{"type": "vcs", "url": crate.repository}]} if crate.repository else {}),
        **({"components": inside} if inside else {}),
    }


def within(crate, part):
    return {
        "type": "library",
        "bom-ref": f"{ref(crate)}#{part.name}",
        "name": part.name,
        "version": part.version,
        "description": part.description,
        "licenses": [
            {"license": {"name": "Public domain"}}
            if part.licence.startswith("LicenseRef-")
            else {"license": {"id": part.licence}}
        ],
        **({"cpe": part.cpe} if part.cpe else {}),
    }


def edges(crate, crates):
    return {"ref": ref(crate), "dependsOn": sorted(ref(crates[key]) for key in crate.uses)}


def ref(crate):
    if crate.ours:
        return f"{linked.PROGRAM}/{crate.name}@{crate.version}"
    return f"pkg:cargo/{crate.name}@{crate.version.replace('+', '%2B')}"
