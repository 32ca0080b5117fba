"""What a build is sent: .dockerignore as Docker reads it, and what the workspace needs."""

import re
import tomllib
from pathlib import Path


class Ignored:
    """Lines are tried in order, and the last one that fits a path, or a folder above it, decides."""

    def __init__(self, text):
        self.rules = []
        for line in text.splitlines():
            line = line.strip()
            if line and not line.startswith("#"):
                kept = line.startswith("!")
                self.rules.append((not kept, expression(line.removeprefix("!").strip("/"))))

    def __call__(self, path):
        parts = path.split("/")
        above = ["/".join(parts[: length + 1]) for length in range(len(parts))]
        ignored = False
        for ignores, rule in self.rules:
            if any(rule.fullmatch(it) for it in above):
                ignored = ignores
        return ignored


def expression(pattern):
    """`*` and `?` stay within a folder, `**` does not."""
    parts = re.split(r"(\*\*/?|\*|\?)", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(wild.get(part) or re.escape(part) for part in parts))


def needed(root):
    """The files without which the image is not built: of each crate that is linked, everything that is compiled."""
    workspace = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]
    files = {"Cargo.toml", "Cargo.lock"}
    files.update(path.name for path in root.glob("LICENSE*"))
    files.update(f"{member}/Cargo.toml" for member in workspace["members"])
    for crate in linked(root, workspace):
        sources = [path for path in (root / crate / "src").rglob("*") if path.is_file()]
        script = root / crate / "build.rs"
        sources += [script] if script.exists() else []
        for source in sources:
            files.add(source.relative_to(root).as_posix())
            files.update(read_at_build_time(root, crate, source))
    return sorted(files)


def linked(root, workspace):
    """The crates of ours that the program consists of."""
    found, open_ = set(), ["fanfare"]
    while open_:
        crate = open_.pop()
        if crate not in found:
            found.add(crate)
            manifest = tomllib.loads((root / crate / "Cargo.toml").read_text())
            names = set(manifest.get("dependencies", {})) | set(manifest.get("build-dependencies", {}))
            open_ += names & set(workspace["members"])
    return sorted(found)


def read_at_build_time(root, crate, source):
    """What sources include beside themselves, and what a build script names. Tests come last in a file."""
    if source.suffix != ".rs":
        return
    if source.name == "build.rs":
        named = re.findall(r'"([\w./-]+)"', source.read_text())
        places = [root / crate / name for name in named]
    elif "tests" in source.parts:
        return
    else:
        code = source.read_text().partition("#[cfg(test)]")[0]
        named = re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', code)
        places = [source.parent / name for name in named]
    for place in map(Path.resolve, places):
        files = [place] if place.is_file() else [it for it in place.rglob("*") if it.is_file()]
        yield from (file.relative_to(root.resolve()).as_posix() for file in files)
