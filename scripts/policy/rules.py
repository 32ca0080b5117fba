"""Tells which source files break the layout's rules within crates, which no list of dependencies can express.

rules.py ROOT   prints the faults, and ends with 1 if there are any
"""

import re
import sys
from pathlib import Path

# What is forbidden, where (a pattern of paths), but for where, and why.
RULES = [
    (r"\bquick_xml\b", r".", r"(worker/src/format|bench)/", "only worker/src/format reads XML"),
    # A status is a value that a trace tells, too.
    (
        r"\breqwest\b(?!::StatusCode\b)",
        r"[^/]+/src/",
        r"worker/src/fetch(/|\.rs$)|bench/",
        "only worker/src/fetch asks providers",
    ),
    (r"\bapalis(_\w+)?\b", r".", r"(queue|worker|bench)/", "only queue and worker name apalis"),
    (
        r"\bsea_orm\b(?!::(DatabaseConnection|RuntimeErr|sqlx)\b)|\bsea_query\w*\b",
        r"[^/]+/src/",
        r"(entity|migration|testkit|bench)/",
        "only entity and migration build SQL; a connection may be handed on, and a failure's cause be read",
    ),
    (
        r"\bsqlx::(?!Error\b)\w",
        r"[^/]+/src/",
        r"(entity|migration|testkit|bench)/",
        "only entity and migration build SQL; a failure's cause may be read",
    ),
    (
        r'"\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s)',
        # Nobody else could ask with it; what tells an operator to ask is advice.
        r"api/src/",
        r"$^",
        "only entity and migration build SQL",
    ),
    (
        r"\banyhow\b",
        r"[^/]+/src/",
        r"(fanfare|testkit|bench)/|(api|scheduler|worker)/src/lib\.rs$",
        "libraries have errors with types; roles may use it in their outermost function",
    ),
    (r"\b(set|remove)_var\s*\(", r".", r"$^", "no process changes its own environment; hand the value on"),
]


def main():
    found = faults(sources(Path(sys.argv[1])))
    for told in found:
        print(told)
    sys.exit(1 if found else 0)


def sources(root):
    """The Rust files of the workspace's crates: path below the root, text."""
    return {
        str(file.relative_to(root)): file.read_text()
        for crate in sorted(root.glob("*/Cargo.toml"))
        for folder in ("src", "tests", "benches", "examples", "fuzz/properties", "fuzz/fuzz_targets")
        for file in sorted((crate.parent / folder).rglob("*.rs"))
    }


def faults(files):
    return [told for path, text in files.items() for told in faults_of(path, text)]


def faults_of(path, text):
    text = "\n".join(map(without_comment, text.splitlines()))
    # In a text a crate's name is the target of a log line; SQL is nothing but text.
    names = re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)
    for pattern, where, but, why in RULES:
        if re.match(where, path) and not re.match(but, path):
            for found in re.finditer(pattern, text if pattern.startswith('"') else names):
                line = found.string.count("\n", 0, found.start()) + 1
                yield f"{path}:{line}: `{' '.join(found[0].split())}`: {why}"


def without_comment(line):
    """An address in a text has a colon before its slashes."""
    return re.sub(r"(?<!:)//.*", "", line)


if __name__ == "__main__":
    main()
