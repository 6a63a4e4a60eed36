"""What every test gets: a clean cache, bounded hypothesis runs, and servers for those that ask."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.core.cache import cache
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.bucket import BucketServer
from tests.mysql import database_server
from tests.servers import MariaDB, Redis

pytest_plugins = ["tests.cast"]

hypothesis_settings.register_profile(
    "dev", max_examples=25, stateful_step_count=20, deadline=None, print_blob=True
)
# Bounded and repeatable: CI must not fail on one run and pass on the next.
hypothesis_settings.register_profile(
    "ci",
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.register_profile(
    "deep", max_examples=2_000, stateful_step_count=60, deadline=None, print_blob=True
)
hypothesis_settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
)


def pytest_configure(config: pytest.Config) -> None:
    # A terminated run unwinds, so that the servers it started are ended and their folders removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and settings.REDIS_URLS:
        # One Redis serves all workers; each gets a database of its own, which it may clear.
        urls = [
            urlunsplit(urlsplit(url)._replace(path=f"/{1 + int(worker.removeprefix('gw'))}"))
            for url in settings.REDIS_URLS
        ]
        settings.REDIS_URLS = urls
        settings.CACHES["default"]["LOCATION"] = urls


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A test database of this process's own, so that runs beside each other do not meet in one."""
    database = settings.DATABASES["default"]
    if "sqlite" in database["ENGINE"]:
        # Still a file, as the site has: SQLite in memory locks by other rules.
        database["TEST"]["NAME"] = tmp_path_factory.mktemp("database") / "test.sqlite3"
    else:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        database["TEST"]["NAME"] = f"test_{database['NAME']}_{worker}"


@pytest.fixture(autouse=True)
def _clean_cache() -> None:
    """Limits and cached free times are counted in the cache: no test inherits another's."""
    cache.clear()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A server of this session's own, which a test may kill; the suite's own data is elsewhere."""
    with database_server() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[BucketServer]:
    with BucketServer() as server:
        yield server
