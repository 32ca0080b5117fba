"""What stands in a Dockerfile: its stages, each with its instructions."""

import json
import re
from dataclasses import dataclass, field


@dataclass
class Stage:
    base: str
    name: str
    instructions: list = field(default_factory=list)  # (keyword, arguments)

    def all(self, keyword):
        return [arguments for found, arguments in self.instructions if found == keyword]

    def last(self, keyword):
        return (self.all(keyword) or [None])[-1]


def read(text):
    """The arguments before the first stage, and the stages."""
    arguments, stages = {}, []
    for keyword, rest in instructions(text):
        if keyword == "FROM":
            base, name = re.fullmatch(r"(\S+)(?:\s+AS\s+(\S+))?", rest, re.IGNORECASE).groups()
            stages.append(Stage(base, name or ""))
        elif stages:
            stages[-1].instructions.append((keyword, rest))
        else:
            name, _, value = rest.partition("=")
            arguments[name] = value
    for stage in stages:
        stage.base = re.sub(r"\$\{(\w+)\}", lambda found: arguments.get(found[1], found[0]), stage.base)
    return arguments, stages


def instructions(text):
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    for line in joined.splitlines():
        if line.strip():
            keyword, _, rest = line.strip().partition(" ")
            yield keyword.upper(), rest.strip()


def pairs(arguments):
    """What ENV and LABEL set."""
    found = {}
    for text in arguments:
        for name, quoted, bare in re.findall(r'([\w.-]+)=(?:"([^"]*)"|(\S*))', text):
            found[name] = quoted or bare
    return found


def exec_form(text):
    """The words of a command that is started without a shell, or nothing."""
    try:
        words = json.loads(text or "")
    except ValueError:
        return None
    return words if isinstance(words, list) else None
