"""A migration that fails halfway: a sentence, what runs goes on, and the same command goes on."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from tests.chat.wire import database_url
from tests.deploy.tasks import Task, container, entrypoint

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

TABLES = ("next_release_done", "next_release_missing")


@pytest.fixture(autouse=True)
def _afterwards_as_before() -> Iterator[None]:
    yield
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
        cursor.execute("DELETE FROM django_migrations WHERE app = 'next_release'")


def tables() -> list[str]:
    return [name for name in connection.introspection.table_names() if name in TABLES]


def status_of(task: Task, path: str) -> int:
    line = http.client.HTTPConnection("127.0.0.1", task.port, timeout=30)
    line.request("GET", path, headers={"Host": "clinic.example.org"})
    answer = line.getresponse()
    answer.read()
    line.close()
    return answer.status


def test_a_migration_that_fails_halfway_stops_and_can_be_gone_on_with(tmp_path: Path) -> None:
    facts = {
        "DATABASE_URL": database_url(),
        "REDIS_URL": ",".join(settings.REDIS_URLS),
    }
    newer = container(tmp_path, "migrate", **facts) | {
        "DJANGO_SETTINGS_MODULE": "tests.deploy.next_release.settings"
    }
    with Task("web", TRUSTED_PROXY_COUNT="0", ALLOW_HTTP="1", **facts) as running:
        assert status_of(running, "/accounts/login/") == 200

        failed = entrypoint("migrate", environment=newer)
        assert failed.returncode == 1
        assert "Traceback" not in failed.stdout + failed.stderr
        assert "next_release.0002_fails failed (error 1146" in failed.stderr
        assert "Those before it are done and stay" in failed.stderr
        assert "run this again" in failed.stderr
        assert tables() == ["next_release_done"]
        # What was running goes on running: the release before works with what was done.
        assert status_of(running, "/accounts/login/") == 200

        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE next_release_missing (id INT)")
        again = entrypoint("migrate", environment=newer)
        assert again.returncode == 0, again.stderr
        assert "The database is ready for this release." in again.stdout
        assert status_of(running, "/accounts/login/") == 200

        # The stack deployed twice: nothing to do, and said so.
        once_more = entrypoint("migrate", environment=newer)
        assert once_more.returncode == 0
        assert "No migrations to apply." in once_more.stdout
