"""A database that is frozen keeps nobody waiting for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.servers import MariaDB
from tools.suite import production_environment

ASK = """
import django, sys
django.setup()
from django.db import OperationalError, connection
with connection.cursor() as cursor:
    cursor.execute("SELECT 1")
print("ready", flush=True)
sys.stdin.readline()
try:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 2")
except OperationalError as error:
    print(error.args[0], flush=True)
"""


@pytest.mark.server
def test_a_query_to_a_frozen_server_is_given_up(mariadb: MariaDB) -> None:
    env = production_environment(DATABASE_URL=mariadb.url, DATABASE_TIMEOUT="2")
    asking = subprocess.Popen(
        [sys.executable, "-c", ASK],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert asking.stdin is not None and asking.stdout is not None
    assert asking.stdout.readline() == "ready\n"
    os.kill(mariadb.pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        said, _ = asking.communicate("go\n", timeout=60)
        assert said in {"2013\n", "2026\n"}  # the second where the connection has TLS
        assert 1 < time.monotonic() - begun < 30
    finally:
        os.kill(mariadb.pid, signal.SIGCONT)
        asking.kill()
