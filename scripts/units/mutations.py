"""Breaks one thing at a time in copies of the units, and expects the check to find it.

    mutations.py ROOT   prints what passed unseen, and ends with 1 if anything did
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from units import SANDBOX, UNITS, faults

SCHEDULER = f"{UNITS}/fanfare-scheduler.service"
WORKER = f"{UNITS}/fanfare-worker@.service"
API = f"{UNITS}/fanfare-api.service"
EVERYTHING = f"{UNITS}/fanfare-all.service"
MIGRATE = f"{UNITS}/fanfare-migrate.service"
BACKUP = f"{UNITS}/fanfare-backup.service"
TIMER = f"{UNITS}/fanfare-backup.timer"
EXAMPLE = f"{UNITS}/fanfare.env.example"
SETTINGS = ".env.example"
PARTS = [UNITS, SETTINGS, "fanfare/src/cli.rs", "deploy/backup"]

# File, pattern, replacement of its first match (None removes the file), and what has to be said of it.
MUTATIONS = [
    (API, r"ExecStart=\S+", "ExecStart=/usr/local/bin/fanfared", "it starts `/usr/local/bin/fanfared`"),
    (API, r"fanfare api", "fanfare serve", "no command `serve`"),
    (API, r"KillMode=", "KilMode=", "Unknown key"),
    (API, r"\[Service\]", "[Servise]", "Unknown section"),
    (API, r"RestartSec=1s", "RestartSec=soon", "Failed to parse"),
    (API, r"TimeoutStopSec=30s", "TimeoutStopSec=10s", "to stop and may need 15s"),
    (API, r"KillMode=mixed\n", "", "KillMode is not mixed"),
    (API, r"LimitNOFILE=16384", "LimitNOFILE=4096", "too few for 10000 connections"),
    (API, r"/etc/fanfare/fanfare.env", "/opt/fanfare.env", "is not in /etc/fanfare"),
    (API, r"127.0.0.1:9465", "127.0.0.1:9464", "listens on 127.0.0.1:9464, too"),
    (API, r"Type=exec", "Type=notify", "Type is not exec"),
    (API, r"Restart=on-failure\n", "", "Restart is not on-failure"),
    (API, r"PartOf=fanfare.target\n", "", "does not start and stop with fanfare.target"),
    (API, r"\[Install\]", "IPAddressDeny=any\n\n[Install]", "cut off from those it serves"),
    (SCHEDULER, r"After=.*fanfare-migrate.service\n", "", "is not in its After"),
    (SCHEDULER, r"IPAddressDeny=any\n", "", "it may reach the internet"),
    (SCHEDULER, r"IPAddressAllow=localhost", "IPAddressAllow=0.0.0.0/0", "it may reach the internet"),
    (SCHEDULER, r"StartLimitIntervalSec=0\n", "", "StartLimitIntervalSec is not 0"),
    (SCHEDULER, r"RestartPreventExitStatus=2\n", "", "RestartPreventExitStatus is not 2"),
    (SCHEDULER, r"FANFARE_OBSERVE_LISTEN", "FANFARE_OBSERVE", "no setting FANFARE_OBSERVE"),
    (WORKER, r"127.0.0.1:947%i", "127.0.0.1:9471", "its instances share"),
    (WORKER, r"127.0.0.1:947%i", "127.0.0.1:9947%i", "is no address"),
    (WORKER, r"TimeoutStopSec=30s", "TimeoutStopSec=20s", "to stop and may need 30s"),
    (EVERYTHING, r"StateDirectory=fanfare\n", "", "it can't write to %S/fanfare"),
    (BACKUP, r"--keep 14", "--keeping 14", "takes no --keeping"),
    (BACKUP, r"backup/backup ", "backup/dump ", "there is no deploy/backup/dump"),
    (BACKUP, r"StateDirectory=\S+\n", "", "it can't write to %S/fanfare/backups"),
    (TIMER, r"OnCalendar=.*", "OnCalendar=every night", "Failed to parse calendar"),
    (MIGRATE, r"Type=oneshot", "Type=once", "Failed to parse service type"),
    (MIGRATE, None, None, "fanfare-migrate.service is missing"),
    (SANDBOX, None, None, "sandbox.conf is missing"),
    (SANDBOX, r"User=fanfare", "User=root", "its exposure is"),
    (SANDBOX, r"CapabilityBoundingSet=", "CapabilityBoundingSet=CAP_SYS_ADMIN", "its exposure is"),
    (SANDBOX, r"ProtectSystem=strict\n", "", "its exposure is"),
    (SANDBOX, r"NoNewPrivileges=yes\n", "", "its exposure is"),
    (SANDBOX, r"PrivateDevices=yes\n", "", "its exposure is"),
    (SANDBOX, r"SystemCallFilter=@system-service\n", "", "its exposure is"),
    (SANDBOX, r"FANFARE_SPOOL_DIR", "FANFARE_SPOOL", "no setting FANFARE_SPOOL"),
    (EXAMPLE, r"FANFARE_REDIS_URL=", "FANFARE_REDIS=", "no setting FANFARE_REDIS"),
    (EXAMPLE, r"FANFARE_REDIS_URL=", "FANFARE_REDIS_URL = ", "systemd reads"),
    (EXAMPLE, r'fanfare"\n', 'fanfare\n', "systemd reads"),
    (EXAMPLE, r"#FANFARE_CONTACT=", "FANFARE_OBSERVE_LISTEN=127.0.0.1:9464", "would listen on one address"),
    (SETTINGS, r"FANFARE_DRAIN=20s", "FANFARE_DRAIN=60s", "to stop and may need 70s"),
    (SETTINGS, r"FANFARE_API_CONNECTIONS=10000", "FANFARE_API_CONNECTIONS=20000", "too few for 20000 connections"),
]


def main():
    root = Path(sys.argv[1])
    passed = [told for mutation in MUTATIONS for told in unseen(root, *mutation)]
    for told in passed:
        print(told)
    print(f"{len(MUTATIONS)} broken copies, {len(MUTATIONS) - len(passed)} found")
    sys.exit(1 if passed else 0)


def unseen(root, file, pattern, replacement, expected):
    """Nothing if the fault is found."""
    with tempfile.TemporaryDirectory(prefix="fanfare-units.") as copy:
        copy = Path(copy)
        for part in PARTS:
            (copy / part).parent.mkdir(parents=True, exist_ok=True)
            copied = shutil.copytree if (root / part).is_dir() else shutil.copy
            copied(root / part, copy / part)
        path = copy / file
        if pattern is None:
            path.unlink()
        else:
            broken, times = re.subn(pattern, replacement, path.read_text(), count=1)
            if not times:
                return [f"{file}: there is no {pattern} to break"]
            path.write_text(broken)
        found = list(faults(copy))
    if any(expected in fault for fault in found):
        return []
    return [f"{file}: {pattern} became {replacement!r}, and what was found is {found}"]


if __name__ == "__main__":
    main()
