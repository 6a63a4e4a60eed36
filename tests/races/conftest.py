"""One program of writers per database, shared by all races of this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings

from tests.mysql import database_server
from tests.races.writers import Writers
from tests.servers import MariaDB

ISOLATION = {"committed": "read committed", "repeatable": "repeatable read"}


def _address(server: MariaDB, database: str, isolation: str) -> str:
    return server.address(database, isolation_level=ISOLATION[isolation])


@pytest.fixture(scope="session")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writers]:
    file = tmp_path_factory.mktemp("races") / "races.sqlite3"
    with Writers(f"sqlite:///{file}") as writers:
        writers.call("migrate")
        yield writers


@pytest.fixture(scope="session")
def race_server() -> Iterator[MariaDB]:
    """Apart from the session's other server: what is killed there must not disturb a race."""
    with database_server() as server:
        server.sql("CREATE DATABASE races_committed; CREATE DATABASE races_repeatable;")
        yield server


@pytest.fixture(scope="session")
def on_committed(race_server: MariaDB) -> Iterator[Writers]:
    """MariaDB as the site uses it: READ COMMITTED."""
    with Writers(_address(race_server, "races_committed", "committed")) as writers:
        writers.call("migrate")
        yield writers


@pytest.fixture(scope="session")
def on_repeatable(race_server: MariaDB) -> Iterator[Writers]:
    """MariaDB with its own default, REPEATABLE READ: the guarantee must not hang on a setting."""
    with Writers(_address(race_server, "races_repeatable", "repeatable")) as writers:
        writers.call("migrate")
        yield writers


# In the second part of `make test` the races on SQLite have been run already.
EMBEDDED = ["on_sqlite"] if "sqlite" in settings.DATABASES["default"]["ENGINE"] else []


@pytest.fixture(
    params=[
        *EMBEDDED,
        pytest.param("on_committed", marks=pytest.mark.server),
        pytest.param("on_repeatable", marks=pytest.mark.server),
    ]
)
def writers(request: pytest.FixtureRequest) -> Writers:
    found: Writers = request.getfixturevalue(request.param)
    return found
