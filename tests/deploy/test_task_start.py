"""A container of the app image that cannot start says in one sentence what to set; one whose
database is away starts and waits for it."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from tests.deploy.tasks import Task, container, entrypoint
from tests.servers import free_port

ROLES = ["web", "ws", "worker", "migrate"]


def refusal(role: str, folder: Path, *arguments: str, **settings: str) -> str:
    """The one sentence a task ends with, and nothing else of it."""
    done = entrypoint(role, *arguments, environment=container(folder, role, **settings))
    said = (done.stdout + done.stderr).strip()
    assert done.returncode == 1, said
    assert "Traceback" not in said
    assert said.count("Clinic cannot start: ") == 1, said
    assert said.startswith("Clinic cannot start: "), said
    assert "\n" not in said, said
    return said


@pytest.mark.parametrize("role", ROLES)
def test_a_missing_secret_is_named(role: str, tmp_path: Path) -> None:
    said = refusal(role, tmp_path, SECRET_KEY="")
    assert "SECRET_KEY is not set. Make one with" in said


def test_a_secrets_file_that_is_not_mounted_is_named(tmp_path: Path) -> None:
    environment = container(tmp_path, "web") | {"DATABASE_URL_FILE": "/run/secrets/database_url"}
    done = entrypoint("web", environment=environment)
    assert done.returncode == 1
    assert "DATABASE_URL_FILE names '/run/secrets/database_url'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PUBLIC_URL", "clinic.example.org", "Set it to the address people type"),
        ("SECRET_KEY", "short", "SECRET_KEY is the sample key or shorter than 32"),
        ("DATABASE_URL", "postgres://u:canary@h/n", "Set it to mysql://USER:PASSWORD@HOST"),
        ("REDIS_URL", "http://:canary@redis", "Write redis://HOST:6379/0"),
        ("EMAIL_URL", "gopher://u:canary@mail", "EMAIL_URL could not be read"),
        ("TRUSTED_PROXY_COUNT", "one", "TRUSTED_PROXY_COUNT is 'one'"),
        ("STAFF_MFA_REQUIRED", "maybe", "STAFF_MFA_REQUIRED is 'maybe'. Set it to 1 or 0."),
        ("LOG_LEVEL", "loud", "LOG_LEVEL is 'LOUD'. Set it to"),
        ("WEB_WORKERS", "many", "WEB_WORKERS is 'many'. Set it to a whole number from 1."),
        ("WEB_THREADS", "0", "WEB_THREADS is '0'."),
        ("DRAIN_SECONDS", "soon", "DRAIN_SECONDS is 'soon'. Set it from 0 to 300."),
        ("START_AFTER_SECONDS", "-1", "START_AFTER_SECONDS is '-1'. Set it from 0 to 300."),
    ],
)
def test_a_malformed_variable_is_named_and_no_password_repeated(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    refused = refusal("web", tmp_path, **{name: value})
    assert said in refused
    assert "canary" not in refused


@pytest.mark.parametrize("role", ["worker", "migrate", "manage"])
def test_jobs_say_the_same_sentence(role: str, tmp_path: Path) -> None:
    arguments = ["check"] if role == "manage" else []
    assert "PUBLIC_URL is 'x'" in refusal(role, tmp_path, *arguments, PUBLIC_URL="x")


def test_a_role_that_does_not_exist_is_told_the_ones_that_do(tmp_path: Path) -> None:
    done = entrypoint("wbe", environment=container(tmp_path, "web"))
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "There is no role 'wbe'. Choose one of: web, ws, worker, migrate, manage."
    )


def no_database() -> str:
    return f"mysql://clinic:canary@127.0.0.1:{free_port()}/clinic"


def test_a_database_that_does_not_answer_ends_the_migration_with_a_sentence(tmp_path: Path) -> None:
    environment = container(tmp_path, "migrate", DATABASE_URL=no_database())
    done = entrypoint("migrate", "--wait", "1", environment=environment)
    assert done.returncode == 1
    assert "The database did not answer within 1 s (error 2002)" in done.stderr or (
        "The database did not answer within 1 s (error 2003)" in done.stderr
    )
    assert "Nothing was changed." in done.stderr
    assert "Traceback" not in done.stderr and "canary" not in done.stdout + done.stderr


def asked(task: Task, path: str) -> tuple[int, str]:
    """The status of an answer, and its Retry-After."""
    line = http.client.HTTPConnection("127.0.0.1", task.port, timeout=30)
    line.request("GET", path, headers={"Host": "clinic.example.org"})
    answer = line.getresponse()
    answer.read()
    line.close()
    return answer.status, answer.getheader("Retry-After", "")


@pytest.mark.parametrize("role", ["web", "ws"])
def test_pages_start_without_their_database_and_say_so(role: str) -> None:
    """Restarting them would bring no database back: they live, and answer 503 until it is there."""
    with Task(role, DATABASE_URL=no_database(), TRUSTED_PROXY_COUNT="0", ALLOW_HTTP="1") as task:
        assert asked(task, "/livez")[0] == 200
        assert asked(task, "/readyz")[0] == 503
        if role == "web":
            status, retry_after = asked(task, "/doctors/")
            assert status == 503 and int(retry_after) > 0
        assert task.end() == 0
        log = task.log.read_text()
        assert "canary" not in log and "Traceback" not in log
