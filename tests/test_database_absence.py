"""While the database is away one thread asks for it, and the others are told at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from clinic.mysql.absence import Absence
from tests.servers import MariaDB
from tools.suite import production_environment


def test_everybody_may_ask_until_somebody_found_it_away() -> None:
    absence = Absence()
    assert [absence.may_ask() for _ in range(3)] == [True, True, True]


def test_then_one_at_a_time_asks() -> None:
    absence = Absence()
    absence.was_away()
    assert [absence.may_ask() for _ in range(3)] == [True, False, False]
    absence.was_away()
    assert [absence.may_ask() for _ in range(3)] == [True, False, False]


def test_an_answer_lets_everybody_in_again() -> None:
    absence = Absence()
    absence.was_away()
    assert absence.may_ask()
    absence.answered()
    assert [absence.may_ask() for _ in range(3)] == [True, True, True]


ASK = """
import json, sys, threading, time
import django
django.setup()
from django.db import OperationalError, connection, connections
connections.settings["default"]["OPTIONS"]["connect_timeout"] = 1
connections.settings["default"]["ENGINE"] = (
    sys.argv[1:] or [connections.settings["default"]["ENGINE"]]
)[0]
lock = threading.Lock()

def ask(found):
    begun = time.monotonic()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        said = "answered"
    except OperationalError as error:
        said = str(error.args[0])
    connection.close()
    with lock:
        found.append((time.monotonic() - begun, said))

def ask_together(number=8):
    found = []
    threads = [threading.Thread(target=ask, args=(found,)) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found)

for _ in range(4):
    sys.stdin.readline()
    print(json.dumps(ask_together()), flush=True)
"""
Round = list[tuple[float, str]]  # of eight threads: seconds, and the error's number


def rounds(mariadb: MariaDB, *options: str) -> tuple[Round, Round, Round, Round]:
    """With the server there, when it has just gone, while it is away, and when it is back."""
    with subprocess.Popen(
        [sys.executable, "-c", ASK, *options],
        env=production_environment(DATABASE_URL=mariadb.url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as asking:

        def once() -> Round:
            assert asking.stdin is not None and asking.stdout is not None
            asking.stdin.write("go\n")
            asking.stdin.flush()
            return [(seconds, said) for seconds, said in json.loads(asking.stdout.readline())]

        there = once()
        os.kill(mariadb.pid, signal.SIGSTOP)
        try:
            gone, away = once(), once()
        finally:
            os.kill(mariadb.pid, signal.SIGCONT)
        return there, gone, away, once()


def waited(found: Round) -> int:
    return sum(seconds > 0.5 for seconds, _ in found)


@pytest.mark.server
def test_requests_do_not_queue_for_a_database_that_does_not_answer(mariadb: MariaDB) -> None:
    there, gone, away, back = rounds(mariadb)
    assert {said for _, said in there} == {"answered"}
    assert waited(gone) == 8, gone  # nobody knows yet
    assert waited(away) == 1, away
    assert {said for _, said in away} <= {"2003", "2013"}
    assert "answered" in {said for _, said in back}


@pytest.mark.server
def test_with_django_s_own_backend_each_of_them_waits(mariadb: MariaDB) -> None:
    _, gone, away, _ = rounds(mariadb, "django.db.backends.mysql")
    assert (waited(gone), waited(away)) == (8, 8), away
