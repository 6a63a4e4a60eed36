"""Taking backups: a dump now and then, and between them every binary log within minutes."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from deploy.keep.errors import BackupError
from deploy.keep.server import Server, run_pipe
from deploy.keep.store import ENDING, FULL, LOG, Piece, Store

POSITION = re.compile(rb"(?:SOURCE|MASTER)_LOG_FILE='([^']+)', (?:SOURCE|MASTER)_LOG_POS=(\d+)")
HEAD_BYTES = 64 * 1024
CHUNK = 1024 * 1024


def packed(recipients: Path) -> list[list[str]]:
    """Compressed, then encrypted to public keys: whoever runs this cannot read it again."""
    return [
        ["zstd", "-3", "--quiet", "-c"],
        ["age", "--encrypt", "--recipients-file", str(recipients)],
    ]


def full(server: Server, store: Store, *, database: str, recipients: Path) -> Piece:
    """A consistent dump without stopping anybody."""
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
            zstd.stdin.close()
        except BrokenPipeError:
            dump.kill()
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
    )


def ship_logs(server: Server, store: Store, *, recipients: Path) -> list[Piece]:
    """Brings every complete binary log that is not kept yet; returns what was brought."""
    known = {
        piece.log
        for piece in store.pieces()
        if piece.kind == LOG and piece.server == server.identity
    }
    begun = time.time()
    brought = []
    for log in server.closed_logs():
        if log in known:
            continue
        name = f"log-{server.identity}-{log}{ENDING}"
        draft = store.draft(name)
        with tempfile.TemporaryDirectory(prefix="log-") as folder:
            run_pipe([server.fetch_log_command(log, Path(folder))])
            compress, encrypt = packed(recipients)
            run_pipe([["cat", f"{folder}/{log}"], compress, encrypt], output=draft)
        brought.append(
            store.keep(draft, kind=LOG, server=server.identity, name=name, until=begun, log=log)
        )
    return brought


def verify(store: Store) -> list[str]:
    """Faults of the kept files: missing, shortened or changed ones, and gaps between the logs."""
    pieces = store.pieces()
    faults = [fault for piece in pieces if (fault := store.fault_of(piece))]
    for server in {piece.server for piece in pieces}:
        numbers = sorted(
            piece.number for piece in pieces if piece.kind == LOG and piece.server == server
        )
        faults += [
            f"binary log {number} of server {server} is missing"
            for before, after in pairwise(numbers)
            for number in range(before + 1, after)
        ]
    if not any(piece.kind == FULL for piece in pieces):
        faults.append("there is no full backup yet")
    return faults


def round_of_work(
    *,
    connect: Callable[[], Server],
    store: Store,
    database: str,
    recipients: Path,
    full_every: float,
    keep_days: float,
    log: Callable[..., None],
) -> None:
    """What is due now. Errors are written down and tried again in the next round."""
    try:
        server = connect()
        brought = ship_logs(server, store, recipients=recipients)
        store.note(last_log=time.time(), last_error="")
        dumps = [
            piece
            for piece in store.pieces()
            if piece.kind == FULL and piece.server == server.identity
        ]
        if not dumps or time.time() - dumps[-1].until >= full_every:
            piece = full(server, store, database=database, recipients=recipients)
            removed = store.prune(keep_days=keep_days)
            faults = verify(store)
            store.note(last_full=piece.until, last_verified=time.time(), faults=faults)
            log("full_backup", file=piece.name, bytes=piece.bytes, removed=len(removed))
            for fault in faults:
                log("backup_fault", fault=fault)
        if brought:
            log("logs_kept", count=len(brought), bytes=sum(piece.bytes for piece in brought))
    except (BackupError, OSError) as error:
        store.note(last_error=str(error), last_error_at=time.time())
        log("backup_failed", error=str(error))


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
