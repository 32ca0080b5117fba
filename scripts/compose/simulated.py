"""That the simulator's providers are those that it tells of."""

import re
import subprocess
import urllib.request


def faults(file, fanfare):
    """Nothing if `file` lists what a running simulator tells, or if there is no program `fanfare`."""
    listed = without_comments(file.read_text())
    if not listed.strip():
        return [f"{file.name} is empty"]
    if not fanfare.exists():
        return []
    told = without_comments(ask(fanfare))
    return [] if listed == told else [f"{file.name} is not what `fanfare simulate` tells at /providers.toml?interval=30s"]


def ask(fanfare):
    with subprocess.Popen(
        [fanfare, "simulate", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as simulator:
        try:
            # Its first line, or its end, whichever comes first; the check as a whole has a time limit.
            address = re.search(r"http://\S+", simulator.stdout.readline())[0]
            request = urllib.request.Request(f"{address}/providers.toml?interval=30s", headers={"Host": "simulator:8090"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read().decode()
        finally:
            simulator.terminate()


def without_comments(text):
    return re.sub(r"^#.*\n|^\n", "", text, flags=re.MULTILINE)
