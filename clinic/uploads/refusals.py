"""Why an upload is not taken, in a sentence for people."""

from __future__ import annotations


class UploadRefused(Exception):
    """``message`` says what to do instead, ``status`` is what an edge answers."""

    def __init__(self, message: str, *, status: int = 422) -> None:
        super().__init__(message)
        self.message, self.status = message, status
