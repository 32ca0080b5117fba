"""Whether a PromQL expression is one, and names only what there is."""

import re

import promql_parser as promql

class Unknown(Exception):
    """A metric that there is not: nothing can be told of what is made of it."""


OF_COUNTERS = {"rate", "irate", "increase"}


def check(expression, vocabulary, say):
    """Tells `say` of every fault, and returns the labels that the result has; None if they can't be told."""
    try:
        return labels_of(promql.parse(expression), vocabulary, say)
    except ValueError as error:
        say(f"`{expression}` is no PromQL: {error}")
    except Unknown as metric:
        say(f"no process tells a metric `{metric}`")
    return None


def labels_of(tree, vocabulary, say):
    match tree:
        case promql.VectorSelector():
            return selected(tree, vocabulary, say)
        case promql.MatrixSelector():
            return labels_of(tree.vector_selector, vocabulary, say)
        case promql.AggregateExpr():
            return aggregated(tree, vocabulary, say)
        case promql.BinaryExpr():
            return combined(tree, vocabulary, say)
        case promql.Call():
            return called(tree, vocabulary, say)
        case promql.ParenExpr() | promql.SubqueryExpr() | promql.UnaryExpr():
            return labels_of(tree.expr, vocabulary, say)
        case _:
            return set()  # numbers and strings


def selected(tree, vocabulary, say):
    matchers = {m.name: m for m in tree.matchers.matchers}
    metric = tree.name or getattr(matchers.get("__name__"), "value", None)
    if metric not in vocabulary.labels:
        raise Unknown(metric)
    labels = vocabulary.labels[metric]
    for name, matcher in matchers.items():
        if name == "__name__":
            continue
        if name not in labels:
            say(f"`{metric}` has no label `{name}`")
        elif listed := vocabulary.values_of(metric, name):
            for value in named_values(matcher):
                if value not in listed:
                    say(f"`{metric}` has no `{name}` of `{value}`")
    return set(labels)


def named_values(matcher):
    """The values that a matcher spells out; of a pattern, its plain alternatives."""
    parts = matcher.value.split("|") if "Re" in str(matcher.op) else [matcher.value]
    return [part for part in parts if re.fullmatch(r"\w+", part)]


def aggregated(tree, vocabulary, say):
    labels = labels_of(tree.expr, vocabulary, say)
    if tree.param is not None:
        labels_of(tree.param, vocabulary, say)
    if str(tree.op) in ("topk", "bottomk") and tree.modifier is None:
        return labels
    if tree.modifier is None:
        return set()
    named = set(tree.modifier.labels)
    for label in sorted(named - labels):
        say(f"`{tree.op}` groups by `{label}`, which its series do not have")
    return labels & named if tree.modifier.type == promql.AggModifierType.By else labels - named


def combined(tree, vocabulary, say):
    left = labels_of(tree.lhs, vocabulary, say)
    right = labels_of(tree.rhs, vocabulary, say)
    if not is_vector(tree.lhs):
        return right
    if not is_vector(tree.rhs):
        return left
    matching = tree.modifier and tree.modifier.matching
    if matching is not None:
        for label in sorted(set(matching.labels) - (left & right)):
            say(f"`{tree.op}` matches by `{label}`, which one of its sides does not have")
    if str(tree.op) == "or":
        return left | right
    if str(tree.op) in ("and", "unless"):
        return left
    card = tree.modifier and tree.modifier.card
    group = set(tree.modifier and tree.modifier.group_labels or [])
    if card == promql.VectorMatchCardinality.ManyToOne:
        return left | wanted(group, right, tree.op, say)
    if card == promql.VectorMatchCardinality.OneToMany:
        return right | wanted(group, left, tree.op, say)
    if matching is None:
        if left != right:
            say(f"`{tree.op}` matches {sorted(left)} with {sorted(right)}, which are never equal")
        return left
    named = set(matching.labels)
    return left & named if matching.type == promql.LabelModifierType.Include else left - named


def wanted(group, side, operator, say):
    for label in sorted(group - side):
        say(f"`{operator}` takes over `{label}`, which its series do not have")
    return group


def called(tree, vocabulary, say):
    name = tree.func.name
    labels = set()
    for argument in tree.args:
        labels |= labels_of(argument, vocabulary, say)
    if name in OF_COUNTERS:
        metric = tree.args[0].vector_selector.name if isinstance(tree.args[0], promql.MatrixSelector) else None
        if vocabulary.kinds.get(metric, "counter") != "counter":
            say(f"`{name}` of `{metric}`, which is a {vocabulary.kinds[metric]}")
    if name == "histogram_quantile":
        if "le" not in labels:
            say("`histogram_quantile` without the label `le`")
        labels -= {"le"}
    if name == "label_replace":
        labels.add(tree.args[1].val)
    if name in ("absent", "absent_over_time", "vector", "time", "scalar"):
        return set()
    return labels


def is_vector(tree):
    match tree:
        case promql.NumberLiteral() | promql.StringLiteral():
            return False
        case promql.ParenExpr() | promql.UnaryExpr():
            return is_vector(tree.expr)
        case promql.BinaryExpr():
            return is_vector(tree.lhs) or is_vector(tree.rhs)
        case promql.Call():
            return tree.func.name not in ("scalar", "time", "pi")
        case _:
            return True
