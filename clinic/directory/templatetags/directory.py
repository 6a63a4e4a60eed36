"""Prices, lengths, phone numbers and time zones as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

register = template.Library()

A_WINTER_DAY = datetime(2026, 1, 15, 12, tzinfo=UTC)  # when US zones are on standard time
_ZONES = {
    "EST": _("Eastern Time"),
    "CST": _("Central Time"),
    "MST": _("Mountain Time"),
    "PST": _("Pacific Time"),
    "AKST": _("Alaska Time"),
    "HST": _("Hawaii Time"),
    "AST": _("Atlantic Time"),
    "ChST": _("Chamorro Time"),
    "SST": _("Samoa Time"),
}


@register.filter
def price(cents: int | None) -> str:
    """``12000`` is "$120", ``12050`` "$120.50"; without a price, what to do instead."""
    if cents is None:
        return gettext("Ask the clinic")
    if cents == 0:
        return gettext("Free of charge")
    places = 0 if cents % 100 == 0 else 2
    return "$" + number_format(cents / 100, places, use_l10n=True, force_grouping=True)


@register.filter
def minutes(count: int) -> str:
    return ngettext("%(count)d minute", "%(count)d minutes", count) % {"count": count}


@register.filter
def dialed(phone: str) -> str:
    """A US phone number for a ``tel:`` link: ``(207) 555-0142`` is ``+12075550142``."""
    digits = re.sub(r"[^0-9+]", "", phone)
    return f"+1{digits}" if len(digits) == 10 else digits


@register.filter
def zone_name(zone: str) -> str:
    """``America/New_York`` is "Eastern Time"; a zone without such a name keeps its town."""
    short = A_WINTER_DAY.astimezone(ZoneInfo(zone)).tzname() or ""
    return str(_ZONES.get(short) or zone.rpartition("/")[2].replace("_", " "))
