"""What a TraceQL query may name: the spans and attributes that docs/TELEMETRY.md lists."""

import re

INTRINSIC = {"name", "kind", "status", "duration"}
KINDS = {"server", "client", "internal", "producer", "consumer"}


class Spans:
    def __init__(self, document):
        section = document.partition("\n## Spans\n")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| (`.+?) \| (\w+) \| .* \| (.*) \|$", section, re.M)
        self.names = {name for names, _, _ in rows for name in re.findall(r"`([^`]+)`", names)}
        self.attributes = {a for _, _, cell in rows for a in re.findall(r"`([a-z_.]+)`", cell)}

    def check(self, query, say):
        """Whether a query of filters, joined by structural operators, names what there is."""
        outside = re.sub(r"\{ .*? \}(?= |$)", "{}", query)
        if not re.fullmatch(r"\{\}( (>|>>|&&|\|\|) \{\})*", outside):
            say(f"`{query}` is no TraceQL that this check knows")
        for term in re.split(r" && | \|\| ", re.sub(r"\} > \{", "&&", query).strip("{} ")):
            self.check_term(term, query, say)

    def check_term(self, term, query, say):
        parts = re.fullmatch(r"([\w.]+) (=|!=|>=|<=|>|<|=~) (.+)", term)
        if not parts:
            say(f"`{term}` in `{query}` is no comparison")
            return
        field, _, value = parts.groups()
        if field.startswith("span."):
            if field.removeprefix("span.") not in self.attributes:
                say(f"no span has an attribute `{field}`")
        elif field not in INTRINSIC:
            say(f"`{field}` is no field of a span")
        elif field == "name" and value.strip('"') not in self.names and "${" not in value:
            say(f"there is no span `{value}`")
        elif field == "kind" and value not in KINDS:
            say(f"there is no kind `{value}`")
