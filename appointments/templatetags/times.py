"""Moments, prices and lengths in words, for pages and mails.

``{% load times %}``; a moment is an aware datetime, a zone is an IANA name such as the hospital's.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import lru_cache
from urllib.parse import quote

from django import template
from django.urls import reverse
from django.utils import formats
from django.utils.http import urlencode
from django.utils.translation import get_language, ngettext, pgettext
from django.utils.translation import gettext as _

from appointments import zones
from clinic.directory.templatetags.directory import price as price_words

register = template.Library()


@register.filter
def date_at(moment: datetime, zone: str) -> str:
    """``"Monday, November 30, 2026"``."""
    return zones.date_words(moment, zone)


@register.filter
def short_date_at(moment: datetime, zone: str) -> str:
    """``"Mon, Nov 30"``."""
    return short_date(zones.local(moment, zone).date())


@register.filter
def time_at(moment: datetime, zone: str) -> str:
    """``"9:10 am"``; in the hour that the clock repeats, with the zone's name."""
    return zones.time_words(moment, zone)


@register.filter
def zone_at(moment: datetime, zone: str) -> str:
    """``"Eastern Time (EST)"``."""
    return zones.zone_words(moment, zone)


@register.filter
def when_at(moment: datetime, zone: str) -> str:
    """``"Monday, November 30, 2026, 9:10 am EST"``: what identifies a moment on its own."""
    time = zones.time_words(moment, zone)
    short = zones.zone_short(moment, zone)
    if not time.endswith(short):
        time = f"{time} {short}"
    return f"{zones.date_words(moment, zone)}, {time}"


@register.filter
def utc_iso(moment: datetime) -> str:
    """``"2026-11-30T14:10:00Z"``: how addresses and ``datetime`` attributes write a moment."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@register.filter
def short_date(day: date) -> str:
    """``"Mon, Nov 30"`` of a calendar date."""
    return _short_date(day, get_language())


@lru_cache(maxsize=4096)
def _short_date(day: date, _language: str | None) -> str:
    return formats.date_format(day, pgettext("short date", "D, M j"))


@register.filter
def long_date(day: date) -> str:
    """``"Monday, November 30, 2026"`` of a calendar date."""
    return formats.date_format(day, pgettext("long date", "l, F j, Y"))


@register.filter
def price(cents: int | None) -> str:
    """``"$120"`` or ``"$120.50"``; nothing where no price is stated."""
    return "" if cents is None else price_words(cents)


@register.filter
def duration(minutes: int) -> str:
    """``"20 minutes"``, ``"1 hour"``, ``"2 days"``: exact, in the largest unit that divides it."""
    if minutes and minutes % 1440 == 0:
        days = minutes // 1440
        return ngettext("%(count)d day", "%(count)d days", days) % {"count": days}
    if minutes and minutes % 60 == 0:
        hours = minutes // 60
        return ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours}
    if minutes > 60:
        hours, rest = divmod(minutes, 60)
        return _("%(hours)s %(minutes)s") % {
            "hours": duration(hours * 60),
            "minutes": duration(rest),
        }
    return ngettext("%(count)d minute", "%(count)d minutes", minutes) % {"count": minutes}


def book_address(slug: str, code: str, at: datetime) -> str:
    """The plain link of a free time."""
    return book_addresses(slug, code, [at])[0]


def book_addresses(slug: str, code: str, moments: Iterable[datetime]) -> list[str]:
    """The links of many free times of one service."""
    start = f"{reverse('book', args=[slug])}?{urlencode({'service': code})}&at="
    return [start + quote(utc_iso(moment), safe="") for moment in moments]


@register.simple_tag
def book_url(slug: str, code: str, at: datetime) -> str:
    return book_address(slug, code, at)
