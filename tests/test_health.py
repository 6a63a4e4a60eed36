"""The two probes, and what happens while the database or Redis is away."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches
from django.db import InterfaceError, OperationalError, ProgrammingError, connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from clinic import urls
from clinic.outage import is_outage
from tests.servers import MariaDB, Redis
from tests.static_files import collect_once
from tests.test_settings import PRODUCTION, ROOT, environment


@pytest.mark.parametrize("address", ["/livez", "/readyz"])
@pytest.mark.django_db
def test_probes_come_by_any_host_over_http_and_get_no_session(address: str) -> None:
    with override_settings(ALLOWED_HOSTS=["clinic.example.com"], SECURE_SSL_REDIRECT=True):
        answer = Client().get(address, headers={"host": "10.0.0.7:8000"})
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer["Cache-Control"] == "no-store"
    assert not answer.cookies
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_livez_asks_nobody() -> None:
    """Without the mark, pytest-django refuses every query."""
    assert Client().get("/livez").json() == {"status": "ok"}


@pytest.mark.parametrize("address", ["/livez", "/readyz"])
def test_probes_are_only_read(address: str) -> None:
    assert Client(enforce_csrf_checks=True).post(address).status_code == 405


@pytest.mark.django_db
def test_readyz_names_nothing_but_states() -> None:
    assert Client().get("/readyz").json() == {"status": "ok", "database": "ok", "cache": "ok"}


# --- Errors that are outages and errors that are not ----------------------------------------
@pytest.mark.parametrize(
    "error",
    [
        OperationalError(2002, "Can't connect to local server through socket"),
        OperationalError(2003, "Can't connect to MySQL server"),
        OperationalError(2006, "Server has gone away"),
        OperationalError(2013, "Lost connection to server during query"),
        OperationalError(2026, "TLS/SSL error: unexpected eof while reading"),
        OperationalError(1040, "Too many connections"),
        OperationalError(1044, "Access denied to database"),
        OperationalError(1049, "Unknown database"),
        ProgrammingError(1146, "Table does not exist"),
        OperationalError(1053, "Server shutdown in progress"),
        OperationalError(1205, "Lock wait timeout exceeded"),
        OperationalError(1213, "Deadlock found"),
        OperationalError("database is locked"),
        InterfaceError(0, ""),
    ],
)
def test_a_database_that_is_away_or_busy_is_an_outage(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        OperationalError(1054, "Unknown column"),
        OperationalError("no such table: x"),
        OperationalError(1045, "Access denied"),
        OperationalError(2026, "TLS/SSL error: certificate verify failed"),
        ProgrammingError(1064, "Syntax error"),
        InterfaceError("bad parameter or other API misuse"),
        ValueError("locked"),
        OperationalError(),
        None,
    ],
)
def test_a_mistake_of_ours_is_not(error: Exception | None) -> None:
    assert not is_outage(error)


def lost(request: HttpRequest) -> HttpResponse:
    raise OperationalError(2013, "Lost connection to server at 10.0.0.5")


class LostInMiddleware:
    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        raise OperationalError(2006, "Server has gone away")


urlpatterns = [*urls.urlpatterns, path("lost/", lost)]
handler400, handler403 = urls.handler400, urls.handler403
handler404, handler500 = urls.handler404, urls.handler500


def is_the_outage_page(answer: Any) -> bool:
    text = answer.content.decode()
    return (
        answer.status_code == 503
        and answer["Retry-After"] == "5"
        and answer["Cache-Control"] == "no-store"
        and "Wait a few seconds" in text
        and "Traceback" not in text
        and "10.0.0.5" not in text
        and "OperationalError" not in text
    )


@override_settings(ROOT_URLCONF="tests.test_health")
def test_a_view_that_loses_the_database_answers_503_without_asking_it_again() -> None:
    assert is_the_outage_page(Client().get("/lost/"))


def test_a_middleware_that_loses_the_database_answers_503_too(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.LostInMiddleware"]
    assert is_the_outage_page(Client(raise_request_exception=False).get("/"))


# --- With the database killed ---------------------------------------------------------------
class Asking:
    """A process of the site on a database and Redis of its own, which stay for several answers."""

    CODE = """
import json, sys, time
import django; django.setup()
from django.test import Client
client = Client(raise_request_exception=False, headers={"host": "127.0.0.1"})
for line in sys.stdin:
    method, address, form = json.loads(line)
    begun = time.monotonic()
    answer = getattr(client, method)(address, form or {})
    print(json.dumps({"status": answer.status_code, "text": answer.content.decode(),
                      "headers": dict(answer.headers), "seconds": time.monotonic() - begun}),
          flush=True)
"""

    def __init__(self, **settings: str) -> None:
        self.environment = environment(
            {
                **PRODUCTION,
                "PUBLIC_URL": "http://127.0.0.1",
                "ALLOWED_HOSTS": "127.0.0.1",
                "ALLOW_HTTP": "1",
                "TRUSTED_PROXY_COUNT": "0",
                "DEBUG": "0",
                "LOG_LEVEL": "CRITICAL",
                **settings,
            }
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.CODE],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def prepare(self) -> None:
        """Makes the tables and the static files' hashed names, which pages need in production."""
        self._manage("migrate")
        collect_once(lambda: self._manage("collectstatic"))

    def _manage(self, command: str) -> None:
        subprocess.run(
            [sys.executable, "manage.py", command, "--no-input", "--verbosity", "0"],
            cwd=ROOT,
            env=self.environment,
            check=True,
            timeout=240,
        )

    def __call__(self, address: str, *, form: dict[str, str] | None = None) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        method = "get" if form is None else "post"
        self.process.stdin.write(json.dumps([method, address, form]) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def asking() -> Iterator[Any]:
    made: list[Asking] = []

    def make(**settings: str) -> Asking:
        made.append(Asking(**settings))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.mark.server
@pytest.mark.slow
def test_the_process_outlives_its_database(asking: Any, mariadb: MariaDB) -> None:
    ask = asking(DATABASE_URL=mariadb.url, REDIS_URL="")
    assert ask("/readyz")["status"] == 200
    mariadb.kill()
    try:
        assert ask("/livez")["status"] == 200
        ready = ask("/readyz")
        assert ready["status"] == 503
        assert json.loads(ready["text"]) == {"status": "down", "database": "down", "cache": "ok"}
        page = ask("/doctors/")
        assert page["status"] == 503
        assert page["headers"]["Retry-After"] == "5"
        assert "Traceback" not in page["text"]
        late = asking(DATABASE_URL=mariadb.url, REDIS_URL="")  # started without a database
        assert late("/livez")["status"] == 200
        assert late("/readyz")["status"] == 503
    finally:
        mariadb.start()
    for process in (ask, late):
        assert process("/readyz")["status"] == 200


@pytest.mark.server
@pytest.mark.slow
def test_sign_in_limits_hold_and_signing_in_goes_on_while_redis_is_away(
    asking: Any, mariadb: MariaDB
) -> None:
    with Redis() as redis:
        ask = asking(DATABASE_URL=mariadb.url, REDIS_URL=redis.url)
        ask.prepare()

        def fail(email: str) -> dict[str, Any]:
            answer: dict[str, Any] = ask(
                "/accounts/login/", form={"login": email, "password": "wrong password"}
            )
            return answer

        assert "Too many" not in fail("alice@example.org")["text"]
        redis.kill()
        ready = ask("/readyz")
        assert ready["status"] == 200
        assert json.loads(ready["text"])["status"] == "degraded"
        attempts = [fail("bob@example.org") for _ in range(7)]
        refused = ["Too many" in attempt["text"] for attempt in attempts]
        assert refused[:5] == [False] * 5  # the database counts, and does not refuse at once
        assert refused[5:] == [True] * 2
        assert all(attempt["seconds"] < 3 for attempt in attempts)
        redis.start()
        time.sleep(2.5)  # Redis is left alone for two seconds after a failure
        assert json.loads(ask("/readyz")["text"])["status"] == "ok"
        assert "Too many" not in fail("carol@example.org")["text"]


# --- The cache itself -----------------------------------------------------------------------
@pytest.fixture
def fallback(settings: Any) -> Iterator[tuple[Any, Redis]]:
    """The production cache on a Redis that the test may kill; counts in the test's database."""
    from clinic.cache import RedisWithFallback

    settings.CACHES = {
        **settings.CACHES,
        "counts": {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "clinic_cached_counts",
        },
    }
    with Redis() as redis:
        options = {"SOCKET_CONNECT_TIMEOUT": 0.5, "SOCKET_TIMEOUT": 0.5}
        yield RedisWithFallback([redis.url], {"KEY_PREFIX": "t", "OPTIONS": options}), redis
    assert "counts" in caches.settings


@pytest.mark.server
@pytest.mark.django_db
def test_without_redis_counts_go_to_the_database_and_all_else_is_not_cached(
    fallback: tuple[Any, Redis],
) -> None:
    cache, redis = fallback
    cache.set("times:1", [1, 2])
    cache.set("limit:holds:1", 3, 60)
    assert cache.get_many(["times:1", "nothing"]) == {"times:1": [1, 2]}
    assert cache.incr("limit:holds:1") == 4
    assert cache.answers() is True
    redis.kill()
    assert cache.answers() is False
    assert cache.get("times:1", "gone") == "gone"
    cache.set("times:1", [3])
    assert cache.set_many({"times:2": [4]}) == []
    assert cache.get_many(["times:1", "times:2"]) == {}
    assert cache.add("times:3", 1) is False
    with pytest.raises(ValueError, match="not found"):
        cache.incr("times:3")
    assert cache.add("limit:holds:1", 1, 60) is True
    assert cache.add("limit:holds:1", 1, 60) is False
    assert cache.incr("limit:holds:1") == 2
    assert cache.get("allauth:rl:login", []) == []
    cache.set("allauth:rl:login", [1.5], 60)
    assert cache.get("allauth:rl:login") == [1.5]
    assert cache.delete("limit:holds:1") is True
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM clinic_cached_counts")
        assert cursor.fetchone() == (1,)


@pytest.mark.server
@pytest.mark.django_db
def test_several_redis_addresses_share_the_keys_and_one_may_be_away(
    fallback: tuple[Any, Redis],
) -> None:
    from clinic.cache import RedisWithFallback

    _cache, first = fallback
    with Redis() as second:
        options = {"SOCKET_CONNECT_TIMEOUT": 0.5, "SOCKET_TIMEOUT": 0.5}
        cache = RedisWithFallback([first.url, second.url], {"OPTIONS": options})
        wanted = {f"times:{number}": number for number in range(50)}
        cache.set_many(wanted)
        assert cache.get_many(wanted) == wanted
        second.kill()
        left = cache.get_many(wanted)
        assert 0 < len(left) < len(wanted)
        assert cache.answers() is False
        for number in range(10):
            assert cache.add(f"limit:{number}", 1, 60) is True


@pytest.mark.server
@pytest.mark.django_db
def test_a_redis_that_is_away_is_not_asked_for_every_key(fallback: tuple[Any, Redis]) -> None:
    cache, redis = fallback
    cache.set("a", 1)
    redis.kill()
    cache.get("a")
    redis.start()
    assert cache.get("a") is None  # resting, though Redis is back (and empty or not)
    cache.set("b", 1)
    time.sleep(2.1)
    cache.set("c", 1)
    assert cache.get_many(["b", "c"]) == {"c": 1}
