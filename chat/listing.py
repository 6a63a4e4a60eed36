"""The list of somebody's conversations: with whom, the last words, when, and what is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import OuterRef, Q, Subquery
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from accounts.models import Patient, User
from appointments.visit_words import own_zone
from appointments.zones import local, time_words
from chat.folding import SHOWN, Line, fold
from chat.models import Conversation, Event
from chat.unread import with_unread

PREVIEW = 90  # characters
MANY = 99


@dataclass(frozen=True)
class Row:
    """A conversation as its reader finds it in the list."""

    conversation: Any  # annotated by `conversations_at`
    name: str
    about: str
    preview: str
    when: str
    unread: str
    is_new: bool


def conversations_at(keys: Sequence[int], user: User) -> list[Any]:
    """The conversations with these keys, in their order, with what a `Row` needs."""
    last = (
        Event.objects.filter(conversation=OuterRef("pk"), kind__in=SHOWN)
        .order_by("-seq")
        .values("seq")[:1]
    )
    found = (
        with_unread(Conversation.objects.filter(pk__in=keys), user)
        .annotate(last_shown=Subquery(last))
        .select_related("patient", "doctor", "hospital")
    )
    by_key = {one.pk: one for one in found}
    return [by_key[key] for key in keys if key in by_key]


def rows_of(conversations: Sequence[Any], user: User, now: datetime) -> list[Row]:
    """Rows of ``conversations``, as `conversations_at` loads them."""
    charts = dict(Patient.objects.messages_of(user, now).current().values_list("pk", "account_id"))
    lines = _last_lines(conversations)
    return [
        Row(
            conversation=one,
            name=other_side(one, is_patient_side=one.patient_id in charts),
            about=about(one, user, charts),
            preview=_preview(lines.get((one.pk, one.last_shown or 0)), user),
            when=_when(one.last_event_at, own_zone(user) or one.hospital.time_zone, now),
            unread=unread_words(one.unread),
            is_new=one.unread > 0,
        )
        for one in conversations
    ]


def other_side(conversation: Conversation, *, is_patient_side: bool) -> str:
    """Whom the reader talks to."""
    if not is_patient_side:
        return conversation.patient.name
    if conversation.doctor is not None:
        return conversation.doctor.display_name
    return conversation.hospital.name


def about(conversation: Conversation, user: User, charts: Mapping[int, int | None]) -> str:
    """For whom, where that does not go without saying: somebody's child, a colleague's patient."""
    if conversation.patient_id in charts:
        own = charts[conversation.patient_id] == user.pk
        return "" if own else _("for %(name)s") % {"name": conversation.patient.name}
    doctor = conversation.doctor
    if doctor is not None and doctor.user_id != user.pk:
        return _("patient of %(doctor)s") % {"doctor": doctor.display_name}
    return ""


def unread_words(number: int) -> str:
    if number > MANY:
        return _("more than %(many)d new") % {"many": MANY}
    return ngettext("%(number)d new", "%(number)d new", number) % {"number": number}


def _last_lines(conversations: Sequence[Any]) -> dict[tuple[int, int], Line]:
    which = Q()
    for one in conversations:
        if one.last_shown:
            which |= Q(conversation=one.pk, seq=one.last_shown)
    if not which:
        return {}
    return fold(list(Event.objects.filter(which).select_related("attachment")))


def _preview(line: Line | None, user: User) -> str:
    if line is None:
        return _("No messages yet")
    words = " ".join(line.body.split())
    if line.deleted:
        words = _("Message deleted")
    elif not words and line.attachment:
        words = _("File: %(name)s") % {"name": line.attachment["name"]}
    if line.sender_id == user.pk:
        words = _("You: %(words)s") % {"words": words}
    return words if len(words) <= PREVIEW else words[: PREVIEW - 1].rstrip() + "…"


def _when(moment: datetime, zone: str, now: datetime) -> str:
    day, today = local(moment, zone).date(), local(now, zone).date()
    if day == today:
        return time_words(moment, zone)
    if day == today - timedelta(days=1):
        return _("Yesterday")
    if day.year == today.year:
        return date_format(day, pgettext("day of this year", "M j"))
    return date_format(day, pgettext("day of another year", "M j, Y"))
