"""The way back: a dump and the logs after it, into an empty database, up to a moment.

All files are chosen, checked and decrypted once before the database is touched.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.keep.errors import BackupError
from deploy.keep.server import Server, run_pipe
from deploy.keep.store import FULL, LOG, Piece, Store

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    dump: Piece
    logs: list[Piece]
    at: float | None

    @property
    def until(self) -> float:
        """The moment up to which everything is there, at least."""
        last = self.logs[-1].until if self.logs else self.dump.until
        return min(last, self.at) if self.at is not None else last


def moment(text: str) -> float:
    """'2026-11-25 14:03:00' in UTC, as seconds."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise BackupError(
            f"{text!r} is no moment. Write it in UTC, like 2026-11-25 14:03:00."
        ) from error


def spoken(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def plan(store: Store, *, at: float | None) -> Plan:
    """The newest dump before the moment, and every log from there on. A gap is refused."""
    pieces = store.pieces()
    dumps = [piece for piece in pieces if piece.kind == FULL and (at is None or piece.until <= at)]
    if not dumps:
        first = next((piece for piece in pieces if piece.kind == FULL), None)
        raise BackupError(
            "There is no full backup."
            if first is None
            else f"The oldest full backup is of {spoken(first.until)}. Choose a later moment."
        )
    dump = dumps[-1]
    logs = sorted(
        (
            piece
            for piece in pieces
            if piece.kind == LOG and piece.server == dump.server and piece.number >= dump.number
        ),
        key=lambda piece: piece.number,
    )
    for expected, piece in enumerate(logs, dump.number):
        if piece.number != expected:
            reached = (
                logs[expected - dump.number - 1].until if expected > dump.number else dump.until
            )
            raise BackupError(
                f"Binary log {expected} is missing, so nothing after it can be restored. Bring it "
                f"from another copy, or restore up to {spoken(reached)} with --at."
            )
    if at is not None:
        if not logs or logs[-1].until < at:
            known = logs[-1].until if logs else dump.until
            if at > time.time() or known < at:
                raise BackupError(
                    f"The backups reach to {spoken(known)}, not to {spoken(at)}. Choose an earlier "
                    "moment, or leave --at out to restore all there is."
                )
        needed = next(n for n, piece in enumerate(logs) if piece.until >= at)
        logs = logs[: needed + 1]
    return Plan(dump, logs, at)


def check(store: Store, chosen: Plan, *, key: Path) -> None:
    """Every file of the plan is complete and opens with this key."""
    for piece in (chosen.dump, *chosen.logs):
        if fault := store.fault_of(piece):
            raise BackupError(
                f"{fault}. Nothing was changed. Take it from another copy of the backups, or "
                "restore up to an earlier moment with --at."
            )
    for piece in (chosen.dump, *chosen.logs):
        done = subprocess.run(
            ["age", "--decrypt", "--identity", str(key), str(store.path(piece))],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            if "no identity matched" in done.stderr:
                raise BackupError(
                    f"This key does not open {piece.name}: it is not the one these backups were "
                    "encrypted to. Nothing was changed. Use the right private key."
                )
            # Its second line asks for a report to its author.
            why = done.stderr.strip().partition("\n")[0].removeprefix("age: error: ")[:200]
            raise BackupError(
                f"{piece.name} could not be decrypted ({why}). Nothing was changed. If the key "
                "file is right, the backup is damaged: take another copy."
            )


def require_empty(server: Server, database: str) -> None:
    tables = server.ask(
        f"SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{database}'"  # noqa: S608
    )[0][0]
    if tables != "0":
        raise BackupError(
            f"The database {database} is not empty ({tables} tables). A restore never overwrites: "
            "start MySQL on an empty volume, as “A node is lost” in docs/operations.md describes. "
            "Nothing was changed."
        )


def restore(
    server: Server, store: Store, chosen: Plan, *, key: Path, database: str, into: str, say: Say
) -> None:
    """Loads the dump, then replays the logs. The caller has checked both."""
    opened = ["age", "--decrypt", "--identity", str(key)]
    unpack = ["zstd", "--decompress", "--quiet", "-c"]
    client = [*server.tool("client"), into]
    say(f"Loading {chosen.dump.name} …")
    run_pipe([[*opened, str(store.path(chosen.dump))], unpack, client])
    until = (
        datetime.fromtimestamp(chosen.at, UTC).strftime("%Y-%m-%d %H:%M:%S") if chosen.at else None
    )
    for number, piece in enumerate(chosen.logs, 1):
        say(f"Replaying {piece.log} ({number} of {len(chosen.logs)}) …")
        with tempfile.TemporaryDirectory(prefix="replay-") as folder:
            file = Path(folder) / piece.log
            run_pipe([[*opened, str(store.path(piece))], unpack], output=file)
            replay = server.replay_command(
                file,
                database=database,
                into=into,
                position=chosen.dump.position if piece.log == chosen.dump.log else None,
                until=until,
            )
            run_pipe([replay, client])
