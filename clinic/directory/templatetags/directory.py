"""Prices and lengths as people read them."""

from __future__ import annotations

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext

register = template.Library()


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
