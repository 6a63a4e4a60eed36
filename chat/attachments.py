"""Files in conversations: taken in, read, and removed when no message took them.

`clinic.uploads.keeping` says how a file is kept; here is to whom it belongs. Whatever was
interrupted, or not sent, has a row that no message took, and goes with it after a day.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from django.core.files.base import File
from django.core.files.uploadedfile import UploadedFile
from django.db import DatabaseError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from appointments.transactions import in_one_transaction
from chat.frames import BAD_FRAME, CLOSED, TOO_FAST, TOO_LONG, UNAVAILABLE
from chat.models import Attachment, Conversation, Event, Kind
from clinic.logs import type_name
from clinic.uploads import keeping
from clinic.uploads.checking import Checked
from clinic.uploads.refusals import UploadRefused

__all__ = [
    "UploadRefused",
    "code_of",
    "open_bytes",
    "remove_unsent",
    "store",
    "visible_attachments",
]

CODES = {409: CLOSED, 413: TOO_LONG, 429: TOO_FAST, 503: UNAVAILABLE}

log = structlog.get_logger("chat.attachments")


def code_of(refusal: UploadRefused) -> str:
    """The error code of the protocol."""
    return CODES.get(refusal.status, BAD_FRAME)


def store(
    *, conversation: Conversation, by: User, upload: UploadedFile, now: datetime
) -> Attachment:
    """Takes in a file that ``by`` may send in ``conversation``, a conversation of theirs.

    Raises `UploadRefused` with a sentence: closed, empty, too large, not what may be sent, too many
    on one day, or nowhere to keep it just now.
    """
    if conversation.is_closed:
        raise UploadRefused(
            _("This conversation is closed. Start it again to send a file."), status=409
        )
    file = keeping.take(upload, user=by.pk, now=now)
    attachment = _reserve(_row(conversation, by, file, now), by, now)
    with keeping.refused_when_away():
        keeping.keep_bytes(
            _place(attachment),
            file,
            undo=lambda bytes_too: _remove(attachment.pk, bytes_too=bytes_too),
        )
    return attachment


def _row(conversation: Conversation, by: User, file: Checked, now: datetime) -> Attachment:
    place = keeping.place_for(file)
    return Attachment(
        conversation=conversation,
        uploaded_by=by,
        name=file.name,
        content_type=file.content_type,
        size=len(file.data),
        width=file.width,
        height=file.height,
        stored_as=place.stored_as,
        thumbnail_as=place.thumbnail_as,
        created_at=now,
    )


def _place(attachment: Attachment) -> keeping.Place:
    return keeping.Place(attachment.stored_as, attachment.thumbnail_as)


def _reserve(attachment: Attachment, by: User, now: datetime) -> Attachment:
    """Stores the row if the uploader's day has room for it."""

    def work() -> Attachment:
        User.objects.select_for_update().values_list("pk", flat=True).get(pk=by.pk)
        # A COMMIT whose answer was lost is repeated: the row is there already.
        known = Attachment.objects.filter(public_id=attachment.public_id).first()
        if known is not None:
            return known
        sent = Attachment.objects.filter(uploaded_by=by, created_at__gt=now - keeping.DAY)
        keeping.refuse_full_day(sent, size=attachment.size)
        attachment.pk = None
        attachment.save(force_insert=True)
        return attachment

    return in_one_transaction(work)


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
    return keeping.open_bytes(_place(attachment), thumbnail=thumbnail)


def remove_unsent(*, now: datetime | None = None) -> int:
    """Removes files that no message took within a day; returns how many."""
    before = (now or timezone.now()) - keeping.KEEP_UNFINISHED
    old = Attachment.objects.filter(sent_seq=None, created_at__lt=before)
    removed = 0
    for pk in list(
        old.order_by("created_at").values_list("pk", flat=True)[: keeping.REMOVED_AT_ONCE]
    ):
        try:
            removed += _remove(pk)
        except (DatabaseError, OSError) as error:
            # The others go on; this one is tried again by the next run.
            log.warning("upload_not_removed", error=type_name(error))
    return removed


def _remove(pk: int, *, bytes_too: bool = True) -> bool:
    """Removes a file and its row unless a message took it meanwhile."""

    def work() -> keeping.Place | None:
        # A message that is just taking the file waits for this lock, then finds no file; or it was
        # first, and this waits and finds the file sent.
        found = Attachment.objects.select_for_update().filter(pk=pk, sent_seq=None).first()
        if found is None:
            return None
        keeping.remove_bytes(_place(found), committed=False)
        found.delete()
        return _place(found)

    place = in_one_transaction(work)
    if place is not None and bytes_too:
        keeping.remove_bytes(place, committed=True)
    return place is not None
