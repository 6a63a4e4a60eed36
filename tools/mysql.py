"""`make test-mysql`: the server part of the suite on MySQL itself instead of MariaDB.

As root on Debian 12: unpacks the MySQL that Debian builds (sid has the LTS release that
docker-stack.yml names) into var/mysql, once, and runs `make test PARTS=server` with it. ARGS go to
pytest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.swarm_test.bases import mirror
from tests.mysql import ROOT_VARIABLE, MySQL
from tools.environments import ROOT, say

FOLDER = ROOT / "var" / "mysql"
PACKAGES = "mysql-server-core,tzdata"


def unpacked() -> Path:
    if (FOLDER / "usr/sbin/mysqld").exists():
        return FOLDER
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        sys.exit("As root, with debootstrap installed (apt-get install debootstrap), this works.")
    say(f"Unpacking MySQL into {FOLDER} …")
    shutil.rmtree(FOLDER, ignore_errors=True)
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "sid", FOLDER, mirror()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        shutil.rmtree(FOLDER, ignore_errors=True)
        sys.exit(f"It could not be unpacked:\n{done.stdout[-2000:]}")
    return FOLDER


def main() -> int:
    root = unpacked()
    version = subprocess.run(
        [*MySQL(root).program("sbin/mysqld"), "--version"], capture_output=True, text=True
    )
    say(version.stdout.strip())
    return subprocess.run(
        [sys.executable, "-m", "tools.suite", "--parts", "server", *sys.argv[1:]],
        cwd=ROOT,
        env={**os.environ, ROOT_VARIABLE: str(root)},
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
