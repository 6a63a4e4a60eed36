"""An empty database beside backups is not migrated: it stands where one was lost."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from clinic import lost
from tools.environments import ROOT

TAKEN = 1_790_000_000.0


@pytest.fixture
def status() -> Iterator[tuple[str, dict[str, Any]]]:
    """The backup service's page, and what it says."""
    said: dict[str, Any] = {"last_full": TAKEN}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/state", said
        server.shutdown()
        thread.join()


def test_an_empty_database_beside_backups_is_left_as_it_is(
    status: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "new.sqlite3"
    done = subprocess.run(
        [sys.executable, "manage.py", "prepare_database"],
        cwd=ROOT,
        env={
            **os.environ,
            "DEBUG": "1",
            "DATABASE_URL": f"sqlite:///{file}",
            "REDIS_URL": "",
            "BACKUP_STATUS_URL": status[0],
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "there is a backup of 2026-09-21 14:13 UTC: it was lost" in done.stderr
    assert "--new-database" in done.stderr and "Traceback" not in done.stderr
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_without_backups_an_empty_database_is_a_new_one(
    status: tuple[str, dict[str, Any]], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection.introspection, "table_names", list)
    settings.BACKUP_STATUS_URL = status[0]
    assert "it was lost" in lost.why_not_to_migrate()
    status[1]["last_full"] = 0
    assert lost.why_not_to_migrate() == ""
    for address in ("", "http://127.0.0.1:9/state"):
        settings.BACKUP_STATUS_URL = address
        assert lost.why_not_to_migrate() == ""


@pytest.mark.django_db
def test_a_database_with_tables_is_migrated_whatever_backups_say(
    status: tuple[str, dict[str, Any]], settings: Any
) -> None:
    settings.BACKUP_STATUS_URL = status[0]
    assert lost.why_not_to_migrate() == ""
