"""When messages are answered: office hours, a doctor's absence, and what is said about both.

Office hours are the doctor's opening hours; a hospital's reception is there while any doctor is.
A patient who writes outside them gets one automatic answer a day, with the emergency number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from accounts.audit import record
from accounts.models import User
from appointments.templatetags.times import long_date, short_date, when_at
from appointments.zones import local, zone_info
from chat.log import Entry, notice
from chat.membership import let_cover
from chat.models import ChatSettings, Conversation, Kind
from clinic.directory.holidays import closed_days
from clinic.directory.models import Doctor, OpeningHours, ReplyTime, TimeOff

DAYS_AHEAD = 15  # how far the next opening is looked for
LOOK_AGAIN_AFTER = timedelta(minutes=1)
REMEMBERED = 20_000  # conversations


@dataclass(frozen=True)
class Office:
    """Whether somebody is there now. ``opens_at`` is None while it is open or nobody knows."""

    is_open: bool
    opens_at: datetime | None = None


@dataclass(frozen=True)
class Absence:
    """A doctor who is away until (not including) ``back_on``; ``cover`` answers meanwhile."""

    doctor: Doctor
    back_on: date | None
    cover: Doctor | None


def office_at(conversation: Conversation, now: datetime) -> Office:
    """Whether the doctor, or any doctor of the hospital for its reception, has hours now.

    Without known hours the office counts as open: nobody is told that it is closed.
    """
    zone = conversation.hospital.time_zone
    today = local(now, zone).date()
    until = today + timedelta(days=DAYS_AHEAD)
    lines = list(
        _lines(conversation)
        .filter(Q(valid_until=None) | Q(valid_until__gt=today), valid_from__lt=until)
        .select_related("hospital")
    )
    if not lines:
        return Office(is_open=True)
    hospitals = {line.hospital_id: line.hospital for line in lines}
    closed = closed_days(hospitals.values(), today - timedelta(days=1), until)
    away = (
        list(
            TimeOff.objects.filter(
                doctor=conversation.doctor_id,
                ends_at__gt=now,
                starts_at__lt=now + timedelta(days=DAYS_AHEAD),
            ).values_list("starts_at", "ends_at")
        )
        if conversation.doctor_id
        else []
    )
    opens_at: datetime | None = None
    for line in lines:
        for number in range(-1, DAYS_AHEAD):
            day = today + timedelta(days=number)
            if not _holds_on(line, day) or day in closed.get(line.hospital_id, ()):
                continue
            starts, ends = _moments(line, day)
            for free_from, free_until in _without(starts, ends, away):
                if free_from <= now < free_until:
                    return Office(is_open=True)
                if free_from > now and (opens_at is None or free_from < opens_at):
                    opens_at = free_from
    return Office(is_open=False, opens_at=opens_at)


def _lines(conversation: Conversation) -> QuerySet[OpeningHours]:
    answering = conversation.handed_to_id or conversation.doctor_id
    if answering:
        return OpeningHours.objects.filter(doctor=answering)
    return OpeningHours.objects.filter(
        hospital=conversation.hospital_id,
        doctor__verified_at__isnull=False,
        doctor__withdrawn_at__isnull=True,
    )


def _holds_on(line: OpeningHours, day: date) -> bool:
    return (
        line.weekday == day.weekday()
        and line.valid_from <= day
        and (line.valid_until is None or day < line.valid_until)
    )


def _moments(line: OpeningHours, day: date) -> tuple[datetime, datetime]:
    zone = zone_info(line.hospital.time_zone or "UTC")
    last = day + timedelta(days=1) if line.closes == time(0) else day
    return datetime.combine(day, line.opens, zone), datetime.combine(last, line.closes, zone)


def _without(
    starts: datetime, ends: datetime, away: Sequence[tuple[datetime, datetime]]
) -> list[tuple[datetime, datetime]]:
    parts = [(starts, ends)]
    for off_from, off_until in away:
        parts = [
            piece
            for first, last in parts
            for piece in ((first, min(last, off_from)), (max(first, off_until), last))
            if piece[0] < piece[1]
        ]
    return parts


def absence_of(conversation: Conversation, now: datetime) -> Absence | None:
    """The absence that the answering doctor has entered, if it is running."""
    return _absence(conversation, _choices_of(conversation), now)


def _choices_of(conversation: Conversation) -> ChatSettings | None:
    """What the answering doctor has decided about messages."""
    doctor = conversation.handed_to or conversation.doctor
    if doctor is None or doctor.user_id is None:
        return None
    return ChatSettings.objects.select_related("cover__user").filter(user=doctor.user_id).first()


def _absence(
    conversation: Conversation, chosen: ChatSettings | None, now: datetime
) -> Absence | None:
    doctor = conversation.handed_to or conversation.doctor
    today = local(now, conversation.hospital.time_zone).date()
    if (
        doctor is None
        or chosen is None
        or chosen.away_from is None
        or today < chosen.away_from
        or (chosen.away_until is not None and chosen.away_until <= today)
    ):
        return None
    return Absence(doctor, chosen.away_until, chosen.cover)


def reply_words(conversation: Conversation, now: datetime) -> str:
    """When an answer can be expected, in a sentence or two."""
    chosen = _choices_of(conversation)
    absence = _absence(conversation, chosen, now)
    if absence is not None:
        return _absence_words(absence)
    office = office_at(conversation, now)
    usual = _usual_words(conversation, chosen)
    if office.is_open or office.opens_at is None:
        return usual
    zone = conversation.hospital.time_zone
    opens = _short_when(office.opens_at, zone)
    return _("Closed now, open again %(when)s. %(usual)s") % {"when": opens, "usual": usual}


def _usual_words(conversation: Conversation, chosen: ChatSettings | None) -> str:
    """The doctor's own promise, or else the hospital's."""
    own = chosen.reply_days if chosen else None
    days = ReplyTime(conversation.hospital.reply_days if own is None else own)
    if days == ReplyTime.SAME_DAY:
        return _("We aim to answer on the same working day.")
    return _("We aim to answer within %(days)s.") % {"days": days.label}


def _short_when(moment: datetime, zone: str) -> str:
    """``"Mon, Nov 23, 9:00 am EST"``."""
    full = when_at(moment, zone)
    day = local(moment, zone).date()
    return full.replace(long_date(day), short_date(day))


def _absence_words(absence: Absence) -> str:
    words = {
        "doctor": absence.doctor.display_name,
        "day": long_date(absence.back_on) if absence.back_on else "",
        "cover": absence.cover.display_name if absence.cover else "",
    }
    sentence = (
        _("%(doctor)s is away and back on %(day)s.")
        if absence.back_on
        else _("%(doctor)s is away.")
    )
    if absence.cover:
        sentence += " " + _("%(cover)s covers.")
    return sentence % words


# --- The automatic answer -------------------------------------------------------------------


class _LookedAt:
    """When this process last asked whether a conversation needs the answer: a busy conversation
    is asked about once a minute and not once a message."""

    def __init__(self) -> None:
        self._until: dict[int, datetime] = {}

    def forget(self) -> None:
        self._until.clear()

    def due(self, conversation: int, now: datetime) -> bool:
        until = self._until.get(conversation)
        # A clock that was set back must not silence a conversation.
        if until is not None and now < until <= now + LOOK_AGAIN_AFTER:
            return False
        if len(self._until) >= REMEMBERED:
            self._until.clear()
        self._until[conversation] = now + LOOK_AGAIN_AFTER
        return True


looked_at = _LookedAt()


def to_look_at(entries: Iterable[Entry], *, now: datetime) -> set[int]:
    """Conversations in which ``entries`` (just committed) may call for an automatic answer. It
    asks no database, so it can be called for every message."""
    return {
        entry.conversation_id
        for entry in entries
        if entry.is_new
        and entry.kind == Kind.MESSAGE
        and not entry.by_clinic
        and looked_at.due(entry.conversation_id, now)
    }


def answers_when_closed(conversations: Iterable[int], *, now: datetime) -> list[Entry]:
    """The automatic answers that these conversations need, committed; publish them.

    A conversation gets one on a day on which the patient waits, and the office is closed or the
    doctor is away.
    """
    wanted = set(conversations)
    if not wanted:
        return []
    waiting = Conversation.objects.filter(
        pk__in=wanted, waiting_since__isnull=False, closed_at=None
    ).select_related("hospital", "doctor__user", "handed_to__user")
    found: list[Entry] = []
    for conversation in waiting:
        if not _answered_today(conversation, now):
            found += _answer(conversation, now)
    return found


def _answered_today(conversation: Conversation, now: datetime) -> bool:
    zone = conversation.hospital.time_zone
    last = conversation.away_answer_at
    return last is not None and local(last, zone).date() >= local(now, zone).date()


def _answer(conversation: Conversation, now: datetime) -> list[Entry]:
    absence = absence_of(conversation, now)
    office = office_at(conversation, now)
    if absence is None and office.is_open:
        return []
    words = _answer_words(conversation, absence, office)
    with transaction.atomic():
        row = Conversation.objects.select_for_update().get(pk=conversation.pk)
        if row.is_closed or row.waiting_since is None or _answered_today(row, now):
            return []
        Conversation.objects.filter(pk=row.pk).update(away_answer_at=now)
        entries = [notice(row, words, now=now)]
        cover = absence.cover if absence is not None else None
        # The conversation's own doctor, who has handed it over, takes part already.
        if cover is not None and cover.pk != row.doctor_id and can_cover(cover):
            row.refresh_from_db()
            entry = let_cover(row, cover, now)
            entries += [entry] if entry else []
    return entries


def can_cover(doctor: Doctor) -> bool:
    return bool(doctor.is_public and doctor.user and doctor.user.is_active)


def _answer_words(conversation: Conversation, absence: Absence | None, office: Office) -> str:
    if absence is not None:
        opening = _absence_words(absence)
    elif office.opens_at is not None:
        opening = _("We are closed now and open again %(when)s.") % {
            "when": when_at(office.opens_at, conversation.hospital.time_zone)
        }
    else:
        opening = _("We are closed now.")
    urgent = _("If you think it is urgent, do not wait for an answer here: call %(number)s.") % {
        "number": settings.EMERGENCY_NUMBER
    }
    return " ".join([_("Automatic answer:"), opening, urgent])


# --- Questions that wait, and a doctor's own choices ----------------------------------------


def waiting_too_long(user: Any, now: datetime) -> QuerySet[Conversation]:
    """Unanswered questions at the hospitals of a receptionist, the oldest first."""
    limit = now - timedelta(hours=settings.CHAT_WAITS_TOO_LONG_HOURS)
    return (
        Conversation.objects.filter(
            hospital__staff__user=user, waiting_since__lte=limit, closed_at=None
        )
        .select_related("patient", "doctor", "hospital")
        .order_by("waiting_since", "pk")
    )


def set_chat_settings(
    *,
    user: User,
    show_seen: bool,
    reply_days: int | None,
    away_from: date | None,
    away_until: date | None,
    cover: Doctor | None,
    now: datetime,
) -> None:
    """Stores whether "Seen" is shown, in how many working days patients can expect an answer (None:
    as the hospital says), when the doctor is away, and who covers."""
    with transaction.atomic():
        ChatSettings.objects.update_or_create(
            user=user,
            defaults={
                "show_seen": show_seen,
                "reply_days": reply_days,
                "away_from": away_from,
                "away_until": away_until,
                "cover": cover,
            },
        )
        record("chat.settings", actor=user, subject=user, now=now)
