"""Kept files over HTTP: downloads with a policy that lets them do nothing.

Only the small pictures, which this site made itself, are shown in place. Who may have the file was
decided by whoever opened it.
"""

from __future__ import annotations

from typing import Self

from asgiref.sync import sync_to_async
from django.core.files.base import File
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
CHUNK = 256 * 1024  # bytes
THUMBNAIL_TYPE = "image/jpeg"


def download(
    request: HttpRequest, file: File, *, name: str, content_type: str
) -> StreamingHttpResponse:
    """``file`` to be saved under ``name``, never shown as a part of the site."""
    response = _streamed(request, file, content_type)
    response["Content-Disposition"] = content_disposition_header(True, name) or ""
    return response


def thumbnail(request: HttpRequest, file: File) -> StreamingHttpResponse:
    """The small picture of a file, for an ``img``."""
    response = _streamed(request, file, THUMBNAIL_TYPE)
    response["Content-Disposition"] = "inline"
    return response


def _streamed(request: HttpRequest, file: File, content_type: str) -> StreamingHttpResponse:
    """The file piece by piece; under ASGI in a way that does not gather the pieces first."""
    pieces = AsyncPieces(file) if hasattr(request, "scope") else Pieces(file)
    response = StreamingHttpResponse(pieces, content_type=content_type)
    response["Content-Length"] = str(file.size)
    response["Content-Security-Policy"] = POLICY
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store, private"
    return response


class Pieces:
    """A file in pieces. The response closes it, also when nobody asked for a piece (HEAD)."""

    def __init__(self, file: File) -> None:
        self._file = file
        self.close = file.close

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        piece: bytes = self._file.read(CHUNK)
        if not piece:
            raise StopIteration
        return piece


class AsyncPieces:
    """The same for ASGI."""

    def __init__(self, file: File) -> None:
        self._file = file
        self.close = file.close

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece: bytes = await sync_to_async(self._file.read)(CHUNK)
        if not piece:
            raise StopAsyncIteration
        return piece
