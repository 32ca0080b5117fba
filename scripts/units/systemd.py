"""What systemd itself says of the units: whether it takes them, and how far each is shut off."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

# Of 10, where 10 is open. What is left is that they use the network and the host's own files.
EXPOSURE = 1.1

# Other packages' units that ours name.
STANDINS = ["sysinit", "basic", "shutdown", "network-online", "multi-user", "timers"]


def faults(root, names):
    with tempfile.TemporaryDirectory(prefix="fanfare-units.") as folder:
        folder = Path(folder)
        install(root, folder)
        loaded = [name.replace("@.", "@1.") for name in names]
        yield from verify(folder, loaded)
        yield from exposures(folder, [name for name in loaded if name.endswith(".service")])


def install(root, folder):
    """The files where an operator puts them, below another root, with something to start."""
    system = folder / "etc/systemd/system"
    shutil.copytree(root / "deploy/systemd", system)
    for name in STANDINS:
        (system / f"{name}.target").write_text("[Unit]\nDescription=A stand-in\n")
    for program in ("bin/fanfare", "lib/fanfare/backup/backup"):
        path = folder / "usr/local" / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)


def verify(folder, names):
    """It prints what it does not understand, too, and ends well nevertheless."""
    done = analyze("verify", "--man=no", f"--root={folder}", *(str(folder / "etc/systemd/system" / name) for name in names))
    said = [line.replace(str(folder), "") for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode and not said:
        said = ["it is refused"]
    return [f"systemd: {line}" for line in said]


def exposures(folder, names):
    done = analyze("security", "--offline=true", "--no-pager", f"--root={folder}", *names)
    found = dict(re.findall(r"exposure level for (\S+): ([\d.]+)", done.stdout))
    for name in names:
        if name not in found:
            yield f"{name}: systemd can't judge it: {done.stderr.strip()}"
        elif float(found[name]) > EXPOSURE:
            yield f"{name}: its exposure is {found[name]}, above {EXPOSURE}"


def analyze(*arguments):
    environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, env=environment, timeout=30)
