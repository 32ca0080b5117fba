"""Recording rules and alerts: their expressions, the queries in their texts, and their runbooks."""

import re

import yaml

import promql

SEVERITIES = {"critical", "warning"}


def check(text, root, vocabulary, say):
    """Checks all rules, and adds what they record to the vocabulary."""
    groups = yaml.safe_load(text)["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    names = set()
    for rule in rules:
        name = rule.get("record") or rule["alert"]
        about = lambda what, name=name: say(f"{name}: {what}")
        labels = promql.check(rule["expr"], vocabulary, about)
        if "record" in rule:
            vocabulary.add(name, "gauge", labels or set())
            continue
        if name in names:
            about("there are two alerts of this name")
        names.add(name)
        check_alert(rule, labels, root, vocabulary, about)
    return names


def check_alert(rule, labels, root, vocabulary, say):
    if rule["labels"].get("severity") not in SEVERITIES:
        say(f"its severity is none of {sorted(SEVERITIES)}")
    texts = rule["annotations"]
    for needed in ("summary", "description", "runbook_url"):
        if not texts.get(needed):
            say(f"it has no {needed}")
    for text in texts.values():
        for label in re.findall(r"\$labels\.(\w+)", text):
            if labels is not None and label not in labels:
                say(f"its text names the label `{label}`, which its result does not have")
        check_queries(text, vocabulary, say)
    check_runbook(texts.get("runbook_url", ""), rule["alert"], root, say)


def check_queries(text, vocabulary, say):
    """Each `range` asks a query; within it, labels are those of the query's result."""
    block = re.compile(r'\{\{ range (?:query|printf) "([^"]*)".*?\}\}(.*?)\{\{ end \}\}')
    blocks = block.findall(text)
    if len(blocks) != len(re.findall(r"\{\{ range ", text)):
        say("a query in its text can't be found")
    for query, body in blocks:
        labels = promql.check(query.replace("%q", '""'), vocabulary, say)
        if labels is None:
            continue
        for label in re.findall(r"\.Labels\.(\w+)", body):
            if label not in labels:
                say(f"a query in its text is asked for the label `{label}`, which it does not have")


def check_runbook(url, alert, root, say):
    file, _, anchor = url.partition("#")
    path = root / file
    if not path.is_file():
        say(f"its runbook `{file}` is not there")
    elif anchor not in anchors(path.read_text()):
        say(f"`{file}` has no section `#{anchor}`")
    elif anchor != alert.lower():
        say(f"its runbook is the section of another alert, `#{anchor}`")


def anchors(markdown):
    """What headings are linked by: lower case, spaces as hyphens, no punctuation."""
    fences = re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", fences, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
