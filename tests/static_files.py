"""The hashed static files of production mode, which every test process of this checkout shares."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = ROOT / "staticfiles" / "staticfiles.json"


def collect_once(collect: Callable[[], object]) -> None:
    """Calls ``collect`` unless what it collected last is newer than every source.

    Collecting takes files away and writes them anew, under the eyes of other test processes that
    serve them; so it is done once, and one at a time.
    """
    with _alone():
        if not _is_current():
            collect()


@contextmanager
def _alone() -> Iterator[None]:
    (ROOT / "var").mkdir(exist_ok=True)
    with (ROOT / "var" / "collectstatic.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_current() -> bool:
    if not MANIFEST.exists():
        return False
    sources = [path for path in (ROOT / "static").rglob("*") if path.is_file()]
    return max(path.stat().st_mtime for path in sources) < MANIFEST.stat().st_mtime
