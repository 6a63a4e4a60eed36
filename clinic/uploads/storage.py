"""Where uploads are kept: in the database, or in a folder by the embedded default.

`clinic.settings` chooses, and takes `clinic.uploads.bucket` instead where STORAGE_URL is set. None
of them gives a file an address: files go out through views that check who asks.

In the database a file is written in one transaction and read one piece at a time, so neither a
statement nor the memory of a process grows with the file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, Storage
from django.db import transaction
from django.db.models import Count, Sum
from django.db.models.functions import Length
from django.utils.deconstruct import deconstructible

from clinic.uploads.models import StoredChunk

CHUNK = 512 * 1024  # bytes; twice that, escaped, is far below the servers' packet limits


class ChunkReader(io.RawIOBase):
    """The bytes of a stored file, fetched piece by piece."""

    def __init__(self, name: str, length: int) -> None:
        self._name, self._length = name, length
        self._position = 0
        self._held: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        number, start = divmod(self._position, CHUNK)
        if self._position >= self._length:
            return 0
        part = self._chunk(number)[start : start + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _chunk(self, number: int) -> bytes:
        if self._held[0] != number:
            rows = StoredChunk.objects.filter(name=self._name, number=number)
            data = rows.values_list("data", flat=True).first()
            if not data:
                raise FileNotFoundError(f"piece {number} of {self._name} is gone")
            self._held = (number, bytes(data))
        return self._held[1]


class StoredFile(File):
    """An opened file of `DatabaseStorage`, for reading."""

    def __init__(self, name: str, length: int) -> None:
        super().__init__(io.BufferedReader(ChunkReader(name, length), CHUNK), name)
        self._length = length

    @property
    def size(self) -> int:
        return self._length

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        return super().chunks(chunk_size or CHUNK)


@deconstructible(path="clinic.uploads.storage.DatabaseStorage")
class DatabaseStorage(Storage):
    """Files as rows of `StoredChunk`."""

    def _open(self, name: str, mode: str = "rb") -> StoredFile:
        if mode != "rb":
            raise ValueError("Files in the database are opened for reading, as 'rb'.")
        return StoredFile(name, self.size(name))

    def _save(self, name: str, content: File) -> str:
        content.seek(0)
        with transaction.atomic():
            number = 0
            while (data := content.read(CHUNK)) or number == 0:
                StoredChunk.objects.create(name=name, number=number, data=data)
                number += 1
        return name

    def delete(self, name: str) -> None:
        StoredChunk.objects.filter(name=name).delete()

    def exists(self, name: str) -> bool:
        return StoredChunk.objects.filter(name=name).exists()

    def size(self, name: str) -> int:
        found = StoredChunk.objects.filter(name=name).aggregate(
            pieces=Count("pk"), length=Sum(Length("data"))
        )
        if not found["pieces"]:
            raise FileNotFoundError(f"{name} is not stored")
        return int(found["length"])


@deconstructible(path="clinic.uploads.storage.FolderStorage")
class FolderStorage(FileSystemStorage):
    """Files in a folder that only this process's user may read."""

    def __init__(self, location: Any) -> None:
        super().__init__(location, file_permissions_mode=0o600, directory_permissions_mode=0o700)

    def url(self, name: str | None) -> str:
        raise ValueError("Uploaded files have no address.")

    def names_before(self, moment: datetime) -> Iterator[str]:
        """The names of the files that were stored before a moment."""
        for path in Path(self.location).glob("*/*"):
            if path.is_file() and datetime.fromtimestamp(path.stat().st_mtime, UTC) < moment:
                yield path.relative_to(self.location).as_posix()
