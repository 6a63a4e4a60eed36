"""The grid of free times of a doctor in a list."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils.translation import get_language

from appointments.cards import Found, grid
from appointments.templatetags.times import book_address
from appointments.zones import date_words, time_words

register = template.Library()


@register.simple_tag
def time_grid(item: Found) -> str:
    """Next free time, up to four days with up to three times each, and the link to all."""
    if item.service is None:
        return ""
    return _grid(
        item.doctor.slug,
        item.doctor.display_name,
        item.service.code,
        item.service.hospital.time_zone,
        tuple(item.times),
        get_language(),
    )


# Everything the markup depends on is an argument, so what is kept can never be out of date.
@lru_cache(maxsize=4096)
def _grid(
    slug: str, name: str, code: str, zone: str, times: tuple[datetime, ...], language: str | None
) -> str:
    days = grid(times, zone)
    context: dict[str, Any] = {
        "slug": slug,
        "name": name,
        "code": code,
        "zone": zone,
        "first": times[0],
        "days": [
            {
                "date": day.date,
                "times": [
                    {
                        "href": book_address(slug, code, moment),
                        "text": time_words(moment, zone),
                        "label": time_label(moment, zone, name),
                    }
                    for moment in day.times
                ],
                "more": day.count - len(day.times),
            }
            for day in days
        ],
    }
    return render_to_string("find/grid.html", context)


@register.simple_tag
def time_label(moment: datetime, zone: str, name: str) -> str:
    """What a screen reader says of a free time: it starts with the text that is seen."""
    return f"{time_words(moment, zone)}, {date_words(moment, zone)}, {name}"
