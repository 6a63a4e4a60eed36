"""Backups and the way back with a real server, real age and zstd; and all that may be wrong there.

The stack itself runs MySQL; here it is MariaDB, whose tools ``deploy/keep`` speaks too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.keep.store import digest
from tests.servers import MariaDB, find, free_port
from tools.environments import ROOT

pytestmark = [pytest.mark.server, pytest.mark.slow]


class WithLogs(MariaDB):
    """A server that writes binary logs, as the stack's does."""

    def command(self) -> list[str]:
        plain = [part for part in super().command() if part != "--skip-log-bin"]
        return [*plain, "--log-bin=binlog", "--server-id=7", "--binlog-format=ROW"]

    def notes(self) -> list[str]:
        return self.sql("SELECT text FROM clinic.notes ORDER BY id").split()

    def tables(self) -> str:
        asked = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema='clinic'"
        return self.sql(asked).strip()


class Backups:
    """A folder of kept files, the keys, and ``deploy/backup`` for one server."""

    def __init__(self, folder: Path, keys: Path, server: WithLogs) -> None:
        self.folder, self.keys, self.server = folder, keys, server
        self.between = ""  # a moment after `logged-1` and before `logged-2`

    @property
    def environment(self) -> dict[str, str]:
        login = {"USER": self.server.user, "PASSWORD": self.server.password}
        return {
            "PATH": os.environ["PATH"],
            "BACKUP_TARGET": str(self.folder),
            "BACKUP_HOST": "127.0.0.1",
            "BACKUP_PORT": str(self.server.port),
            "BACKUP_RECIPIENTS_FILE": str(self.keys / "recipients"),
            **{f"{who}_{name}": login[name] for who in ("BACKUP", "RESTORE") for name in login},
        }

    @property
    def key(self) -> Path:
        return self.keys / "right.key"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "deploy" / "backup"), *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def must(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refusal(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 1, done.stdout
        assert done.stderr.startswith("Backup: ") and done.stderr.count("\n") == 1, done.stderr
        assert self.server.password not in done.stderr
        return done.stderr

    def files(self, kind: str) -> list[Path]:
        return sorted(self.folder.glob(f"{kind}-*.age"))


def make_key(folder: Path, name: str) -> str:
    """A pair of age; returns the public half."""
    made = folder / f"{name}.key"
    subprocess.run(["age-keygen", "-o", str(made)], check=True, capture_output=True)
    (public,) = [line for line in made.read_text().splitlines() if "public key" in line]
    return public.rpartition(" ")[2]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    find("age")
    find("zstd")
    folder = tmp_path_factory.mktemp("keys")
    (folder / "recipients").write_text(make_key(folder, "right") + "\n")
    make_key(folder, "wrong")
    return folder


@pytest.fixture(scope="module")
def original(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backups]:
    """Two notes in the dump, two in the log after it, one in the next log."""
    with WithLogs() as server:
        server.sql(
            "USE clinic; CREATE TABLE notes (id INT PRIMARY KEY AUTO_INCREMENT, text VARCHAR(40));"
            "INSERT INTO notes (text) VALUES ('dumped-1'), ('dumped-2');"
        )
        backups = Backups(tmp_path_factory.mktemp("backups"), keys, server)
        said = backups.must("full")
        assert " bytes, as of " in said
        server.sql("USE clinic; INSERT INTO notes (text) VALUES ('logged-1');")
        time.sleep(1.1)
        backups.between = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        time.sleep(1.1)
        server.sql("USE clinic; INSERT INTO notes (text) VALUES ('logged-2');")
        ship(backups)
        server.sql("USE clinic; INSERT INTO notes (text) VALUES ('logged-3');")
        ship(backups)
        yield backups


def ship(backups: Backups) -> None:
    """What `run` does every two minutes."""
    code = (
        "from deploy.keep import cli, work; from deploy.keep.server import Login, Server; "
        "s = cli.Settings(); "
        "work.ship_logs(Server(Login.read('BACKUP')), s.store, recipients=s.recipients)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=backups.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def other_node() -> Iterator[WithLogs]:
    with WithLogs() as server:
        yield server


@pytest.fixture
def copy(original: Backups, other_node: WithLogs, tmp_path: Path) -> Backups:
    """The same files elsewhere, for a test to break, and an empty database on another node."""
    folder = tmp_path / "copy"
    shutil.copytree(original.folder, folder)
    other_node.sql("DROP DATABASE clinic; CREATE DATABASE clinic;")
    copied = Backups(folder, original.keys, other_node)
    copied.between = original.between
    return copied


ALL = ["dumped-1", "dumped-2", "logged-1", "logged-2", "logged-3"]


def test_what_is_kept_cannot_be_read_by_who_keeps_it(original: Backups) -> None:
    for file in [*original.files("full"), *original.files("log")]:
        content = file.read_bytes()
        assert content.startswith(b"age-encryption.org/v1")
        assert b"dumped-1" not in content and b"logged-1" not in content
    assert "All 4 files are complete." in original.must("verify")
    assert "A restore reaches to " in original.must("list")


def test_a_restore_brings_everything_back_on_another_node(copy: Backups) -> None:
    said = copy.must("restore", "--key", str(copy.key))
    assert "All files are complete and open with this key." in said
    assert copy.server.notes() == ALL
    # It never overwrites: the second time is refused, and nothing is doubled.
    assert "is not empty (1 tables)" in copy.refusal("restore", "--key", str(copy.key))
    assert copy.server.notes() == ALL


def test_a_restore_to_a_moment_stops_there(copy: Backups) -> None:
    copy.must("restore", "--key", str(copy.key), "--at", copy.between)
    assert copy.server.notes() == ["dumped-1", "dumped-2", "logged-1"]


def assert_untouched(copy: Backups) -> None:
    assert copy.server.tables() == "0"


def test_a_wrong_key_is_said_to_be_one(copy: Backups) -> None:
    said = copy.refusal("restore", "--key", str(copy.keys / "wrong.key"))
    assert "This key does not open full-" in said and "Nothing was changed." in said
    assert_untouched(copy)


def test_a_key_that_is_not_there_or_is_none_is_said_to_be_so(copy: Backups, tmp_path: Path) -> None:
    assert "is not there" in copy.refusal("restore", "--key", str(tmp_path / "none.key"))
    (tmp_path / "x.key").write_text("AGE-SECRET-KEY-1CANARY")
    said = copy.refusal("restore", "--key", str(tmp_path / "x.key"))
    assert "could not be decrypted" in said and "CANARY" not in said
    assert_untouched(copy)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["full", "log"])
def test_a_damaged_file_is_found_before_anything_is_changed(copy: Backups, kind: str) -> None:
    flip(copy.files(kind)[0])
    said = copy.refusal("restore", "--key", str(copy.key))
    assert "is damaged (its checksum differs). Nothing was changed." in said
    assert_untouched(copy)
    done = copy.run("verify")
    assert done.returncode == 1 and "is damaged" in done.stdout


def test_a_file_whose_checksum_was_forged_too_is_found_by_its_seal(copy: Backups) -> None:
    file = copy.files("full")[0]
    flip(file)
    about = file.with_name(file.name + ".json")
    about.write_text(json.dumps({**json.loads(about.read_text()), "sha256": digest(file)}))
    said = copy.refusal("restore", "--key", str(copy.key))
    assert "could not be decrypted" in said and "the backup is damaged" in said
    assert_untouched(copy)


def test_a_shortened_or_missing_file_is_found(copy: Backups) -> None:
    file = copy.files("full")[0]
    file.write_bytes(file.read_bytes()[:-10])
    said = copy.refusal("restore", "--key", str(copy.key))
    assert "bytes instead of" in said and "Nothing was changed." in said
    file.unlink()
    assert "is missing. Nothing was changed." in copy.refusal("restore", "--key", str(copy.key))
    assert_untouched(copy)


def test_a_gap_between_the_logs_is_found(copy: Backups) -> None:
    first = copy.files("log")[0]
    first.unlink()
    first.with_name(first.name + ".json").unlink()
    said = copy.refusal("restore", "--key", str(copy.key))
    assert "is missing, so nothing after it can be restored" in said and "--at" in said
    assert_untouched(copy)


def test_a_damaged_description_is_named(copy: Backups) -> None:
    file = copy.files("full")[0]
    file.with_name(file.name + ".json").write_text("{")
    assert ".json is damaged. Take this file" in copy.refusal("restore", "--key", str(copy.key))
    assert_untouched(copy)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("yesterday", "'yesterday' is no moment. Write it in UTC"),
        ("2001-01-01 00:00:00", "The oldest full backup is of"),
        ("2101-01-01 00:00:00", "The backups reach to"),
    ],
)
def test_a_moment_that_cannot_be_reached_is_refused(copy: Backups, at: str, said: str) -> None:
    assert said in copy.refusal("restore", "--key", str(copy.key), "--at", at)
    assert_untouched(copy)


def test_a_database_that_is_away_is_named(original: Backups) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "backup"), "full"],
        env=original.environment | {"BACKUP_PORT": str(free_port())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Backup: The database at 127.0.0.1 did not answer" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"BACKUP_PASSWORD": ""}, "BACKUP_PASSWORD is not set"),
        ({"BACKUP_PASSWORD": "wrong"}, "Access denied"),
        ({"BACKUP_RECIPIENTS_FILE": "/none"}, "/none holds no public key"),
        ({"BACKUP_TARGET": "/none"}, "/none is no folder that can be written to"),
    ],
)
def test_a_wrong_setting_is_named(original: Backups, changed: dict[str, str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "backup"), "full"],
        env=original.environment | changed,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Backup: ") and said in done.stderr
    assert len(original.files("full")) == 1


def test_a_server_without_logs_leaves_no_half_backup(
    mariadb: MariaDB, keys: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "backup"), "full"],
        env={
            **os.environ,
            "BACKUP_TARGET": str(tmp_path),
            "BACKUP_HOST": "127.0.0.1",
            "BACKUP_PORT": str(mariadb.port),
            "BACKUP_USER": mariadb.user,
            "BACKUP_PASSWORD": mariadb.password,
            "BACKUP_RECIPIENTS_FILE": str(keys / "recipients"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr.startswith("Backup: ")
    assert list(tmp_path.iterdir()) == []
