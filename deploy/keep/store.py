"""The folder where backups are kept: encrypted files, and beside each a small description.

A file appears under its name only when it is complete; its description holds its length and
SHA-256, and nothing of what is inside.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.keep.errors import BackupError

FULL, LOG = "full", "log"
ENDING = ".zst.age"


@dataclass(frozen=True)
class Piece:
    """One encrypted file. ``until``: everything committed before this moment (seconds, UTC) is in
    it or in one before it. For a dump, ``log`` and ``position`` say where the logs go on."""

    kind: str
    server: str
    name: str
    until: float
    bytes: int
    sha256: str
    log: str = ""
    position: int = 0

    @property
    def number(self) -> int:
        """The log's number in its row: binlog.000012 is 12."""
        match = re.search(r"\.(\d+)$", self.log)
        if match is None:
            raise BackupError(f"{self.name} names no binary log.")
        return int(match.group(1))


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
        self._write(f"{piece.name}.json", asdict(piece))
        draft.replace(self.folder / piece.name)
        self._sync()
        return piece

    def pieces(self) -> list[Piece]:
        """All complete files, oldest first. A description that cannot be read is an error."""
        found = []
        for path in self.folder.glob(f"*{ENDING}.json"):
            try:
                found.append(Piece(**json.loads(path.read_text())))
            except (ValueError, TypeError) as error:
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

    def remove(self, piece: Piece) -> None:
        self.path(piece).unlink(missing_ok=True)
        (self.folder / f"{piece.name}.json").unlink(missing_ok=True)

    def prune(self, *, keep_days: float, now: float | None = None) -> list[str]:
        """Removes what no restore within the kept days needs; the newest dump always stays."""
        now = time.time() if now is None else now
        pieces = self.pieces()
        dumps = [piece for piece in pieces if piece.kind == FULL]
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
        self._write("state.json", {**self.state(), **changes})

    def _write(self, name: str, content: dict[str, Any]) -> None:
        draft = self.folder / f".{name}.new"
        draft.write_text(json.dumps(content, indent=1) + "\n")
        draft.replace(self.folder / name)

    def _sync(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
