"""The folder where backups are kept: encrypted files, and beside each a small description.

A file appears under its name only when it is complete, and its description after it: what is
described is there. The description holds its length and SHA-256, and nothing of what is inside.
Several processes may work on one folder: each kind of work has a lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from deploy.keep.errors import BackupError

FULL, LOG = "full", "log"
LOCK_SECONDS = 900.0
ENDING = ".zst.age"


@dataclass(frozen=True)
class Piece:
    """One encrypted file. ``until``: everything committed before this moment (seconds, UTC) is in
    it or in one before it. For a dump, ``log`` and ``position`` say where the logs go on, and
    ``tables`` and ``rows`` (about) how much was in it; -1 where nobody counted."""

    kind: str
    server: str
    name: str
    until: float
    bytes: int
    sha256: str
    log: str = ""
    position: int = 0
    tables: int = -1
    rows: int = -1

    @property
    def is_dump(self) -> bool:
        """A dump that a restore may begin with. One of an empty database is none."""
        return self.kind == FULL and self.tables != 0

    @property
    def number(self) -> int:
        """The log's number in its row: binlog.000012 is 12."""
        match = re.search(r"\.(\d+)$", self.log)
        if match is None:
            raise BackupError(f"{self.name} names no binary log.")
        return int(match.group(1))


FIELDS = {field.name for field in fields(Piece)}


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise BackupError(
                f"{folder} is no folder that can be written to. Mount the place where backups are "
                "kept there, and make it belong to uid 10002."
            )

    def draft(self, name: str) -> Path:
        return self.folder / f".{name}.part"

    def keep(self, draft: Path, **about: Any) -> Piece:
        """Gives a complete file its name, on the disk before anybody relies on it."""
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        piece = Piece(bytes=draft.stat().st_size, sha256=digest(draft), **about)
        draft.replace(self.folder / piece.name)
        self._write(f"{piece.name}.json", asdict(piece))
        self._sync()
        return piece

    @contextmanager
    def lock(self, work: str, *, wait: float = LOCK_SECONDS) -> Iterator[None]:
        """One writer at a time for each kind of work. It ends with the process, however that
        ends; raises ``BackupError`` when another one holds it for ``wait`` seconds."""
        deadline = time.monotonic() + wait
        with (self.folder / f".{work}.lock").open("ab") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() >= deadline:
                        raise BackupError(
                            f"Another backup is at work in {self.folder}. Try again when it ended."
                        ) from error
                time.sleep(0.1)
            yield

    def has(self, piece: Piece) -> bool:
        """Whether the file is there in its length; its content is not looked at."""
        try:
            return self.path(piece).stat().st_size == piece.bytes
        except OSError:
            return False

    def pieces(self) -> list[Piece]:
        """All complete files, oldest first. A description that cannot be read is an error."""
        found = []
        for path in self.folder.glob(f"*{ENDING}.json"):
            try:
                about = json.loads(path.read_text())
                # A later release may have written more.
                found.append(Piece(**{k: v for k, v in about.items() if k in FIELDS}))
            except FileNotFoundError:
                continue  # removed meanwhile
            except (ValueError, TypeError, AttributeError) as error:
                raise BackupError(
                    f"{path.name} is damaged. Take this file and the one it describes from another "
                    "copy of the backups, or remove both and use an older backup."
                ) from error
        return sorted(found, key=lambda piece: (piece.until, piece.name))

    def path(self, piece: Piece) -> Path:
        return self.folder / piece.name

    def fault_of(self, piece: Piece) -> str:
        """What is wrong with a file, or nothing."""
        path = self.path(piece)
        if not path.is_file():
            return f"{piece.name} is missing"
        if path.stat().st_size != piece.bytes:
            return f"{piece.name} has {path.stat().st_size} bytes instead of {piece.bytes}"
        if digest(path) != piece.sha256:
            return f"{piece.name} is damaged (its checksum differs)"
        return ""

    def nameless(self) -> list[str]:
        """Files without a description: whoever wrote them was ended before they were kept."""
        described = {path.name.removesuffix(".json") for path in self.folder.glob("*.json")}
        return sorted(
            path.name for path in self.folder.glob(f"[!.]*{ENDING}") if path.name not in described
        )

    def remove(self, piece: Piece) -> None:
        (self.folder / f"{piece.name}.json").unlink(missing_ok=True)
        self.path(piece).unlink(missing_ok=True)

    def prune(self, *, keep_days: float, now: float | None = None) -> list[str]:
        """Removes what no restore within the kept days needs; the newest dump always stays."""
        now = time.time() if now is None else now
        pieces = self.pieces()
        dumps = [piece for piece in pieces if piece.is_dump]
        old = [piece for piece in dumps if piece.until < now - keep_days * 86_400]
        # The newest of the old ones is where a restore to the oldest kept moment begins.
        for_removal = old[:-1]
        first_kept = next((piece for piece in dumps if piece not in for_removal), None)
        if first_kept is not None:
            for_removal += [
                piece
                for piece in pieces
                if piece.kind == LOG
                and piece.until < first_kept.until
                and (piece.server != first_kept.server or piece.number < first_kept.number)
            ]
        for piece in for_removal:
            self.remove(piece)
        for draft in self.folder.glob(".*.part"):
            if draft.stat().st_mtime < now - 86_400:
                draft.unlink(missing_ok=True)
        return [piece.name for piece in for_removal]

    def state(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    def note(self, **changes: Any) -> None:
        """``log_error`` and ``dump_error`` are the two kinds of work; ``last_error`` is either."""
        with self.lock("state"):
            state = {**self.state(), **changes}
            state["last_error"] = state.get("log_error") or state.get("dump_error") or ""
            self._write("state.json", state)

    def _write(self, name: str, content: dict[str, Any]) -> None:
        draft = self.folder / f".{name}.new"
        with draft.open("w") as file:
            file.write(json.dumps(content, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.folder / name)

    def _sync(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
