"""One conversation as its page shows it: lines by day and sender, with states in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts.models import User
from appointments.templatetags.times import long_date
from appointments.visit_words import own_zone
from appointments.zones import local, time_words, zone_words
from chat.access import Member, Part, members_of
from chat.folding import Line, lines_at, lines_before
from chat.log import EDIT_WITHIN, iso
from chat.models import ChatSettings, Conversation, Participant

PAGE = 50  # messages and notices
GROUP = timedelta(minutes=10)  # messages of one person within it stand as one group


@dataclass(frozen=True)
class Marks:
    """How far the other side has got, as far as the reader may know."""

    read: int = 0
    read_at: datetime | None = None
    read_by: str = ""
    delivered: int = 0


@dataclass(frozen=True)
class Shown:
    """A line as it stands on the page."""

    line: Line
    time: str
    day: date
    day_words: str  # above the line where a day begins, else empty
    follows: bool  # the same sender as the line above, on the same day, soon after it
    own: bool
    state: str
    quote: Line | None
    quote_who: str
    may_edit: bool
    may_delete: bool
    may_reply: bool

    @property
    def at(self) -> str:
        return iso(self.line.at)


@dataclass(frozen=True)
class Thread:
    """A part of a conversation for one reader, and who takes part."""

    conversation: Conversation
    me: Member
    members: dict[int, Member]
    marks: Marks
    read_seq: int
    zone: str
    zone_words: str
    shown: list[Shown]
    has_earlier: bool
    has_later: bool  # the page shows an earlier part

    @property
    def first_seq(self) -> int:
        return self.shown[0].line.seq if self.shown else 0

    @property
    def is_patient_side(self) -> bool:
        return not self.me.is_clinic

    @property
    def colleagues(self) -> list[Member]:
        return [member for member in self.members.values() if member.part == Part.COLLEAGUE]

    @property
    def people(self) -> dict[str, dict[str, Any]]:
        """For the script: names by public id."""
        return {
            str(member.public_id): {
                "name": member.name,
                "short": short_name(member.name),
                "clinic": member.is_clinic,
                "own": member.user_id == self.me.user_id,
            }
            for member in self.members.values()
        }


def thread_of(
    conversation: Conversation, user: User, now: datetime, *, before: int | None = None
) -> Thread | None:
    """The last lines with ``seq < before`` for ``user``; None if they do not take part."""
    members = members_of([conversation.pk], now)[conversation.pk]
    me = members.get(user.pk)
    if me is None:
        return None
    rows = {row.user_id: row for row in Participant.objects.filter(conversation=conversation)}
    marks = _marks(members, me, rows)
    # Up to the number that was read with the conversation: what comes in meanwhile comes next.
    end = conversation.last_seq + 1
    lines, has_earlier = lines_before(
        conversation, before=end if before is None else min(before, end), limit=PAGE
    )
    zone = own_zone(user) or conversation.hospital.time_zone
    mine = rows.get(user.pk)
    return Thread(
        conversation=conversation,
        me=me,
        members=members,
        marks=marks,
        read_seq=mine.read_seq if mine else 0,
        zone=zone,
        zone_words=zone_words(now, zone),
        shown=_shown(conversation, lines, me, marks, zone, now),
        has_earlier=has_earlier,
        has_later=before is not None and before < end,
    )


def _marks(members: dict[int, Member], me: Member, rows: dict[int, Participant]) -> Marks:
    """Of the other side: patients want to know whether the clinic has seen it, and vice versa."""
    others = [
        (member, rows[member.user_id])
        for member in members.values()
        if member.is_clinic != me.is_clinic and member.user_id in rows
    ]
    hidden = set(
        ChatSettings.objects.filter(
            user__in=[member.user_id for member, _row in others], show_seen=False
        ).values_list("user_id", flat=True)
    )
    delivered = max((max(row.delivered_seq, row.read_seq) for _member, row in others), default=0)
    readers = [(row, member) for member, row in others if member.user_id not in hidden]
    if not readers:
        return Marks(delivered=delivered)
    row, member = max(readers, key=lambda pair: pair[0].read_seq)
    return Marks(row.read_seq, row.read_at, member.name, delivered)


def _shown(
    conversation: Conversation,
    lines: Sequence[Line],
    me: Member,
    marks: Marks,
    zone: str,
    now: datetime,
) -> list[Shown]:
    by_seq = {line.seq: line for line in lines}
    quoted = {line.reply_to for line in lines if line.reply_to}
    quotes = by_seq | lines_at(conversation, quoted - set(by_seq))
    own_read = [
        line.seq
        for line in lines
        if line.sender_id == me.user_id and line.seq <= marks.read and not line.deleted
    ]
    last_seen = max(own_read, default=0)
    today = local(now, zone).date()
    found: list[Shown] = []
    above: Line | None = None
    above_day: date | None = None
    for line in lines:
        day = local(line.at, zone).date()
        own = line.sender_id == me.user_id and not line.is_notice
        quote = quotes.get(line.reply_to) if line.reply_to else None
        is_open = not conversation.is_closed and not line.deleted
        found.append(
            Shown(
                line=line,
                time=time_words(line.at, zone),
                day=day,
                day_words=day_words(day, today) if day != above_day else "",
                follows=(
                    above is not None
                    and day == above_day
                    and not line.is_notice
                    and not above.is_notice
                    and above.sender_id == line.sender_id
                    and line.at - above.at < GROUP
                ),
                own=own,
                state=_state(line, marks, last_seen, zone, today) if own else "",
                quote=quote,
                quote_who=_who(quote, me) if quote else "",
                may_edit=own and is_open and now - line.at <= EDIT_WITHIN,
                may_delete=own and is_open,
                may_reply=is_open and not line.is_notice,
            )
        )
        above, above_day = line, day
    return found


def _state(line: Line, marks: Marks, last_seen: int, zone: str, today: date) -> str:
    """Sent, Delivered or Seen. The time of reading is known of the last message read alone."""
    if line.deleted:
        return ""
    if line.seq <= marks.read:
        who = short_name(marks.read_by)
        if line.seq == last_seen and marks.read_at is not None:
            return _("Seen by %(name)s, %(time)s") % {
                "name": who,
                "time": _seen_at(marks.read_at, zone, today),
            }
        return _("Seen by %(name)s") % {"name": who}
    return _("Delivered") if line.seq <= marks.delivered else _("Sent")


def _seen_at(moment: datetime, zone: str, today: date) -> str:
    """``"9:06 am"``, and with the date unless it is today's."""
    day, time = local(moment, zone).date(), time_words(moment, zone)
    if day == today:
        return time
    words = date_format(day, pgettext("day of this year, long", "F j"))
    return _("%(day)s, %(time)s") % {"day": words, "time": time}


def _who(line: Line, me: Member) -> str:
    if line.is_notice:
        return _("Notice")
    return _("You") if line.sender_id == me.user_id else line.name


def short_name(name: str) -> str:
    """``"Dr. Okafor"`` of ``"Dr. Amara Okafor"``; other names stay whole."""
    words = name.split()
    return f"Dr. {words[-1]}" if len(words) > 2 and words[0] == "Dr." else name


def day_words(day: date, today: date) -> str:
    """``"Today, Friday, November 20, 2026"``."""
    words = long_date(day)
    if day == today:
        return _("Today, %(day)s") % {"day": words}
    if day == today - timedelta(days=1):
        return _("Yesterday, %(day)s") % {"day": words}
    return words


def found_lines(lines: Iterable[Line], me: Member, zone: str) -> list[dict[str, Any]]:
    """Hits of a search with who and when."""
    return [
        {
            "line": line,
            "who": _who(line, me),
            "when": f"{long_date(local(line.at, zone).date())}, {time_words(line.at, zone)}",
            "before": line.seq + PAGE // 2,
        }
        for line in lines
    ]


def transcript_lines(lines: Sequence[Line], thread: Thread) -> list[dict[str, Any]]:
    """Lines with who and when, for the printed page."""
    found = []
    day_above: date | None = None
    quotes = lines_at(thread.conversation, {line.reply_to for line in lines if line.reply_to})
    for line in lines:
        day = local(line.at, thread.zone).date()
        quote = quotes.get(line.reply_to or 0)
        found.append(
            {
                "line": line,
                "day": long_date(day) if day != day_above else "",
                "time": time_words(line.at, thread.zone),
                "who": _("Notice") if line.is_notice else line.name,
                "quote": quote,
                "edited": time_words(line.edited_at, thread.zone) if line.edited_at else "",
            }
        )
        day_above = day
    return found
