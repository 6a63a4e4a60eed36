"""Moments in the words of a place: US dates and times with the zone's name."""

from __future__ import annotations

from datetime import date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.utils import formats
from django.utils.translation import get_language, pgettext
from django.utils.translation import gettext as _

# Names people use for the zones of the United States; elsewhere the town of the IANA name.
_ZONE_WORDS = {
    "EST": "Eastern Time",
    "EDT": "Eastern Time",
    "CST": "Central Time",
    "CDT": "Central Time",
    "MST": "Mountain Time",
    "MDT": "Mountain Time",
    "PST": "Pacific Time",
    "PDT": "Pacific Time",
    "AKST": "Alaska Time",
    "AKDT": "Alaska Time",
    "HST": "Hawaii Time",
    "AST": "Atlantic Time",
}


@lru_cache(maxsize=600)
def zone_info(name: str) -> ZoneInfo:
    """The zone of an IANA name; of a hospital whose zone nobody has set yet, UTC."""
    return ZoneInfo(name or "UTC")


def local(moment: datetime, zone: str) -> datetime:
    """``moment`` on the clock of ``zone`` (an IANA name; empty: UTC)."""
    return moment.astimezone(zone_info(zone))


def zone_words(moment: datetime, zone: str) -> str:
    """``"Eastern Time (EST)"``: the zone as it is called at ``moment``."""
    short = local(moment, zone).strftime("%Z")
    name = _ZONE_WORDS.get(short) if zone.startswith(("America/", "US/", "Pacific/H")) else None
    if name is None:
        town = (zone or "UTC").rpartition("/")[2].replace("_", " ")
        name = _("%(town)s time") % {"town": town}
    return f"{name} ({short})"


def zone_short(moment: datetime, zone: str) -> str:
    return local(moment, zone).strftime("%Z")


def date_words(moment: datetime, zone: str) -> str:
    """``"Monday, November 30, 2026"``."""
    return _day_words(local(moment, zone).date(), get_language())


# A page of results says some hundred dates and times, most of them again and again.
@lru_cache(maxsize=4096)
def _day_words(day: date, _language: str | None) -> str:
    return formats.date_format(day, pgettext("long date", "l, F j, Y"))


@lru_cache(maxsize=4096)
def _clock_words(clock: time, _language: str | None) -> str:
    return formats.time_format(clock, "g:i a").replace(".", "")


def time_words(moment: datetime, zone: str) -> str:
    """``"9:10 am"``; a time the clock shows twice carries its zone: ``"1:30 am EST"``."""
    at = local(moment, zone)
    words = _clock_words(at.time(), get_language())
    return f"{words} {at.strftime('%Z')}" if is_repeated(at) else words


def is_repeated(at: datetime) -> bool:
    """Whether the wall clock of ``at`` shows this time twice (the end of daylight saving time)."""
    other = at.replace(fold=1 - at.fold)
    # In the missing hour the offsets differ too, but such a time does not survive a round trip.
    return other.utcoffset() != at.utcoffset() and (
        at.astimezone(zone_info("UTC")).astimezone(at.tzinfo).replace(fold=0) == at.replace(fold=0)
    )


def differs(moment: datetime, zone: str, other: str) -> bool:
    """Whether clocks in the two zones show different times at ``moment``."""
    return local(moment, zone).utcoffset() != local(moment, other).utcoffset()
