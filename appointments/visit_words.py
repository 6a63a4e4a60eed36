"""When a visit is, in the clinic's time and, where it differs, in the reader's own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from appointments.zones import date_words, differs, time_words, zone_short, zone_words


@dataclass(frozen=True)
class When:
    """``date`` and ``times`` on the clinic's clock, ``zone`` in words; ``own`` is the same moment
    in the reader's zone, or empty where both clocks show the same."""

    date: str
    times: str
    zone: str
    own: str = ""


def when_words(starts_at: datetime, ends_at: datetime, zone: str, own_zone: str = "") -> When:
    return When(
        date=date_words(starts_at, zone),
        times=_from_to(starts_at, ends_at, zone),
        zone=zone_words(starts_at, zone),
        own=_own_words(starts_at, ends_at, own_zone)
        if own_zone and differs(starts_at, zone, own_zone)
        else "",
    )


def _from_to(starts_at: datetime, ends_at: datetime, zone: str) -> str:
    return _("%(start)s to %(end)s") % {
        "start": time_words(starts_at, zone),
        "end": time_words(ends_at, zone),
    }


def _own_words(starts_at: datetime, ends_at: datetime, zone: str) -> str:
    return _("For you: %(date)s, %(times)s, %(zone)s") % {
        "date": date_words(starts_at, zone),
        "times": _from_to(starts_at, ends_at, zone),
        "zone": zone_words(starts_at, zone),
    }


def clock_words(moment: datetime, zone: str) -> str:
    """``"10:24 am EST"``: a time later today, on the clock of ``zone``."""
    words, short = time_words(moment, zone), zone_short(moment, zone)
    return words if words.endswith(short) else f"{words} {short}"


def own_zone(user: Any) -> str:
    """The zone an account set; empty for visitors and for "same as the clinic"."""
    return str(getattr(user, "time_zone", "") or "")
