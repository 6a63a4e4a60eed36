"""How a file is taken in and kept, whatever it belongs to.

Guarantee: bytes come after their row and go after it. The app makes its row first, under a lock
where it counts the day's files (`refuse_full_day`); then the bytes are stored (`keep_bytes`); and
only then does anybody learn of the file. Whatever was interrupted in between has a row that the app
knows as unfinished, and the app's regular job removes both; what a store outside the database still
has when its row is gone is removed by `clinic.uploads.orphans`.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core.cache import cache
from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage, storages
from django.core.files.uploadedfile import UploadedFile
from django.db import DatabaseError
from django.db.models import Count, QuerySet, Sum
from django.utils.translation import gettext as _

from clinic.outage import StoreAway
from clinic.uploads.checking import Checked, check, refuse_size
from clinic.uploads.refusals import UploadRefused
from clinic.uploads.storage import DatabaseStorage

DAY = timedelta(days=1)
KEEP_UNFINISHED = timedelta(days=1)
REMOVED_AT_ONCE = 500
MINUTE = 60


@dataclass(frozen=True)
class Place:
    """Where the bytes of a file and of its small picture are; "" for none."""

    stored_as: str
    thumbnail_as: str = ""


def uploads() -> Storage:
    return storages["uploads"]


def take(upload: UploadedFile, *, user: int, now: datetime) -> Checked:
    """The uploaded file as it may be kept; ``user`` is the key of who sent it.

    Raises `UploadRefused` with a sentence: empty, too large, not what may be sent, or too many at
    once.
    """
    refuse_size(upload.size or 0, limit=settings.UPLOAD_MAX_BYTES)
    _count(user, now)
    return check(upload.name or "", upload.read(), limit=settings.UPLOAD_MAX_BYTES)


def _count(user: int, now: datetime) -> None:
    """Looking at a file costs work also when it is refused, so attempts are counted as well."""
    key = f"limit:uploads:{user}:{int(now.timestamp()) // MINUTE}"
    cache.add(key, 0, timeout=2 * MINUTE)
    try:
        number = cache.incr(key)
    except ValueError:  # gone between the two calls
        return
    if number > settings.UPLOADS_PER_MINUTE:
        raise UploadRefused(
            _("You are sending files too fast. Wait a minute, then send this one again."),
            status=429,
        )


def refuse_full_day(sent: QuerySet, *, size: int) -> None:
    """Refuses a file of ``size`` bytes when the day is full.

    ``sent``: rows of the day's files by the same person, with a column ``size``; the caller holds
    a lock on that person.
    """
    today = sent.aggregate(files=Count("pk"), bytes=Sum("size"))
    total = (today["bytes"] or 0) + size
    if today["files"] >= settings.UPLOADS_PER_DAY or total > settings.UPLOAD_BYTES_PER_DAY:
        raise UploadRefused(
            _("You have sent as many files as fit into one day. Go on tomorrow, or call the "
              "clinic."),
            status=429,
        )  # fmt: skip


def place_for(file: Checked) -> Place:
    return Place(random_name(), random_name() if file.thumbnail else "")


def random_name() -> str:
    """Says nothing about the file, and no two are alike; the folder keeps listings short."""
    token = secrets.token_hex(20)
    return f"{token[:2]}/{token}"


def keep_bytes(place: Place, file: Checked, *, undo: Callable[[bool], object]) -> None:
    """Stores the bytes of a file whose row is there; ``undo`` removes the row when that fails.

    It is told whether to remove bytes as well: a store that did not answer is not asked once more
    while somebody waits, and what it may have kept is removed as an orphan.
    """
    try:
        uploads().save(place.stored_as, ContentFile(file.data))
        if file.thumbnail:
            uploads().save(place.thumbnail_as, ContentFile(file.thumbnail))
    except BaseException as error:
        # What this cannot undo, because the database is away, goes with the row after a day.
        with contextlib.suppress(DatabaseError, OSError):
            undo(not isinstance(error, StoreAway))
        raise


@contextlib.contextmanager
def refused_when_away() -> Iterator[None]:
    """Around `keep_bytes` where a person waits: a store that is away is a sentence for them."""
    try:
        yield
    except StoreAway as error:
        raise UploadRefused(
            _("We cannot take files just now. Nothing was stored. Send it again in a few minutes."),
            status=503,
        ) from error


def remove_bytes(place: Place, *, committed: bool) -> None:
    """Called twice: in the transaction that removes the row, and once more after its COMMIT.

    Bytes in the database go with the row. Elsewhere they go when nothing can bring the row back.
    """
    stores = [] if isinstance(uploads(), DatabaseStorage) or not committed else [uploads()]
    if not committed:
        stores = [DatabaseStorage()]  # also what was kept before STORAGE_URL was set
    for store in stores:
        for name in filter(None, (place.stored_as, place.thumbnail_as)):
            store.delete(name)


def open_bytes(place: Place, *, thumbnail: bool = False) -> File:
    """The file, or the small picture of it, opened for reading; read it by ``chunks()``.

    Raises FileNotFoundError when there is none, `StoreAway` when it cannot be had just now.
    """
    name = place.thumbnail_as if thumbnail else place.stored_as
    if not name:
        raise FileNotFoundError("no thumbnail")
    try:
        return uploads().open(name, "rb")
    except FileNotFoundError:
        if isinstance(uploads(), DatabaseStorage):
            raise
        return DatabaseStorage().open(name, "rb")  # from before STORAGE_URL was set
