"""Files in conversations: taken in, read, and removed when no message took them.

Guarantee: bytes never exist without their row. The row is made first, under the lock of the
uploader's own row, where the day's limits are counted; then the bytes are stored; and only then
does anybody learn the id. Whatever was interrupted in between has a row that no message took, and
goes with it after a day.
"""

from __future__ import annotations

import contextlib
import secrets
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.core.cache import cache
from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage, storages
from django.core.files.uploadedfile import UploadedFile
from django.db import DatabaseError
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from appointments.transactions import in_one_transaction
from chat.frames import BAD_FRAME, CLOSED, TOO_FAST, TOO_LONG
from chat.models import Attachment, Conversation, Event, Kind
from clinic.logs import type_name
from clinic.uploads.checking import Checked, check, refuse_size
from clinic.uploads.refusals import UploadRefused

__all__ = [
    "UploadRefused",
    "code_of",
    "open_bytes",
    "remove_unsent",
    "store",
    "visible_attachments",
]

KEEP_UNSENT = timedelta(days=1)
DAY = timedelta(days=1)
MINUTE = 60
REMOVED_AT_ONCE = 500

CODES = {409: CLOSED, 413: TOO_LONG, 429: TOO_FAST}

log = structlog.get_logger("chat.attachments")


def code_of(refusal: UploadRefused) -> str:
    """The error code of the protocol."""
    return CODES.get(refusal.status, BAD_FRAME)


def uploads() -> Storage:
    return storages["uploads"]


def store(
    *, conversation: Conversation, by: User, upload: UploadedFile, now: datetime
) -> Attachment:
    """Takes in a file that ``by`` may send in ``conversation``, a conversation of theirs.

    Raises `UploadRefused` with a sentence: closed, empty, too large, not what may be sent, or too
    many on one day.
    """
    if conversation.is_closed:
        raise UploadRefused(
            _("This conversation is closed. Start it again to send a file."), status=409
        )
    refuse_size(upload.size or 0, limit=settings.UPLOAD_MAX_BYTES)
    _count(by, now)
    file = check(upload.name or "", upload.read(), limit=settings.UPLOAD_MAX_BYTES)
    attachment = _reserve(_row(conversation, by, file, now), by, now)
    try:
        uploads().save(attachment.stored_as, ContentFile(file.data))
        if file.thumbnail:
            uploads().save(attachment.thumbnail_as, ContentFile(file.thumbnail))
    except BaseException:
        # What this cannot undo, because the database is away, goes with the row after a day.
        with contextlib.suppress(DatabaseError, OSError):
            _remove(attachment.pk)
        raise
    return attachment


def _row(conversation: Conversation, by: User, file: Checked, now: datetime) -> Attachment:
    return Attachment(
        conversation=conversation,
        uploaded_by=by,
        name=file.name,
        content_type=file.content_type,
        size=len(file.data),
        width=file.width,
        height=file.height,
        stored_as=_random_name(),
        thumbnail_as=_random_name() if file.thumbnail else "",
        created_at=now,
    )


def _random_name() -> str:
    """Says nothing about the file, and no two are alike; the folder keeps listings short."""
    token = secrets.token_hex(20)
    return f"{token[:2]}/{token}"


def _reserve(attachment: Attachment, by: User, now: datetime) -> Attachment:
    """Stores the row if the uploader's day has room for it."""

    def work() -> Attachment:
        User.objects.select_for_update().values_list("pk", flat=True).get(pk=by.pk)
        # A COMMIT whose answer was lost is repeated: the row is there already.
        known = Attachment.objects.filter(public_id=attachment.public_id).first()
        if known is not None:
            return known
        today = Attachment.objects.filter(uploaded_by=by, created_at__gt=now - DAY).aggregate(
            files=Count("pk"), bytes=Sum("size")
        )
        size = (today["bytes"] or 0) + attachment.size
        if today["files"] >= settings.UPLOADS_PER_DAY or size > settings.UPLOAD_BYTES_PER_DAY:
            raise UploadRefused(
                _("You have sent as many files as fit into one day. Go on tomorrow, or call the "
                  "clinic."),
                status=429,
            )  # fmt: skip
        attachment.pk = None
        attachment.save(force_insert=True)
        return attachment

    return in_one_transaction(work)


def _count(user: User, now: datetime) -> None:
    """Looking at a file costs work also when it is refused, so attempts are counted as well."""
    key = f"limit:uploads:{user.pk}:{int(now.timestamp()) // MINUTE}"
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


def visible_attachments(user: User, now: datetime | None = None) -> QuerySet[Attachment]:
    """Files ``user`` may open: sent in their conversations, or uploaded there by themselves.

    A file goes with its message: once that is deleted, only the record has it.
    """
    conversations = Conversation.objects.visible_to(user, now).values("pk")
    deleted = Event.objects.filter(
        conversation=OuterRef("conversation"), target=OuterRef("sent_seq"), kind=Kind.DELETED
    )
    return Attachment.objects.filter(
        Q(sent_seq__isnull=False) | Q(uploaded_by=user),
        ~Exists(deleted),
        conversation__in=conversations,
    )


def open_bytes(attachment: Attachment, *, thumbnail: bool = False) -> File:
    """The file, or the small picture of it, opened for reading; read it by ``chunks()``.

    Raises FileNotFoundError when there is none.
    """
    name = attachment.thumbnail_as if thumbnail else attachment.stored_as
    if not name:
        raise FileNotFoundError("no thumbnail")
    return uploads().open(name, "rb")


def remove_unsent(*, now: datetime | None = None) -> int:
    """Removes files that no message took within a day; returns how many."""
    before = (now or timezone.now()) - KEEP_UNSENT
    old = Attachment.objects.filter(sent_seq=None, created_at__lt=before)
    removed = 0
    for pk in list(old.order_by("created_at").values_list("pk", flat=True)[:REMOVED_AT_ONCE]):
        try:
            removed += _remove(pk)
        except (DatabaseError, OSError) as error:
            # The others go on; this one is tried again by the next run.
            log.warning("upload_not_removed", error=type_name(error))
    return removed


def _remove(pk: int) -> bool:
    """Removes a file and its row unless a message took it meanwhile."""

    def work() -> bool:
        # A message that is just taking the file waits for this lock, then finds no file; or it was
        # first, and this waits and finds the file sent.
        found = Attachment.objects.select_for_update().filter(pk=pk, sent_seq=None).first()
        if found is None:
            return False
        for name in filter(None, (found.stored_as, found.thumbnail_as)):
            uploads().delete(name)
        found.delete()
        return True

    return in_one_transaction(work)
