"""Backups of a real server: what cannot be brought, what was dropped by hand, and drills.

On MariaDB; with MYSQL_ROOT (`make test-mysql`) what differs there on MySQL too, whose own
mysqlbinlog is used. MySQL's dump program is not unpacked with its server, so its dump is written by
hand.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.keep import cli, work
from deploy.keep.errors import BackupError
from deploy.keep.server import Login, Server
from deploy.keep.store import FULL, LOG, Store
from tests.deploy.keeping import (
    Keys,
    LoggedMariaDB,
    LoggedMySQL,
    encrypted,
    environment,
    make_keys,
    mysql_root,
)
from tests.servers import MariaDB, free_port
from tools.environments import ROOT

pytestmark = [pytest.mark.server, pytest.mark.slow]


class Site:
    """A server with one table, its backups, and the commands of `deploy/backup` in this process."""

    def __init__(self, server: MariaDB, folder: Path, keys: Keys) -> None:
        self.server, self.store, self.keys = server, Store(folder), keys
        self.is_mysql = isinstance(server, LoggedMySQL)

    def connect(self) -> Server:
        return Server(Login.read("BACKUP"))

    def note(self, *texts: str) -> None:
        for text in texts:
            self.server.sql(f"USE clinic; INSERT INTO notes (text) VALUES ('{text}');")  # noqa: S608

    def notes(self, database: str = "clinic") -> list[str]:
        return self.server.sql(f"SELECT text FROM {database}.notes ORDER BY id").split()  # noqa: S608

    def databases(self) -> set[str]:
        return set(self.server.sql("SHOW DATABASES").split())

    def dump(self) -> None:
        if not self.is_mysql:
            work.full(
                self.connect(),
                self.store,
                database="clinic",
                recipients=self.keys.recipients,
            )
            return
        log, position = self.server.sql("SHOW BINARY LOG STATUS").split("\t")[:2]
        values = ", ".join(f"('{text}')" for text in self.notes())
        rows = f"INSERT INTO notes (text) VALUES {values};" if values else ""  # noqa: S608
        identity = self.connect().identity
        encrypted(
            self.store,
            self.keys,
            f"{TABLE}{rows}",
            kind=FULL,
            server=identity,
            name=f"full-{time.time_ns()}-{identity}.sql.zst.age",
            until=time.time(),
            log=log,
            position=int(position),
        )

    def ship(self) -> list[str]:
        brought = work.ship_logs(self.connect(), self.store, recipients=self.keys.recipients)
        return [piece.log for piece in brought]

    def command(self, act: Callable[[cli.Settings, Namespace], int], **asked: object) -> None:
        given = {"at": None, "server": None, "with_drop": False, "check_only": False} | asked
        assert act(cli.Settings(), Namespace(key=self.keys.key, **given)) == 0

    def logged(self) -> str:
        """Every statement in the server's logs that names the drill's database."""
        self.server.sql("FLUSH BINARY LOGS")
        files = sorted((self.server.folder / "data").glob("binlog.0*"))
        tool = "mysqlbinlog" if self.is_mysql else "mariadb-binlog"
        done = subprocess.run([tool, *map(str, files)], capture_output=True, text=True, check=True)
        return "\n".join(line for line in done.stdout.splitlines() if "clinic_drill" in line)


TABLE = "CREATE TABLE notes (id INT PRIMARY KEY AUTO_INCREMENT, text VARCHAR(40)) ENGINE=InnoDB;"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


KINDS = ["mariadb", *(["mysql"] if mysql_root() else [])]


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MariaDB]:
    root = mysql_root()
    if request.param == "mariadb" or root is None:
        with LoggedMariaDB() as running:
            yield running
        return
    mysql = LoggedMySQL(root)
    programs = tmp_path_factory.mktemp("bin")
    (programs / "mysqlbinlog").write_text(
        '#!/bin/sh\nexec {} "$@"\n'.format(" ".join(mysql.program("bin/mysqlbinlog")))
    )
    (programs / "mysqlbinlog").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch, mysql as running:
        patch.setenv("PATH", str(programs), prepend=os.pathsep)
        yield running


def as_in_the_stack(server: MariaDB) -> None:
    """The users of backups and restores with the rights that deploy/mysql/users.sh gives them."""
    script = (ROOT / "deploy" / "mysql" / "users.sh").read_text()
    grants = re.findall(r'echo "(GRANT [^"]* TO \'clinic_(?:migrate|backup)\'[^"]*;)"', script)
    assert len(grants) == 4
    users = "".join(
        f"CREATE USER IF NOT EXISTS '{name}'@'%' IDENTIFIED BY '{server.password}' REQUIRE SSL;"
        for name in ("clinic_backup", "clinic_migrate")
    )
    given = "".join(grants).replace("\\`", "`")
    server.sql(f"SET sql_log_bin = 0; {users} {given}")


@pytest.fixture
def site(server: MariaDB, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    reset = "RESET BINARY LOGS AND GTIDS" if isinstance(server, LoggedMySQL) else "RESET MASTER"
    server.sql(
        "DROP DATABASE IF EXISTS clinic; DROP DATABASE IF EXISTS clinic_drill;"
        f"CREATE DATABASE clinic; USE clinic; {TABLE} {reset};"
    )
    for name, value in environment(server, tmp_path, keys).items():
        if name != "PATH":
            monkeypatch.setenv(name, value)
    if isinstance(server, LoggedMySQL):
        as_in_the_stack(server)
        monkeypatch.setenv("BACKUP_USER", "clinic_backup")
        monkeypatch.setenv("RESTORE_USER", "clinic_migrate")
    return Site(server, tmp_path, keys)


# --- Bringing logs -----------------------------------------------------------------------------
def test_a_log_is_kept_as_the_server_has_it_and_never_lies_in_clear(site: Site) -> None:
    site.note("one", "x" * 40)
    (log,) = site.ship()
    (piece,) = site.store.pieces()
    opened = ["age", "-d", "-i", str(site.keys.key), str(site.store.path(piece))]
    packed = subprocess.run(opened, capture_output=True, check=True).stdout
    clear = subprocess.run(["zstd", "-dqc"], input=packed, capture_output=True, check=True).stdout
    assert clear == (site.server.folder / "data" / log).read_bytes()
    assert b"x" * 40 in clear
    assert site.ship() == []


def lose_a_log(site: Site) -> str:
    """A log that the server names and cannot hand out."""
    site.note("first")
    site.server.sql("FLUSH BINARY LOGS")
    names = site.server.sql("SHOW BINARY LOGS").splitlines()
    lost = names[0].split("\t")[0]
    (site.server.folder / "data" / lost).unlink()
    site.note("second")
    return lost


def test_one_log_that_cannot_be_brought_stops_neither_the_others_nor_a_dump(site: Site) -> None:
    lost = lose_a_log(site)
    with pytest.raises(BackupError, match=f"{lost} could not be brought"):
        site.ship()
    assert [piece.log for piece in site.store.pieces()] == ["binlog.000002"]
    work.round_of_logs(
        connect=site.connect,
        store=site.store,
        recipients=site.keys.recipients,
        log=lambda event, **more: None,
    )
    assert site.store.state()["last_error"].startswith(lost)
    if site.is_mysql:
        site.dump()
    else:
        assert round_of_dumps(site)[:2] == (True, ["full_backup"])
    # From the dump on nobody needs the lost one, so it is an error no longer.
    site.note("third")
    assert site.ship()
    assert work.verify(site.store).faults == []


def test_a_database_without_tables_is_not_dumped(site: Site) -> None:
    assert site.connect().size("clinic")[0] == 1
    site.server.sql("DROP DATABASE clinic; CREATE DATABASE clinic;")
    with pytest.raises(BackupError, match="clinic has no tables, so no dump is taken"):
        work.full(site.connect(), site.store, database="clinic", recipients=site.keys.recipients)
    assert site.store.pieces() == []
    # The service waits on a new installation; where there are dumps, the database was lost.
    assert round_of_dumps(site) == (False, ["waiting_for_tables"], "")
    site.server.sql(f"USE clinic; {TABLE}")
    site.dump()
    site.server.sql("DROP DATABASE clinic; CREATE DATABASE clinic;")
    is_done, said, error = round_of_dumps(site, full_every=0.001)
    assert (is_done, said) == (True, ["backup_failed"]) and "restore it" in error


def round_of_dumps(site: Site, full_every: float = 86_400) -> tuple[bool, list[str], str]:
    """What a round of the service does, logs, and notes as its error."""
    said: list[str] = []
    is_done = work.round_of_dumps(
        connect=site.connect,
        store=site.store,
        database="clinic",
        recipients=site.keys.recipients,
        full_every=full_every,
        keep_days=30,
        log=lambda event, **more: said.append(event),
    )
    return is_done, said, site.store.state()["last_error"]


def test_a_server_that_is_just_starting_is_waited_for_and_a_wrong_password_is_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.monotonic()
    monkeypatch.setenv("RESTORE_PASSWORD", "wrong")
    with pytest.raises(BackupError, match="Access denied"):
        Server(Login.read("RESTORE")).wait(60)
    assert time.monotonic() - begun < 30
    monkeypatch.setenv("BACKUP_PORT", str(free_port()))
    begun = time.monotonic()
    with pytest.raises(BackupError, match="did not answer"):
        Server(Login.read("RESTORE")).wait(2)
    assert time.monotonic() - begun >= 2


def test_logs_are_brought_while_a_dump_is_under_way(site: Site) -> None:
    if site.is_mysql:
        pytest.skip("its dump program is not there")
    site.note("one")
    with (
        site.store.lock("dump"),  # as long as this is held, the dump does not go on
        subprocess.Popen(
            [sys.executable, str(ROOT / "deploy" / "backup"), "run"],
            env={**os.environ, "BACKUP_EVERY": "1", "BACKUP_METRICS_PORT": "0"},
            stdout=subprocess.DEVNULL,
        ) as service,
    ):
        try:
            deadline = time.monotonic() + 60
            while not [piece for piece in site.store.pieces() if piece.kind == LOG]:
                assert time.monotonic() < deadline and service.poll() is None
                time.sleep(0.1)
            assert not [piece for piece in site.store.pieces() if piece.kind == FULL]
        finally:
            service.kill()


# --- Drills ------------------------------------------------------------------------------------
def test_a_drill_replays_the_logs_and_the_next_one_does_not_replay_the_drill(site: Site) -> None:
    site.note("dumped")
    site.dump()
    site.note("logged-1")
    site.ship()
    for expected in (["dumped", "logged-1"], ["dumped", "logged-1", "logged-2"]):
        site.command(cli.drill)
        assert site.notes("clinic_drill") == expected
        site.command(cli.drill_end, passed=True)
        site.note("logged-2")
        site.ship()
    assert site.logged() == ""
    assert site.store.state()["last_drill"] > 0


def test_a_drill_that_fails_leaves_no_copy_of_the_records(site: Site) -> None:
    site.note("dumped")
    site.dump()
    # Replayed, this is refused: the table is there already.
    site.server.sql(f"USE clinic; SET sql_log_bin=0; DROP TABLE notes; SET sql_log_bin=1; {TABLE}")
    site.ship()
    with pytest.raises(BackupError):
        site.command(cli.drill)
    assert "clinic_drill" not in site.databases()


def test_a_drill_leaves_the_rights_of_the_running_site_alone(site: Site) -> None:
    site.server.sql("CREATE USER IF NOT EXISTS helper@localhost")
    site.dump()
    site.server.sql("USE clinic; GRANT DELETE ON clinic.notes TO helper@localhost;")
    site.note("logged")
    site.ship()
    site.server.sql("SET sql_log_bin=0; REVOKE DELETE ON clinic.notes FROM helper@localhost;")
    site.command(cli.drill)
    assert site.notes("clinic_drill") == ["logged"]
    assert "DELETE" not in site.server.sql("SHOW GRANTS FOR helper@localhost")


# --- A database dropped by hand ------------------------------------------------------------------
def drop_by_hand(site: Site) -> None:
    site.note("dumped")
    site.dump()
    site.note("logged")
    time.sleep(1.1)
    site.server.sql("DROP DATABASE clinic; CREATE DATABASE clinic;")
    site.ship()


def test_a_drop_by_hand_is_not_replayed_without_a_word(site: Site) -> None:
    drop_by_hand(site)
    with pytest.raises(BackupError, match="holds a DROP DATABASE clinic of") as refused:
        site.command(cli.restore)
    at = str(refused.value).partition("--at '")[2].partition("'")[0]
    assert site.server.sql("SHOW TABLES FROM clinic") == ""
    site.command(cli.restore, at=at)
    assert site.notes() == ["dumped", "logged"]
    # What was replayed is in no dump yet, so the service takes one at once.
    identity = site.connect().identity
    assert work.dump_is_due(site.store, identity, full_every=86_400)


def test_a_drill_never_replays_a_drop_of_the_sites_own_database(site: Site) -> None:
    drop_by_hand(site)
    site.server.sql(f"USE clinic; {TABLE}")
    site.note("after")
    with pytest.raises(BackupError, match="holds a DROP DATABASE clinic of"):
        site.command(cli.drill)
    assert site.notes() == ["after"]


def test_a_drop_is_replayed_when_that_is_asked_for(site: Site) -> None:
    drop_by_hand(site)
    with pytest.raises(BackupError):
        site.command(cli.restore)
    site.command(cli.restore, with_drop=True)
    assert site.server.sql("SHOW TABLES FROM clinic") == ""
