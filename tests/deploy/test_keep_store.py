"""The folder of backups: two writers at once, a writer that is killed, gaps, and what is due."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deploy.keep import restore as back
from deploy.keep import work
from deploy.keep.errors import BackupError
from deploy.keep.store import FULL, LOG, Piece, Store
from tests.deploy.keeping import pretended
from tools.environments import ROOT

NOW = 1_790_000_000.0
HOUR = 3600.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def log_of(number: int) -> str:
    return f"binlog.{number:06d}"


def dump(store: Store, server: str, *, until: float, log: int, tables: int = 90) -> Piece:
    return pretended(
        store,
        f"full-{until:.0f}-{server}.sql.zst.age",
        kind=FULL,
        server=server,
        until=until,
        log=log_of(log),
        position=4,
        tables=tables,
        rows=tables * 1000,
    )


def logs(store: Store, server: str, *numbers: int, until: float = NOW) -> list[Piece]:
    return [
        pretended(
            store,
            f"log-{server}-{log_of(number)}.zst.age",
            kind=LOG,
            server=server,
            until=until + number,
            log=log_of(number),
        )
        for number in numbers
    ]


# --- Two writers, and one that is killed -------------------------------------------------------
def test_two_writers_of_the_same_kind_wait_for_each_other(store: Store) -> None:
    other = Store(store.folder)
    with store.lock("logs"):
        with pytest.raises(BackupError, match="Another backup is at work"):
            other.lock("logs", wait=0).__enter__()
        with other.lock("dump", wait=0):
            pass  # logs go on while a dump is taken
    with other.lock("logs", wait=0):
        pass


def test_a_writer_that_is_killed_leaves_no_lock(store: Store) -> None:
    code = (
        "import sys, time; from pathlib import Path; from deploy.keep.store import Store\n"
        "with Store(Path(sys.argv[1])).lock('logs'):\n print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(store.folder)], cwd=ROOT, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == b"held\n"
        with pytest.raises(BackupError):
            store.lock("logs", wait=0).__enter__()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    with store.lock("logs", wait=5):
        pass


@pytest.mark.parametrize("kept", [1, 2])
def test_a_kill_between_two_renames_leaves_nothing_that_counts_as_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """The writer ends just before its first, and before its second rename."""
    renames = []

    def rename(self: Path, target: Path) -> Path:
        renames.append(target)
        if len(renames) == kept:
            raise KeyboardInterrupt
        os.replace(self, target)
        return target

    monkeypatch.setattr(Path, "replace", rename)
    with pytest.raises(KeyboardInterrupt):
        logs(store, "aaa", 7)
    monkeypatch.undo()
    assert store.pieces() == []
    assert logs(store, "aaa", 7) == store.pieces()
    assert store.fault_of(store.pieces()[0]) == ""
    assert store.nameless() == []


def test_notes_of_two_writers_are_both_kept(store: Store) -> None:
    def note(name: str) -> None:
        for number in range(20):
            store.note(**{name: number})

    threads = [threading.Thread(target=note, args=(name,)) for name in ("last_log", "last_full")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.state() == {"last_log": 19, "last_full": 19, "last_error": ""}


def test_an_error_of_logs_and_one_of_dumps_are_told_apart(store: Store) -> None:
    store.note(log_error="logs")
    store.note(dump_error="dumps")
    assert store.state()["last_error"] == "logs"
    store.note(log_error="")
    assert store.state()["last_error"] == "dumps"
    store.note(dump_error="")
    assert store.state()["last_error"] == ""


def test_descriptions_of_an_earlier_and_a_later_release_are_read(store: Store) -> None:
    piece = dump(store, "aaa", until=NOW, log=3)
    about = store.folder / f"{piece.name}.json"
    for text in (
        about.read_text().replace('"tables": 90,', "").replace('"rows": 90000', '"x": 1'),
        about.read_text().replace('"kind"', '"later": 1, "kind"'),
    ):
        about.write_text(text)
        (read,) = store.pieces()
        assert read.is_dump and read.number == 3


# --- Gaps ------------------------------------------------------------------------------------
def test_a_gap_that_a_later_dump_made_harmless_is_a_note_and_no_fault(store: Store) -> None:
    dump(store, "aaa", until=NOW, log=10)
    logs(store, "aaa", 10, 11, 14, 15)
    missing = ["binary log 12 of server aaa is missing", "binary log 13 of server aaa is missing"]
    assert work.verify(store).faults == missing
    dump(store, "aaa", until=NOW + HOUR, log=15)
    found = work.verify(store)
    assert found.faults == []
    assert found.notes == [f"{text}; the newest dump does not need it" for text in missing]
    # A new gap after it is a fault again.
    logs(store, "aaa", 17, until=NOW + HOUR)
    assert work.verify(store).faults == ["binary log 16 of server aaa is missing"]


def test_a_gap_right_after_the_newest_dump_is_a_fault(store: Store) -> None:
    dump(store, "aaa", until=NOW, log=10)
    logs(store, "aaa", 12)
    assert len(work.verify(store).faults) == 2


def test_a_gap_stays_a_fault_while_the_dump_after_it_is_damaged(store: Store) -> None:
    dump(store, "aaa", until=NOW, log=10)
    logs(store, "aaa", 10, 12)
    later = dump(store, "aaa", until=NOW + HOUR, log=12)
    store.path(later).write_bytes(b"x" * later.bytes)
    assert "binary log 11 of server aaa is missing" in work.verify(store).faults


# --- What is looked at -------------------------------------------------------------------------
def test_each_day_new_files_are_read_and_once_a_week_all(store: Store) -> None:
    old = dump(store, "aaa", until=NOW - 3 * HOUR, log=10)
    new = dump(store, "aaa", until=NOW, log=11)
    for piece in (old, new):
        store.path(piece).write_bytes(b"x" * piece.bytes)
    assert work.verify(store, since=NOW - HOUR).faults == [store.fault_of(new)]
    assert len(work.verify(store).faults) == 2
    # What was found once is looked at until it is put right; a missing file is always found.
    assert len(work.verify(store, since=NOW - HOUR, earlier=(store.fault_of(old),)).faults) == 2
    store.path(old).unlink()
    assert f"{old.name} is missing" in work.verify(store, since=NOW - HOUR).faults


def test_the_weekly_look_is_noted(store: Store) -> None:
    dump(store, "aaa", until=time.time(), log=1)
    work.look_at_files(store, log=lambda *_, **__: None)
    first = store.state()
    assert first["last_verified_all"] == first["last_verified"]
    work.look_at_files(store, log=lambda *_, **__: None)
    assert store.state()["last_verified_all"] == first["last_verified_all"]
    assert store.state()["last_verified"] > first["last_verified"]


# --- When a dump is due ------------------------------------------------------------------------
def test_a_dump_is_due_daily_and_at_once_after_a_restore(store: Store) -> None:
    def due(now: float) -> bool:
        return work.dump_is_due(store, "aaa", full_every=24 * HOUR, now=now)

    assert due(NOW)
    dump(store, "bbb", until=NOW, log=1)
    dump(store, "aaa", until=NOW, log=1, tables=0)
    assert due(NOW)
    dump(store, "aaa", until=NOW + 1, log=1)
    assert not due(NOW + HOUR) and due(NOW + 25 * HOUR)
    store.note(dump_wanted=NOW + HOUR)
    assert due(NOW + HOUR + 1)
    dump(store, "aaa", until=NOW + HOUR + 60, log=2)
    assert not due(NOW + 2 * HOUR)


# --- What a restore begins with ----------------------------------------------------------------
@pytest.fixture
def lost(store: Store) -> Store:
    """aaa is lost; bbb was started empty in its place and dumped by an earlier release."""
    dump(store, "aaa", until=NOW, log=10)
    logs(store, "aaa", 10, 11, 12)
    dump(store, "bbb", until=NOW + HOUR, log=2, tables=0)
    logs(store, "bbb", 1, 2, until=NOW + HOUR)
    return store


def test_a_dump_of_an_empty_database_is_never_restored(lost: Store) -> None:
    chosen = back.plan(lost, at=None)
    assert chosen.dump.server == "aaa" and len(chosen.logs) == 3
    back.require_choice(lost, chosen, into="bbb", asked=False)


def test_where_two_servers_have_dumps_nobody_guesses(lost: Store) -> None:
    """bbb took sign-ups before anybody restored; its dump is the newest, and of no use."""
    dump(lost, "bbb", until=NOW + 2 * HOUR, log=2, tables=91)
    chosen = back.plan(lost, at=None)
    assert chosen.dump.server == "bbb"
    with pytest.raises(BackupError) as refused:
        back.require_choice(lost, chosen, into="bbb", asked=False)
    said = str(refused.value)
    assert "of server aaa" in said and "90 tables, about 90,000 rows" in said and "--server" in said
    assert back.plan(lost, at=None, server="aaa").dump.server == "aaa"
    back.require_choice(lost, chosen, into="bbb", asked=True)
    back.require_choice(lost, chosen, into="ccc", asked=False)


def test_a_server_that_is_not_there_is_named_with_those_that_are(lost: Store) -> None:
    with pytest.raises(BackupError, match=r"nothing of a server ccc\. The newest dumps are: "):
        back.plan(lost, at=None, server="ccc")
