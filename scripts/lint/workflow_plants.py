"""Breaks one thing at a time in copies of the workflows, and expects workflows.py to find it.

workflow_plants.py ROOT   prints what passed unseen, and ends with 1 if anything did
"""

import re
import sys
import tempfile
from pathlib import Path

import workflows

CHECK, POLICY, IMAGE, RELEASE = (
    f"{workflows.WORKFLOWS}/{name}.yml" for name in ("check", "policy", "image", "release")
)

# File, pattern, replacement of its first match, and what the fault has to say. Ours are told without the two programs.
OURS = [
    (CHECK, r"^permissions: \{\}$", "permissions: read-all", "the workflow has none"),
    (CHECK, r"^concurrency:\n(  .*\n)+", "", "two runs at once"),
    (CHECK, r"    timeout-minutes: .*\n", "", "it has no `timeout-minutes`"),
    (CHECK, r"@[0-9a-f]{40} # v6\.0\.2", "@v6.0.2", "is pinned to no commit"),
    (IMAGE, r"([0-9a-f]{40}) # v4\.0\.0", r"\1", "does not tell its version"),
    (IMAGE, r'"fanfare:\$GITHUB_SHA"', '"fanfare:${{ github.head_ref }}"', "never stands in a script"),
    (CHECK, r"run: \.ci/run", "run: cargo test", "is no script of ours"),
    (IMAGE, r"run: scripts/image/try", "run: curl https://example.org/try | bash -s", "is no script of ours"),
    (RELEASE, r"scripts/release/tag", "scripts/release/retag", "there is no scripts/release/retag"),
    (POLICY, r"scripts/policy/advisories", "scripts/monitoring/rules.py", "that can be executed"),
    (POLICY, r"scripts/policy/advisories", "scripts/release/notes", "does not tell how to run"),
]
OURS_WITH_SHELLCHECK = [
    (RELEASE, r'\$\(scripts/release/chart "\$IMAGE/charts"\)', "$(scripts/release/chart $CHARTS)", "SC2086"),
]
THEIRS = [
    (CHECK, r"runs-on: .*", "runs_on: ubuntu-24.04", "the schema vendor.github-workflows refuses it"),
    (workflows.DEPENDABOT, r"interval: weekly", "interval: sometimes", "the schema vendor.dependabot refuses it"),
    (CHECK, r"        with:\n          persist-credentials: false\n", "", "artipacked"),
    (CHECK, r"^  pull_request:$", "  pull_request_target:", "dangerous-triggers"),
    (POLICY, r"      contents: read\n", "      contents: write\n", "undocumented-permissions"),
    (
        RELEASE,
        r'run: scripts/release/version "\$GITHUB_REF_NAME"',
        'run: scripts/release/version "${{ github.event.head_commit.message }}"',
        "template-injection",
    ),
]


def main():
    root = Path(sys.argv[1])
    ours = OURS + (OURS_WITH_SHELLCHECK if workflows.shutil.which("shellcheck") else [])
    passed = [told for plant in ours for told in unseen(root, plant, by_ours)]
    passed += [told for plant in THEIRS for told in unseen(root, plant, by_theirs)]
    for told in passed:
        print(told)
    count = len(ours) + len(THEIRS)
    print(f"{count} broken copies of workflows, {count - len(passed)} found")
    sys.exit(1 if passed else 0)


def by_ours(root, file):
    return [*workflows.own_rules(root, root / file)]


def by_theirs(root, file):
    if file == workflows.DEPENDABOT:
        return [*workflows.refused(root, [])]
    return [*workflows.refused(root, [root / file]), *workflows.attackable(root)]


def unseen(root, plant, look):
    """Nothing if the fault is found."""
    file, pattern, replacement, expected = plant
    broken, count = re.subn(pattern, replacement, (root / file).read_text(), count=1, flags=re.MULTILINE)
    if not count:
        return [f"{file}: there is no `{pattern}` any more to be broken"]
    with tempfile.TemporaryDirectory() as copy:
        copy = Path(copy)
        (copy / file).parent.mkdir(parents=True)
        for linked in ("scripts", "docs", ".ci"):
            (copy / linked).symlink_to((root / linked).resolve())
        if file != workflows.DEPENDABOT:
            (copy / workflows.DEPENDABOT).write_text((root / workflows.DEPENDABOT).read_text())
        (copy / file).write_text(broken)
        if any(expected in fault for fault in look(copy, file)):
            return []
    return [f"{file}: `{pattern}` can be `{replacement}`"]


if __name__ == "__main__":
    main()
