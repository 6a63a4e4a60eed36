"""Settings by environment: what is refused, in which words, and what production turns on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import RequestFactory, override_settings

from clinic.links import absolute
from clinic.net import client_address

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parent.parent

PRODUCTION = {
    "SECRET_KEY": "gJ4nR8xQ2vW7mT1bY5kZ9cL3hF6dS0pA-eUoXiNqVtGyBrMw2sDk7HfZ",
    "DATABASE_URL": "mysql://clinic:secret@127.0.0.1:3306/clinic",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "PUBLIC_URL": "https://clinic.example.com",
    "ALLOWED_HOSTS": "clinic.example.com",
    "EMAIL_URL": "smtp+tls://mailer:secret@mail.example.org:587",
    "DEFAULT_FROM_EMAIL": "Clinic <appointments@clinic.example.org>",
}


def environment(settings: dict[str, str]) -> dict[str, str]:
    """Nothing of the surrounding run but what a process needs to start."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "DJANGO_SETTINGS_MODULE": "clinic.settings", **settings}


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
    )


def read(*names: str, **settings: str) -> dict[str, Any]:
    """The values that clinic.settings gives ``names`` in an environment."""
    code = (
        "import json; from clinic import settings; "
        f"print(json.dumps({{name: getattr(settings, name) for name in {names!r}}}, default=str))"
    )
    done = run("-c", code, **settings)
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def refusal(**settings: str) -> str:
    """The one sentence that manage.py ends with; no traceback may hide it."""
    done = run("manage.py", "check", **settings)
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("Clinic cannot start: "), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SECRET_KEY": ""}, ["SECRET_KEY is not set", "secrets.token_urlsafe"]),
        ({"SECRET_KEY": "short"}, ["SECRET_KEY", "32 characters"]),
        (
            {"SECRET_KEY": "sample-key-for-the-embedded-default-only-never-in-production"},
            ["SECRET_KEY is the sample key"],
        ),
        (
            {"PUBLIC_URL": "", "ALLOWED_HOSTS": ""},
            ["PUBLIC_URL is not set", "https://clinic.example.org"],
        ),
        ({"PUBLIC_URL": "clinic.example.org"}, ["PUBLIC_URL is", "https://clinic.example.org"]),
        ({"PUBLIC_URL": "https://clinic.example.org/app"}, ["PUBLIC_URL is"]),
        ({"PUBLIC_URL": "https://host:port"}, ["PUBLIC_URL is"]),
        ({"DATABASE_URL": "postgres://u:p@h/n"}, ["DATABASE_URL", "mysql://USER:PASSWORD@HOST"]),
        ({"DATABASE_URL": "mysql://u:p@h"}, ["DATABASE_URL", "names no host or no database"]),
        ({"DATABASE_URL": "mysql:///name"}, ["DATABASE_URL", "names no host or no database"]),
        ({"MIGRATE_DATABASE_URL": "oracle://x"}, ["MIGRATE_DATABASE_URL starts with 'oracle'"]),
        ({"STORAGE_URL": "/srv/files"}, ["STORAGE_URL", "s3://KEY:SECRET@HOST/BUCKET"]),
        ({"STORAGE_URL": "s3://bucket/files"}, ["STORAGE_URL", "the key or its secret"]),
        ({"STORAGE_URL": "s3://k:s@store"}, ["STORAGE_URL", "the bucket"]),
        ({"STORAGE_URL": "s3://k:s@store/No_Bucket"}, ["STORAGE_URL", "the bucket"]),
        ({"STORAGE_URL": "s3://k:s@store/files/../x"}, ["STORAGE_URL", "the folder in it"]),
        ({"STORAGE_URL": "s3://k:s@store:port/files"}, ["STORAGE_URL", "no address"]),
        ({"STORAGE_URL": "s3://k:s@/files"}, ["STORAGE_URL", "name a host"]),
        ({"STORAGE_URL": "s3://k:s@store/files?acl=public"}, ["STORAGE_URL", "only region=NAME"]),
        ({"STORAGE_URL": "s3://k:s@store/files?region"}, ["STORAGE_URL", "no address"]),
        ({"REDIS_URL": "localhost:6379"}, ["REDIS_URL", "redis://HOST:6379/0"]),
        ({"EMAIL_URL": "pigeon://coop"}, ["EMAIL_URL", "smtp+tls://USER:PASSWORD@HOST:587"]),
        ({"CSRF_TRUSTED_ORIGINS": "clinic.example.com"}, ["CSRF_TRUSTED_ORIGINS", "full origins"]),
        ({"TRUSTED_PROXY_COUNT": "one"}, ["TRUSTED_PROXY_COUNT is 'one'", "whole number from 0"]),
        ({"TRUSTED_PROXY_COUNT": "-1"}, ["TRUSTED_PROXY_COUNT"]),
        ({"CHAT_FRAMES_PER_MINUTE": "0"}, ["CHAT_FRAMES_PER_MINUTE", "from 1"]),
        ({"STAFF_MFA_REQUIRED": "maybe"}, ["STAFF_MFA_REQUIRED is 'maybe'", "1 or 0"]),
        ({"ALLOW_HTTP": "si"}, ["ALLOW_HTTP is 'si'", "1 or 0"]),
        ({"DEBUG": "2"}, ["DEBUG is '2'", "1 or 0"]),
        ({"LOG_LEVEL": "loud"}, ["LOG_LEVEL is 'LOUD'", "DEBUG, INFO, WARNING"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_a_missing_or_malformed_setting_stops_the_start_with_a_sentence(
    changes: dict[str, str], words: list[str]
) -> None:
    said = refusal(**(PRODUCTION | changes))
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://clinic:hunter2hunter2@"),
        ("REDIS_URL", "http://:hunter2hunter2@cache:6379"),
        ("EMAIL_URL", "pigeon://me:hunter2hunter2@coop"),
        ("STORAGE_URL", "ftp://key:hunter2hunter2@files"),
        ("STORAGE_URL", "s3://key:hunter2hunter2@files"),
    ],
)
def test_a_refusal_does_not_repeat_the_password(name: str, value: str) -> None:
    said = refusal(**(PRODUCTION | {name: value}))
    assert name in said
    assert "hunter2" not in said


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{PRODUCTION['SECRET_KEY']}\n")
    url = tmp_path / "database"
    url.write_text("mysql://clinic:from-a-file@db:3306/clinic\n")
    settings = {
        name: value
        for name, value in PRODUCTION.items()
        if name not in {"SECRET_KEY", "DATABASE_URL"}
    }
    found = read(
        "SECRET_KEY",
        "DATABASES",
        "PRODUCTION",
        SECRET_KEY_FILE=str(file),
        DATABASE_URL_FILE=str(url),
        **settings,
    )
    assert found["SECRET_KEY"] == PRODUCTION["SECRET_KEY"]
    assert found["DATABASES"]["default"]["PASSWORD"] == "from-a-file"
    assert found["PRODUCTION"] is True


def test_a_file_that_is_not_there_is_named() -> None:
    said = refusal(**(PRODUCTION | {"SECRET_KEY": "", "SECRET_KEY_FILE": "/nowhere/key"}))
    assert "SECRET_KEY_FILE names '/nowhere/key'" in said


def test_without_any_setting_everything_is_embedded() -> None:
    found = read("PRODUCTION", "DEBUG", "DATABASES", "CACHES", "EMAIL_BACKEND", "ALLOWED_HOSTS")
    assert found["PRODUCTION"] is False
    assert found["DEBUG"] is False
    options = found["DATABASES"]["default"]["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in options["init_command"]
    assert list(found["CACHES"]) == ["default"]
    assert found["CACHES"]["default"]["BACKEND"].endswith("LocMemCache")
    assert found["EMAIL_BACKEND"] == "clinic.jobs.console.ReadableConsoleBackend"
    assert "*" not in found["ALLOWED_HOSTS"]


def test_public_address_and_allowed_hosts_follow_from_each_other() -> None:
    without_url = PRODUCTION | {"PUBLIC_URL": "", "ALLOWED_HOSTS": ".example.com,a.example.com"}
    assert read("PUBLIC_URL", **without_url)["PUBLIC_URL"] == "https://a.example.com"
    without_hosts = PRODUCTION | {"ALLOWED_HOSTS": ""}
    assert read("ALLOWED_HOSTS", **without_hosts)["ALLOWED_HOSTS"] == ["clinic.example.com"]


def test_production_mode_follows_from_the_database_alone() -> None:
    assert read("PRODUCTION", **PRODUCTION)["PRODUCTION"] is True
    assert read("PRODUCTION", **PRODUCTION, DEBUG="1")["PRODUCTION"] is False
    assert read("STAFF_MFA_REQUIRED", **PRODUCTION)["STAFF_MFA_REQUIRED"] is True
    assert read("STAFF_MFA_REQUIRED")["STAFF_MFA_REQUIRED"] is False


def test_s13_cookies_are_bound_to_the_host_in_production() -> None:
    names = [
        f"{cookie}_COOKIE_{what}"
        for cookie in ("SESSION", "CSRF", "LANGUAGE")
        for what in ("NAME", "SECURE", "HTTPONLY", "SAMESITE")
    ]
    found = read(*names, **PRODUCTION)
    for cookie in ("SESSION", "CSRF", "LANGUAGE"):
        assert found[f"{cookie}_COOKIE_NAME"].startswith("__Host-")
        assert found[f"{cookie}_COOKIE_SECURE"] is True
        assert found[f"{cookie}_COOKIE_HTTPONLY"] is True
        assert found[f"{cookie}_COOKIE_SAMESITE"] == "Lax"


def test_allow_http_drops_only_redirect_hsts_secure_and_host_prefix() -> None:
    names = [
        *("SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "SESSION_COOKIE_SECURE"),
        *("SESSION_COOKIE_NAME", "SESSION_COOKIE_HTTPONLY", "STAFF_MFA_REQUIRED", "PRODUCTION"),
        *("CONTENT_SECURITY_POLICY", "X_FRAME_OPTIONS", "SESSION_COOKIE_SAMESITE"),
    ]
    secure = read(*names, **PRODUCTION)
    plain = read(*names, **PRODUCTION, ALLOW_HTTP="1")
    changed = {name for name in names if secure[name] != plain[name]}
    assert changed == {
        *("SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS"),
        *("SESSION_COOKIE_SECURE", "SESSION_COOKIE_NAME"),
    }


def test_mysql_is_strict_and_read_committed() -> None:
    database = read("DATABASES", **PRODUCTION)["DATABASES"]["default"]
    assert database["OPTIONS"]["isolation_level"] == "read committed"
    assert "STRICT_TRANS_TABLES" in database["OPTIONS"]["init_command"]
    assert database["CONN_HEALTH_CHECKS"] is True
    assert not database.get("ATOMIC_REQUESTS")


def test_only_migrate_uses_the_migration_user() -> None:
    settings = PRODUCTION | {"MIGRATE_DATABASE_URL": "mysql://owner:secret@db:3306/clinic"}
    code = "import sys; from clinic import settings; print(settings.DATABASES['default']['USER'])"
    users = {
        command: run("-c", f"import sys; sys.argv = ['manage.py', {command!r}]\n{code}", **settings)
        for command in ("migrate", "worker", "check")
    }
    assert {command: done.stdout.strip() for command, done in users.items()} == {
        "migrate": "owner",
        "worker": "clinic",
        "check": "clinic",
    }


def test_several_redis_addresses_are_shards() -> None:
    found = read("CACHES", **(PRODUCTION | {"REDIS_URL": "redis://a:6379/0, redis://b:6379/0"}))
    assert found["CACHES"]["default"]["LOCATION"] == ["redis://a:6379/0", "redis://b:6379/0"]


def deploy_check(**settings: str) -> subprocess.CompletedProcess[str]:
    return run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **settings)


def test_s40_the_deployment_check_is_silent_on_proper_production_settings() -> None:
    pytest.importorskip("MySQLdb")
    done = deploy_check(**PRODUCTION)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"ALLOWED_HOSTS": "other.example.com"}, "clinic.E001"),
        ({"PUBLIC_URL": "http://clinic.example.com"}, "clinic.E002"),
        ({"ALLOWED_HOSTS": "*"}, "clinic.E003"),
        ({"ALLOW_HTTP": "1"}, "clinic.W004"),
        ({"TRUSTED_PROXY_COUNT": "0"}, "clinic.W005"),
        ({"REDIS_URL": ""}, "clinic.W006"),
        ({"DATABASE_URL": "sqlite:////tmp/never-opened.sqlite3"}, "clinic.W007"),
        ({"EMAIL_URL": ""}, "clinic.W008"),
        ({"DEFAULT_FROM_EMAIL": ""}, "clinic.W009"),
        ({"PUBLIC_URL": ""}, "clinic.W012"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_s40_the_deployment_check_names_what_is_wrong_and_how_to_put_it_right(
    changes: dict[str, str], number: str
) -> None:
    pytest.importorskip("MySQLdb")
    done = deploy_check(**(PRODUCTION | changes))
    assert done.returncode == 1
    assert f"({number})" in done.stderr
    assert "HINT:" in done.stderr.partition(f"({number})")[2]


def test_s40_a_regular_job_that_cannot_run_is_an_error() -> None:
    from clinic.checks import regular_jobs

    with override_settings(
        REGULAR_JOBS=[("same", "clinic.jobs.upkeep.nowhere", 10), ("same", "json.dumps", 10)]
    ):
        assert [found.id for found in regular_jobs()] == ["clinic.E010", "clinic.E011"]
    assert list(regular_jobs()) == []


@override_settings(PUBLIC_URL="https://clinic.example.com")
def test_links_in_mails_start_with_the_public_address() -> None:
    assert absolute("/appointments/") == "https://clinic.example.com/appointments/"
    for wrong in ("appointments/", "//evil.example/", "https://evil.example/"):
        with pytest.raises(ValueError, match="one slash"):
            absolute(wrong)


# --- The client's address (SECURITY 3) ------------------------------------------------------
PEER = "10.0.0.9"
CLIENT = "203.0.113.7"


def over_http(**headers: str) -> str | None:
    request = RequestFactory().get("/", REMOTE_ADDR=PEER)
    request.META.update(headers)
    return client_address(request)


def over_asgi(*headers: tuple[str, str]) -> str | None:
    return client_address(
        {
            "type": "websocket",
            "client": (PEER, 4711),
            "headers": [(name.encode(), value.encode()) for name, value in headers],
        }
    )


@override_settings(TRUSTED_PROXY_COUNT=0)
def test_s03_without_a_proxy_no_header_is_believed() -> None:
    assert over_http(HTTP_X_FORWARDED_FOR=CLIENT) == PEER
    assert over_asgi(("x-forwarded-for", CLIENT)) == PEER


@override_settings(TRUSTED_PROXY_COUNT=1)
@pytest.mark.parametrize(
    "forged",
    ["", "1.1.1.1", "1.1.1.1, 2.2.2.2", "unknown", "::1", "', DROP TABLE", "1.1.1.1,,", " , "],
)
def test_s03_only_what_our_own_proxy_added_counts(forged: str) -> None:
    sent = f"{forged}, {CLIENT}" if forged else CLIENT
    assert over_http(HTTP_X_FORWARDED_FOR=sent) == CLIENT
    assert over_asgi(("x-forwarded-for", sent)) == CLIENT


@override_settings(TRUSTED_PROXY_COUNT=1)
def test_s03_other_headers_and_spellings_change_nothing() -> None:
    assert (
        over_http(
            HTTP_X_FORWARDED_FOR=CLIENT,
            HTTP_X_REAL_IP="1.1.1.1",
            HTTP_FORWARDED="for=1.1.1.1",
            HTTP_X_CLIENT_IP="1.1.1.1",
        )
        == CLIENT
    )
    forged = [
        ("x_forwarded_for", "1.1.1.1"),
        ("x-forwarded_for", "1.1.1.1"),
        ("x-real-ip", "1.1.1.1"),
        ("forwarded", "for=1.1.1.1"),
    ]
    assert over_asgi(("x-forwarded-for", CLIENT), *forged) == CLIENT
    assert over_asgi(*forged) == PEER


@override_settings(TRUSTED_PROXY_COUNT=1)
def test_s03_repeated_headers_are_read_as_one_list() -> None:
    assert over_asgi(("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", CLIENT)) == CLIENT


@override_settings(TRUSTED_PROXY_COUNT=2)
def test_s03_two_proxies_are_counted_from_the_right() -> None:
    assert over_http(HTTP_X_FORWARDED_FOR=f"1.1.1.1, {CLIENT}, 10.0.0.1") == CLIENT
    # Shorter than it can be if it came through both: somebody reached the inner one directly.
    assert over_http(HTTP_X_FORWARDED_FOR=CLIENT) == PEER


@override_settings(TRUSTED_PROXY_COUNT=1)
@pytest.mark.parametrize(
    ("sent", "address"),
    [
        ("203.0.113.7:51234", CLIENT),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:203.0.113.7", CLIENT),
        ("not an address", PEER),
        ("203.0.113.7\r\nX: y", PEER),
    ],
)
def test_s03_one_address_has_one_spelling(sent: str, address: str) -> None:
    assert over_http(HTTP_X_FORWARDED_FOR=sent) == address


@override_settings(TRUSTED_PROXY_COUNT=1)
def test_s03_a_socket_of_the_machine_has_no_address() -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="")
    assert client_address(request) is None
    assert client_address({"type": "http", "client": None, "headers": []}) is None
