"""Taking backups: a dump now and then, and beside them every binary log within minutes."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.keep.errors import BackupError
from deploy.keep.server import Server, fetch
from deploy.keep.store import ENDING, FULL, LOG, Piece, Store

POSITION = re.compile(rb"(?:SOURCE|MASTER)_LOG_FILE='([^']+)', (?:SOURCE|MASTER)_LOG_POS=(\d+)")
HEAD_BYTES = 64 * 1024
CHUNK = 1024 * 1024
VERIFY_ALL_EVERY = 7 * 86_400


def nothing() -> None:
    pass


def packed(recipients: Path) -> list[list[str]]:
    """Compressed, then encrypted to public keys: whoever runs this cannot read it again."""
    return [
        ["zstd", "-3", "--quiet", "-c"],
        ["age", "--encrypt", "--recipients-file", str(recipients)],
    ]


def full(
    server: Server,
    store: Store,
    *,
    database: str,
    recipients: Path,
    goes_on: Callable[[], None] = nothing,
) -> Piece:
    """A consistent dump without stopping anybody. ``goes_on`` is called while there is progress.

    A database without tables is refused: it was lost, or is not made yet, and a restore must not
    find it as the newest there is.
    """
    tables, rows = server.size(database)
    if not tables:
        raise BackupError(
            f"The database {database} has no tables, so no dump is taken. When it was lost, "
            "restore it (“A node is lost” in docs/operations.md)."
        )
    with store.lock("dump"):
        return _full(server, store, database, recipients, goes_on, tables=tables, rows=rows)


def _full(
    server: Server,
    store: Store,
    database: str,
    recipients: Path,
    goes_on: Callable[[], None],
    **size: int,
) -> Piece:
    begun = time.time()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(begun))
    name = f"full-{stamp}-{server.identity}.sql{ENDING}"
    draft = store.draft(name)
    compress, encrypt = packed(recipients)
    with tempfile.TemporaryFile() as errors, draft.open("wb") as target:
        dump = subprocess.Popen(
            server.dump_command(database), stdout=subprocess.PIPE, stderr=errors
        )
        zstd = subprocess.Popen(
            compress, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        age = subprocess.Popen(encrypt, stdin=zstd.stdout, stdout=target, stderr=errors)
        assert dump.stdout and zstd.stdin and zstd.stdout  # noqa: S101  (they are pipes)
        zstd.stdout.close()
        head = b""
        try:
            while chunk := dump.stdout.read(CHUNK):
                if len(head) < HEAD_BYTES:
                    head += chunk[:HEAD_BYTES]
                zstd.stdin.write(chunk)
                goes_on()
        except BrokenPipeError:
            dump.kill()
        dump.stdout.close()
        with suppress(BrokenPipeError):
            zstd.stdin.close()
        codes = [dump.wait(), zstd.wait(), age.wait()]
        if any(codes):
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
            draft.unlink(missing_ok=True)
            raise BackupError(f"The dump failed: {said[-400:]}")
    found = POSITION.search(head)
    if found is None:
        draft.unlink(missing_ok=True)
        raise BackupError("The dump does not say where in the binary log it was taken.")
    return store.keep(
        draft,
        kind=FULL,
        server=server.identity,
        name=name,
        until=begun,
        log=found.group(1).decode(),
        position=int(found.group(2)),
        **size,
    )


def ship_logs(server: Server, store: Store, *, recipients: Path) -> list[Piece]:
    """Brings every complete binary log that is not kept yet; returns what was brought.

    One that cannot be brought does not stop the others. It is an error while restores need it:
    until there is a dump that begins after it.
    """
    with store.lock("logs"):
        pieces = [piece for piece in store.pieces() if piece.server == server.identity]
        known = {piece.log for piece in pieces if piece.kind == LOG and store.has(piece)}
        first_needed = max((piece.number for piece in pieces if piece.is_dump), default=0)
        begun = time.time()
        brought: list[Piece] = []
        missing: list[str] = []
        for log in server.closed_logs():
            if log in known:
                continue
            name = f"log-{server.identity}-{log}{ENDING}"
            draft = store.draft(name)
            about = {"kind": LOG, "server": server.identity, "name": name, "log": log}
            try:
                with tempfile.TemporaryDirectory(prefix="log-") as folder:
                    command = server.fetch_log_command(log, Path(folder))
                    fetch(command, Path(folder) / log, packed(recipients), draft)
            except BackupError as error:
                draft.unlink(missing_ok=True)
                if int(log.rpartition(".")[2]) >= first_needed:
                    missing.append(str(error))
                continue
            brought.append(store.keep(draft, until=begun, **about))
    if missing:
        raise BackupError(missing[0])
    return brought


@dataclass
class Findings:
    """``faults`` are in the way of a restore to now; ``notes`` only of one to earlier moments."""

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(
    store: Store,
    *,
    since: float = 0.0,
    earlier: tuple[str, ...] = (),
    goes_on: Callable[[], None] = nothing,
) -> Findings:
    """Looks for missing, shortened or changed files, and gaps between the logs.

    The content is looked at of files kept after ``since``, and of those named in ``earlier``
    faults; of the others that they are there, in their length.
    """
    pieces = store.pieces()
    found = Findings()
    whole = []
    for piece in pieces:
        named = any(piece.name in fault for fault in earlier)
        is_light = piece.until < since and not named and store.has(piece)
        fault = "" if is_light else store.fault_of(piece)
        goes_on()
        if fault:
            found.faults.append(fault)
        elif piece.is_dump:
            whole.append(piece)
    begins = whole[-1] if whole else None
    for server in sorted({piece.server for piece in pieces}):
        for number in gaps(pieces, server):
            text = f"binary log {number} of server {server} is missing"
            if begins is None or (server == begins.server and number >= begins.number):
                found.faults.append(text)
            else:
                found.notes.append(f"{text}; the newest dump does not need it")
    found.notes += [f"{name} has no description: it was not finished" for name in store.nameless()]
    if not any(piece.is_dump for piece in pieces):
        found.faults.append("there is no full backup yet")
    return found


def gaps(pieces: list[Piece], server: str) -> list[int]:
    """The numbers missing between a server's first file, dump or log, and its last log."""
    own = [piece for piece in pieces if piece.server == server]
    logs = {piece.number for piece in own if piece.kind == LOG}
    if not logs:
        return []
    first = min([*logs, *(piece.number for piece in own if piece.is_dump)])
    return [number for number in range(first, max(logs)) if number not in logs]


def round_of_logs(
    *, connect: Callable[[], Server], store: Store, recipients: Path, log: Callable[..., None]
) -> None:
    """Brings the logs there are. Errors are written down and tried again in the next round."""
    begun = time.time()
    try:
        brought = ship_logs(connect(), store, recipients=recipients)
        store.note(last_log=begun, log_error="")
    except (BackupError, OSError) as error:
        failed("log_error", error, store=store, log=log)
        return
    if brought:
        log("logs_kept", count=len(brought), bytes=sum(piece.bytes for piece in brought))


def round_of_dumps(
    *,
    connect: Callable[[], Server],
    store: Store,
    database: str,
    recipients: Path,
    full_every: float,
    keep_days: float,
    log: Callable[..., None],
    goes_on: Callable[[], None] = nothing,
) -> bool:
    """A dump when one is due, whether or not logs could be brought, and a look at what is kept.

    False asks for another round soon: a new installation has no tables yet, which is no error.
    """
    try:
        server = connect()
        if not dump_is_due(store, server.identity, full_every=full_every):
            store.note(dump_error="")
            return True
        is_new = not any(piece.is_dump for piece in store.pieces())
        if is_new and not server.size(database)[0]:
            store.note(dump_error="")
            log("waiting_for_tables", database=database)
            return False
        piece = full(server, store, database=database, recipients=recipients, goes_on=goes_on)
        store.note(last_full=piece.until, dump_error="")
        removed = store.prune(keep_days=keep_days)
        log("full_backup", file=piece.name, bytes=piece.bytes, removed=len(removed))
        look_at_files(store, log=log, goes_on=goes_on)
    except (BackupError, OSError) as error:
        failed("dump_error", error, store=store, log=log)
    return True


def dump_is_due(store: Store, server: str, *, full_every: float, now: float | None = None) -> bool:
    """Once in ``full_every`` seconds, and after a restore: what was replayed is in no dump yet."""
    now = time.time() if now is None else now
    taken = [piece.until for piece in store.pieces() if piece.is_dump and piece.server == server]
    wanted = float(store.state().get("dump_wanted") or 0)
    return not taken or now - taken[-1] >= full_every or taken[-1] < wanted <= now


def look_at_files(
    store: Store, *, log: Callable[..., None], goes_on: Callable[[], None] = nothing
) -> None:
    """The content of what is new since the last look, and once a week of everything."""
    state, begun = store.state(), time.time()
    all_due = begun - float(state.get("last_verified_all") or 0) >= VERIFY_ALL_EVERY
    found = verify(
        store,
        since=0.0 if all_due else float(state.get("last_verified") or 0),
        earlier=tuple(state.get("faults") or ()),
        goes_on=goes_on,
    )
    store.note(
        last_verified=begun,
        faults=found.faults,
        **({"last_verified_all": begun} if all_due else {}),
    )
    for fault in found.faults:
        log("backup_fault", fault=fault)


def failed(kind: str, error: Exception, *, store: Store, log: Callable[..., None]) -> None:
    log("backup_failed", error=str(error))
    try:
        store.note(**{kind: str(error), "last_error_at": time.time()})
    except (BackupError, OSError) as other:  # such as a full disk: the log has said it
        log("backup_failed", error=str(other))


def metrics(state: dict[str, Any]) -> str:
    """The state as Prometheus reads it."""
    lines = []
    for key, text in (
        ("last_full", "When the newest full backup was begun"),
        ("last_log", "Until when binary logs are kept"),
        ("last_verified", "When all kept files were checked"),
        ("last_drill", "When a restore was last tried and found right"),
    ):
        name = f"clinic_backup_{key}_timestamp_seconds"
        lines += [f"# HELP {name} {text}.", f"# TYPE {name} gauge", f"{name} {state.get(key, 0)}"]
    failing = 1 if state.get("last_error") or state.get("faults") else 0
    lines += [
        "# HELP clinic_backup_failing 1 while the last round failed or a kept file is damaged.",
        "# TYPE clinic_backup_failing gauge",
        f"clinic_backup_failing {failing}",
    ]
    return "\n".join(lines) + "\n"
