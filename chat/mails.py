"""Mails about messages nobody has read for a while: that there is one, never what or from whom.

A burst of messages is one mail: the next one comes for messages that arrive after its reader was
back in the conversation. Reception gets none; it has the page of questions that wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import User
from appointments.mails import language_of
from chat.access import Part, members_of
from chat.models import Conversation, Event, Kind, Participant
from clinic.jobs.outbox import enqueue_mail
from clinic.links import absolute

LOOK_BACK = timedelta(days=2)  # who was not told by then was told by nobody for two days
AT_ONCE = 200  # conversations


def mail_about_unread(*, now: datetime) -> int:
    """Regular job: tells people about messages unread for `CHAT_MAIL_AFTER_MINUTES`; how many."""
    recent = Conversation.objects.filter(last_event_at__gt=now - LOOK_BACK).order_by("pk")
    ids = list(recent.values_list("pk", flat=True))
    return sum(
        _tell(ids[start : start + AT_ONCE], now=now) for start in range(0, len(ids), AT_ONCE)
    )


def _tell(conversations: list[int], *, now: datetime) -> int:
    members = members_of(conversations, now)
    rows = Participant.objects.filter(conversation__in=conversations)
    marks = {(row.conversation_id, row.user_id): (row.read_seq, row.mailed_seq) for row in rows}
    messages = _old_messages(conversations, now)
    told = 0
    for conversation, found in messages.items():
        for member in members[conversation].values():
            if member.part == Part.RECEPTION:
                continue
            read, mailed = marks.get((conversation, member.user_id), (0, 0))
            new = [seq for seq, sender in found if seq > read and sender != member.user_id]
            if new and mailed <= read:
                told += _mail(conversation, member.user_id, max(new), now=now)
    return told


def _old_messages(conversations: Iterable[int], now: datetime) -> dict[int, list[tuple[int, int]]]:
    """(seq, sender) of the messages old enough to be mailed about and not deleted since."""
    deleted = Event.objects.filter(
        conversation=OuterRef("conversation"), target=OuterRef("seq"), kind=Kind.DELETED
    )
    rows = (
        Event.objects.filter(
            conversation__in=list(conversations),
            kind=Kind.MESSAGE,
            at__gt=now - LOOK_BACK,
            at__lte=now - timedelta(minutes=settings.CHAT_MAIL_AFTER_MINUTES),
        )
        .exclude(Exists(deleted))
        .values_list("conversation_id", "seq", "sender_id")
    )
    found: dict[int, list[tuple[int, int]]] = {}
    for conversation, seq, sender in rows:
        found.setdefault(conversation, []).append((seq, sender or 0))
    return found


def _mail(conversation: int, user: int, seq: int, *, now: datetime) -> bool:
    """One mail to ``user``, unless they have been told or have read meanwhile."""
    with transaction.atomic():
        row, _made = Participant.objects.get_or_create(conversation_id=conversation, user_id=user)
        row = Participant.objects.select_for_update().get(pk=row.pk)
        if row.mailed_seq > row.read_seq or row.read_seq >= seq:
            return False
        row.mailed_seq = seq
        row.save(update_fields=["mailed_seq"])
        account = User.objects.get(pk=user)
        public_id = Conversation.objects.values_list("public_id", flat=True).get(pk=conversation)
        with translation.override(language_of(account)):
            facts = {
                "clinic_name": settings.CLINIC_NAME,
                "emergency_number": settings.EMERGENCY_NUMBER,
                "language_code": translation.get_language(),
                "link": absolute(reverse("conversation", args=[public_id])),
            }
            enqueue_mail(
                to=account.email,
                subject=_("You have a new message at %(clinic)s")
                % {"clinic": settings.CLINIC_NAME},
                text=render_to_string("chat/mail/unread.txt", facts).strip() + "\n",
                html=render_to_string("chat/mail/unread.html", facts),
                key=f"unread:{public_id}:{account.public_id}:{seq}",
                now=now,
            )
    return True
