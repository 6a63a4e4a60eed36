"""`make run`: from a fresh clone to a running site with sample data, and its worker.

One parent starts both processes and ends both, also when make itself is told to stop.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import FrameType

from tools import environments
from tools.environments import ROOT, say

START_SECONDS = 60
STOP_SECONDS = 10
SIGN_INS = """
Sign in with the password sample-data-only-1 as
  patient1@example.org    a patient with visits to doctor1
  doctor1@example.org     a doctor
  reception@example.org   the front desk
  admin@example.org       the administrator, at {url}/admin/

Mails appear below. Ctrl-C stops everything.
For new sample data, stop it and delete the folder var/.
"""


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A child that also ends when this parent is killed, where the system can do that."""
    if guard := shutil.which("setpriv"):
        command = [guard, "--pdeathsig", "TERM", *command]
    # A session of its own: Ctrl-C reaches this parent alone, which then ends each child once.
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )


def stop(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for child in children:
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/livez", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


class Stopped(Exception):
    """Somebody asked the whole to end."""


def _stop_asked(number: int, frame: FrameType | None) -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the ending
    raise Stopped


def serve(python: str, port: int, environment: dict[str, str]) -> int:
    url = f"http://127.0.0.1:{port}"
    children: list[subprocess.Popen[bytes]] = []
    site = [python, "-m", "clinic.websocket_server", "-b", "127.0.0.1", "-p", str(port)]
    worker = [python, "manage.py", "worker"]
    try:
        children.append(start(site, environment))
        children.append(start(worker, environment))
        deadline = time.monotonic() + START_SECONDS
        while not answers(url):
            if time.monotonic() > deadline or any(child.poll() is not None for child in children):
                say("The site did not start; the lines above say why.")
                return 1
            time.sleep(0.1)
        say(f"\nClinic is running: {url}\n{SIGN_INS.format(url=url)}")
        while all(child.poll() is None for child in children):
            time.sleep(0.5)
        ended = "site" if children[0].poll() is not None else "worker"
        say(f"The {ended} ended by itself; the lines above say why. Stopping.")
        return 1
    finally:
        stop(children)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    port: int = parser.parse_args().port
    if not port_is_free(port):
        say(
            f"Port {port} is taken by another program. Choose another one, such as "
            f"make run PORT={port + 1}"
        )
        return 1
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _stop_asked)
    if any(os.environ.get(name) for name in ("DATABASE_URL", "REDIS_URL")):
        say("make run keeps to its own database in var/; DATABASE_URL and REDIS_URL are ignored.")
    try:
        python = str(
            environments.ensure(
                ROOT / ".venv", ROOT / "requirements" / "base.txt", wheels_only=True
            )
        )
        url = os.environ.get("PUBLIC_URL") or f"http://127.0.0.1:{port}"
        environment = environments.embedded_environment(PUBLIC_URL=url)
        (ROOT / "var").mkdir(exist_ok=True)
        prepared = subprocess.run(
            [python, "-m", "tools.prepare"], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL
        )
        if prepared.returncode:
            return prepared.returncode
        return serve(python, port, environment)
    except Stopped:
        say("Stopped.")
        return 0


if __name__ == "__main__":
    sys.exit(main())
