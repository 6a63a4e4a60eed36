"""The way back: a dump and the logs after it, into an empty database, up to a moment.

All files are chosen, checked and decrypted once before the database is touched.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from deploy.keep.errors import BackupError
from deploy.keep.server import Server, run_pipe
from deploy.keep.store import LOG, Piece, Store

Say = Callable[[str], None]
# What mysqlbinlog prints before each event, and a statement that ends a database. Rights are of the
# server, not of a database: a drill leaves those of the running site alone.
EVENT = re.compile(rb"#(\d{6}\s+\d{1,2}:\d{2}:\d{2}) server id")
DROP = re.compile(rb"\s*(?:/\*.*?\*/\s*)*DROP\s+(?:DATABASE|SCHEMA)\b(.*)", re.IGNORECASE)
RIGHTS = r"GRANT\|REVOKE\|CREATE USER\|ALTER USER\|DROP USER\|SET PASSWORD"
WITHOUT_RIGHTS = ["sed", "-e", rf"/^\({RIGHTS}\)[[:space:]]/,/^\/\*!\*\/;$/d"]


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


def plan(store: Store, *, at: float | None, server: str | None = None) -> Plan:
    """The newest dump before the moment, and every log from there on. A gap is refused.

    A dump of an empty database is never taken. ``server``: only what this one had.
    """
    pieces = [piece for piece in store.pieces() if server in {None, piece.server}]
    if server is not None and not pieces:
        raise BackupError(f"There is nothing of a server {server}. {choices(store)}")
    dumps = [piece for piece in pieces if piece.is_dump and (at is None or piece.until <= at)]
    if not dumps:
        first = next((piece for piece in pieces if piece.is_dump), None)
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


def described(piece: Piece) -> str:
    """A dump, for somebody who has to choose one."""
    size = f"{piece.bytes:,} bytes"
    if piece.tables >= 0:
        size += f", {piece.tables} tables, about {piece.rows:,} rows"
    return f"{spoken(piece.until)} of server {piece.server} ({size})"


def choices(store: Store) -> str:
    """The newest dump of each server."""
    newest = {piece.server: piece for piece in store.pieces() if piece.is_dump}
    return "The newest dumps are: " + "; ".join(described(piece) for piece in newest.values()) + "."


def require_choice(store: Store, chosen: Plan, *, into: str, asked: bool) -> None:
    """Refuses to guess: when the newest dump is of the very server that is empty now, it may be
    of what was written there after another one was lost."""
    others = {piece.server for piece in store.pieces() if piece.is_dump} - {into}
    if chosen.dump.server == into and others and not asked:
        raise BackupError(
            "The newest dump was taken from the server that is restored into, and there are dumps "
            f"of another one. {choices(store)} Say which is the right one with --server, or a "
            "moment with --at. Nothing was changed."
        )


def stop_at(chosen: Plan) -> str | None:
    if not chosen.at:
        return None
    return datetime.fromtimestamp(chosen.at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def replays(
    server: Server, store: Store, chosen: Plan, piece: Piece, *, key: Path, database: str, into: str
) -> list[list[str]]:
    """Commands that print a log's statements. Nothing of it is written to a disk."""
    return [
        ["age", "--decrypt", "--identity", str(key), str(store.path(piece))],
        ["zstd", "--decompress", "--quiet", "-c"],
        server.replay_command(
            database=database,
            into=into,
            position=chosen.dump.position if piece.log == chosen.dump.log else None,
            until=stop_at(chosen),
        ),
    ]


def dropped_at(lines: IO[bytes], database: str) -> float | None:
    """When a DROP DATABASE of this database was written, by what mysqlbinlog prints."""
    named = re.compile(rb"[`\"\s]" + re.escape(database.encode()) + rb"(?:[`\"\s;/]|$)")
    event, found = b"", None
    for line in lines:
        if match := EVENT.match(line):
            event = match[1]
        elif found is None and (match := DROP.match(line)) and named.search(match[1]):
            found = b" ".join(event.split()).decode()
    if found is None:
        return None
    return datetime.strptime(found, "%y%m%d %H:%M:%S").replace(tzinfo=UTC).timestamp()


def require_no_drop(
    server: Server, store: Store, chosen: Plan, *, key: Path, database: str
) -> None:
    """A database dropped by hand is in the logs: replayed, it would be dropped again. In a drill
    it would be the site's own, since a statement's text is not rewritten."""
    for piece in chosen.logs:
        moment = _drop_in(server, store, chosen, piece, key=key, database=database)
        if moment is not None:
            at = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")
            raise BackupError(
                f"Binary log {piece.number} holds a DROP DATABASE {database} of {at} UTC, which "
                "would be replayed. Restore what was there before it with --at "
                f"'{at}'; or, when what came after it is wanted, replay it too with --with-drop. "
                "Nothing was changed."
            )


def _drop_in(
    server: Server, store: Store, chosen: Plan, piece: Piece, *, key: Path, database: str
) -> float | None:
    found: list[float | None] = []
    run_pipe(
        replays(server, store, chosen, piece, key=key, database=database, into=database),
        read=lambda lines: found.append(dropped_at(lines, database)),
    )
    return found[0]


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
    """Loads the dump, then replays the logs. The caller has checked both.

    Into another database than the site's, as drills do, nothing of it is logged, and changes of
    rights are left out.
    """
    beside = into != database
    client = server.client(into, logged=not beside)
    say(f"Loading {chosen.dump.name} …")
    run_pipe(
        [
            ["age", "--decrypt", "--identity", str(key), str(store.path(chosen.dump))],
            ["zstd", "--decompress", "--quiet", "-c"],
            client,
        ]
    )
    for number, piece in enumerate(chosen.logs, 1):
        say(f"Replaying {piece.log} ({number} of {len(chosen.logs)}) …")
        printed = replays(server, store, chosen, piece, key=key, database=database, into=into)
        run_pipe([*printed, *([WITHOUT_RIGHTS] if beside else []), client])
