"""Makes a database of advisories that name what Fanfare uses, and expects cargo-deny to tell, by deny.toml, of those that
are ours to act on.

    advisory_plants.py ROOT CARGO_DENY   prints what is judged wrongly, and ends with 1 if anything is
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from deny_plants import run

# A crate, what is said of it, whether a release has to wait for it, and whether it does where tests count.
ADVISORIES = [
    ("tokio", "", True, True),
    ("fnv", "", True, True),
    ("rustls", 'informational = "unsound"', True, True),
    ("quick-xml", 'informational = "unmaintained"', True, True),
    # Of others: SeaORM's, and theirs to replace.
    ("ouroboros", 'informational = "unmaintained"', False, False),
    ("insta", "", False, True),
]


def main():
    root, deny = Path(sys.argv[1]).resolve(), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        wrong = judged_wrongly(root, deny, Path(folder))
    for told in wrong:
        print(told)
    print(f"{len(ADVISORIES)} advisories planted, {len(ADVISORIES) - len(wrong)} judged rightly")
    sys.exit(1 if wrong else 0)


def judged_wrongly(root, deny, folder):
    settings = (root / "deny.toml").read_text()
    here = f'[advisories]\ndb-path = "{folder}/databases"\ndb-urls = ["https://advisories.example/planted"]\n'
    shipped = settings.replace("[advisories]\n", here, 1)
    make_database(root, deny, folder, shipped)
    in_release = told(root, deny, folder, shipped)
    in_tests = told(root, deny, folder, shipped.replace("exclude-dev = true", "exclude-dev = false", 1))
    first = identifier(0)
    ignored = told(
        root, deny, folder, shipped.replace("ignore = []", f'ignore = [{{ id = "{first}", reason = "planted" }}]')
    )
    wrong = [
        f"{crate} ({said or 'a fault'}): {'not told' if expected else 'told'} {where}"
        for number, (crate, said, *both) in enumerate(ADVISORIES)
        for found, expected, where in zip((in_release, in_tests), both, ("of a release", "of tests"), strict=True)
        if (identifier(number) in found) != expected
    ]
    return wrong + ([f"{first} is told although it is ignored"] if first in ignored else [])


def make_database(root, deny, folder, settings):
    """Where cargo-deny looks for it, which it tells when there is none."""
    (folder / "deny.toml").write_text(settings)
    ran = subprocess.run(command(deny, folder), check=False, cwd=root, capture_output=True, text=True)
    place = Path(re.search(rf"{re.escape(str(folder))}/databases/[\w.-]+", ran.stderr)[0])
    for number, (crate, said, *_) in enumerate(ADVISORIES):
        (place / "crates" / crate).mkdir(parents=True)
        (place / "crates" / crate / f"{identifier(number)}.md").write_text(advisory(number, crate, said))
    git = ["git", "-C", str(place), "-c", "user.name=planted", "-c", "user.email=planted@example.org"]
    for arguments in (
        ["init", "--quiet"],
        ["add", "."],
        ["commit", "--quiet", "--no-gpg-sign", "--message", "planted"],
    ):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    (place / ".git/FETCH_HEAD").write_text(head)


def told(root, deny, folder, settings):
    (folder / "deny.toml").write_text(settings)
    faults = run(root, command(deny, folder)[:-2], ["check", "advisories"])
    return {fault["advisory"]["id"] for fault in faults if fault.get("advisory")}


def command(deny, folder):
    return [deny, "--offline", "--format", "json", "--config", str(folder / "deny.toml"), "check", "advisories"]


def identifier(number):
    return f"RUSTSEC-2099-{number + 1:04}"


def advisory(number, crate, said):
    return (
        f'```toml\n[advisory]\nid = "{identifier(number)}"\npackage = "{crate}"\ndate = "2026-01-01"\n{said}\n'
        "[versions]\npatched = []\n```\n\n# Planted\n\nIt is not real.\n"
    )


if __name__ == "__main__":
    main()
