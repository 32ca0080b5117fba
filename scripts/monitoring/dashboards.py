"""Dashboards: that Grafana can read them, and that all they name is there."""

import json
import re
from urllib.parse import unquote

import promql

COLUMNS = 24
SCHEMA = 39  # Grafana 11; later ones bring it up to date by themselves
SOURCES = ("prometheus", "traces")
TYPES = {"row", "timeseries", "stat", "bargauge", "heatmap"}


def check(texts, spans, vocabulary, say):
    """Checks the dashboards, `{file: text}`; `spans` is what is known of spans."""
    boards = {}
    for file, text in texts.items():
        board = json.loads(text)
        if board["uid"] in boards:
            say(f"{file}: there are two dashboards `{board['uid']}`")
        boards[board["uid"]] = (file, board)
    for file, board in boards.values():
        check_board(board, set(boards), spans, vocabulary, lambda what, file=file: say(f"{file}: {what}"))


def check_board(board, uids, spans, vocabulary, say):
    if board.get("schemaVersion") != SCHEMA or board.get("id") is not None:
        say(f"its schemaVersion is not {SCHEMA}, or it has an id")
    variables = {v["name"]: v for v in board["templating"]["list"]}
    for source in SOURCES:
        if variables.get(source, {}).get("type") != "datasource":
            say(f"it has no variable `{source}` to choose a data source by")
    for node in walk(board):
        uid = node["datasource"].get("uid") if isinstance(node.get("datasource"), dict) else None
        if uid is not None and uid not in ("${prometheus}", "${traces}"):
            say(f"`{uid}` is a data source of one Grafana")
    check_variables(variables, vocabulary, say)
    for annotation in board["annotations"]["list"]:
        labels = ask(annotation["expr"], variables, vocabulary, say)
        check_legend(annotation["titleFormat"] + annotation["textFormat"], labels, say)
    for link in board["links"]:
        check_url(link["url"], set(), variables, uids, spans, say)
    check_layout(board["panels"], say)
    for panel in board["panels"]:
        about = lambda what, panel=panel: say(f"panel `{panel['title']}`: {what}")
        check_panel(panel, variables, uids, spans, vocabulary, about)


def walk(node):
    if isinstance(node, dict):
        yield node
    if isinstance(node, (dict, list)):
        for inner in node.values() if isinstance(node, dict) else node:
            yield from walk(inner)


def check_variables(variables, vocabulary, say):
    for name, variable in variables.items():
        if variable["type"] != "query":
            continue
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        if not asked:
            say(f"variable `{name}` asks for no label's values")
            continue
        labels = ask(asked[1], variables, vocabulary, lambda what: say(f"variable `{name}`: {what}"))
        if labels is not None and asked[2] not in labels:
            say(f"variable `{name}`: its metric has no label `{asked[2]}`")


def check_layout(panels, say):
    """Every panel has an id of its own and a place within the grid that no other one has."""
    ids, taken = set(), {}
    for panel in panels:
        if panel["id"] in ids:
            say(f"panel `{panel['title']}`: another panel has its id {panel['id']}")
        ids.add(panel["id"])
        place = panel["gridPos"]
        if place["x"] < 0 or place["w"] < 1 or place["h"] < 1 or place["x"] + place["w"] > COLUMNS:
            say(f"panel `{panel['title']}`: it does not lie within {COLUMNS} columns")
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        for other in sorted({taken[cell] for cell in cells if cell in taken}):
            say(f"panel `{panel['title']}`: it overlaps `{other}`")
        taken.update(dict.fromkeys(cells, panel["title"]))


def check_panel(panel, variables, uids, spans, vocabulary, say):
    if panel["type"] not in TYPES:
        say(f"its type is `{panel['type']}`")
    if panel["type"] == "row":
        return
    defaults = panel["fieldConfig"]["defaults"]
    for part, there in (
        ("description", panel.get("description")),
        ("unit", defaults.get("unit")),
        ("queries", panel.get("targets")),
    ):
        if not there:
            say(f"it has no {part}")
    letters = [target["refId"] for target in panel["targets"]]
    if len(set(letters)) != len(letters):
        say("two of its queries have one letter")
    results = []
    for target in panel["targets"]:
        labels = ask(target["expr"], variables, vocabulary, say)
        check_legend(target["legendFormat"], labels, say)
        results.append(labels)
    common = None if None in results else set.intersection(*results)
    for link in panel.get("links", []) + defaults.get("links", []):
        check_url(link["url"], common, variables, uids, spans, say)


def ask(expression, variables, vocabulary, say):
    if re.search(r"(rate|increase)\([^()]*\[\d", expression) and "$__rate_interval" in expression:
        say("it mixes `$__rate_interval` with a fixed range")
    return promql.check(replaced(expression, variables, say), vocabulary, say)


def replaced(expression, variables, say):
    """What Grafana would make of its variables."""
    expression = expression.replace("$__rate_interval", "5m").replace("$__range", "1h")
    for name in re.findall(r"\$\{?(\w+)", expression):
        if name not in variables:
            say(f"there is no variable `${name}`")
    return re.sub(r"\$\{?\w+\}?", ".*", expression)


def check_legend(legend, labels, say):
    for label in re.findall(r"\{\{(\w+)\}\}", legend):
        if labels is not None and label not in labels:
            say(f"its legend names the label `{label}`, which its result does not have")


def check_url(url, labels, variables, uids, spans, say):
    for name in re.findall(r"\$\{([^}]+)\}", url):
        root, _, rest = name.partition(".")
        root = root.partition(":")[0]
        if root == "__field":
            label = rest.removeprefix("labels.")
            if labels is not None and label not in labels:
                say(f"a link names the label `{label}`, which not all of its series have")
        elif root not in variables and name not in ("__from", "__to", "__url_time_range", "__value.raw"):
            say(f"a link names `${{{name}}}`, which there is not")
    if board := re.match(r"/d/([\w-]+)", url):
        if board[1] not in uids:
            say(f"a link leads to a dashboard `{board[1]}`, which there is not")
    elif url.startswith("/explore?"):
        check_explore(url, spans, say)
    else:
        say(f"a link leads to `{url}`")


def check_explore(url, spans, say):
    panes = json.loads(unquote(re.search(r"panes=([^&]+)", url)[1]))
    for pane in panes.values():
        if pane["datasource"] != "${traces}" or pane["range"] != {"from": "${__from}", "to": "${__to}"}:
            say("a link into traces has another data source or range than the panel's")
        for query in pane["queries"]:
            spans.check(query["query"], say)
