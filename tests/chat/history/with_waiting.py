"""A control: a socket server whose batches wait for a row that somebody else holds."""

from __future__ import annotations

from typing import Any

from tests.chat.history.broken import serve


def wait() -> None:
    from chat import log

    append = log.append

    def append_and_wait(acts: Any, *, now: Any, wait: bool = True) -> Any:
        return append(acts, now=now, wait=True)

    log.append = append_and_wait


if __name__ == "__main__":
    serve(wait)
