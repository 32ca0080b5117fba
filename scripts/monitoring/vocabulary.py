"""What may be named: metrics and labels of real scrapes, and what docs/TELEMETRY.md says of them."""

import re

# Prometheus puts these on every series: what it scraped, as which job, of which Fanfare.
TARGET = {"job", "instance", "namespace"}

# Prometheus' own.
OF_PROMETHEUS = {
    "up": TARGET,
    "ALERTS": TARGET | {"alertname", "alertstate", "severity"},
}

# No healthy process shows these labels: they have to stand in the document instead.
ONLY_IN_TROUBLE = {"error_type"}

UNITS = {"s": "seconds", "By": "bytes", "1": "ratio"}


class Vocabulary:
    def __init__(self, scrapes, document):
        self.documented, self.values = read_document(document)
        self.kinds, self.labels = {}, {}
        for text in scrapes:
            self.read_scrape(text)
        for metric, labels in OF_PROMETHEUS.items():
            self.add(metric, "gauge", labels)

    def add(self, metric, kind, labels):
        self.kinds[metric] = kind
        self.labels.setdefault(metric, set(TARGET)).update(labels)

    def read_scrape(self, text):
        families = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
        for metric, pairs in re.findall(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+", text, re.M):
            family = re.sub(r"_(bucket|sum|count)$", "", metric)
            kind = "counter" if families.get(family) == "histogram" else families.get(metric)
            labels = set(re.findall(r'(\w+)="(?:[^"\\]|\\.)*"', pairs))
            trouble = self.documented.get(family, self.documented.get(metric, set())) & ONLY_IN_TROUBLE
            self.add(metric, kind, labels | trouble)

    def values_of(self, metric, label):
        """What the document lists as all values of a label; None where it leaves them open."""
        family = re.sub(r"_(bucket|sum|count)$", "", metric)
        return self.values.get((metric, label)) or self.values.get((family, label))


def read_document(text):
    """The metric tables: labels by metric, and values by metric and label, in Prometheus' spelling."""
    documented, values = {}, {}
    row = re.compile(r"^\| `([\w.]+)` \| (counter|gauge|histogram) \| (?:`([^`]*)`)? ?\| (.*?) ?\| .* \|$", re.M)
    for name, kind, unit, attributes in row.findall(text):
        metric = prometheus_name(name, kind, unit)
        documented[metric] = set()
        for part in attributes.split(";"):
            # A list of values follows the colon behind its label; several labels share none.
            heads, _, tail = part.partition(":")
            labels = [label.replace(".", "_") for label in re.findall(r"`([a-z_.]+)`", heads)]
            documented[metric].update(labels)
            listed = set(re.findall(r"`([\w.]+)`", tail))
            if len(labels) == 1 and listed:
                values[metric, labels[0]] = listed
    return documented, values


def prometheus_name(name, kind, unit):
    metric = name.replace(".", "_")
    if unit in UNITS:
        metric += "_" + UNITS[unit]
    return metric + "_total" if kind == "counter" else metric
