"""A control: a socket server with one transaction at a time, which waits for a locked row."""

from __future__ import annotations

from typing import Any

from tests.chat.history.broken import serve


def wait() -> None:
    from chat import hub, log
    from chat.committer import Committer

    append = log.append

    def append_and_wait(acts: Any, *, now: Any, wait: bool = True) -> Any:
        return append(acts, now=now, wait=True)

    class OneAtATime(Committer):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "batches": 1})

    log.append = append_and_wait
    hub.Committer = OneAtATime  # type: ignore[attr-defined]


if __name__ == "__main__":
    serve(wait)
