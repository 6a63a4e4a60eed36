"""A doctor in a list, and how a free time is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache as cache_forever
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

from django import template
from django.conf import settings
from django.core.cache import cache
from django.template.loader import render_to_string
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext, pgettext

from appointments.cards import Found, grid
from appointments.templatetags.times import book_addresses
from appointments.zones import date_words, local, time_words

register = template.Library()

SELECTED = SafeString(" selected")
# Cards are kept for all processes: one that was rendered by any of them need not be again.
CACHE_SECONDS = 600
CARD_TEMPLATES = (
    "find/card.html",
    "find/checked.html",
    "find/no_times.html",
    "components/doctor_avatar.html",
)


class Card(NamedTuple):
    """Everything the markup of a doctor in a list depends on, so that it can be kept."""

    slug: str
    name: str
    credentials: str
    specialties: tuple[str, ...]
    languages: tuple[str, ...]
    visits: tuple[str, ...]
    accepts_new: bool
    checked_on: str
    checked_what: str
    code: str  # of the service whose times are shown; empty without one
    hospital: str
    town: str
    phone: str
    miles: float | None
    other_hospitals: int
    zone: str
    zone_sentence: str
    times: tuple[datetime, ...]
    clinic_name: str
    language: str | None


@register.simple_tag
def doctor_cards(cards: Sequence[Mapping[str, Any]]) -> str:
    """The cards of a list: ``item`` is a `Found`, ``zone`` the sentence about its zone (empty when
    the page says it once for all)."""
    wanted = [_card(card["item"], card["zone"]) for card in cards]
    keys = [_key(card) for card in wanted]
    kept: dict[str, str] = cache.get_many(keys)
    made = {
        key: _card_html(card) for key, card in zip(keys, wanted, strict=True) if key not in kept
    }
    if made:
        cache.set_many(made, CACHE_SECONDS)
    return mark_safe("".join(kept.get(key) or made[key] for key in keys))  # noqa: S308  (templates')


def _card(item: Found, zone_sentence: str) -> Card:
    doctor, service = item.doctor, item.service
    hospital = service.hospital if service is not None else None
    return Card(
        slug=doctor.slug,
        name=doctor.display_name,
        credentials=doctor.credentials,
        specialties=tuple(item.specialties),
        languages=tuple(item.languages),
        visits=tuple(sorted(item.visits)),
        accepts_new=doctor.accepts_new,
        checked_on=checked_on(doctor.verified_at, hospital.time_zone if hospital else ""),
        checked_what=doctor.verified_what,
        code=service.code if service is not None else "",
        hospital=hospital.name if hospital else "",
        town=hospital.city if hospital else "",
        phone=hospital.phone if hospital else "",
        miles=None if item.miles is None else round(item.miles, 1),
        other_hospitals=item.other_hospitals,
        zone=hospital.time_zone if hospital else "",
        zone_sentence=zone_sentence,
        times=tuple(item.times),
        clinic_name=settings.CLINIC_NAME,
        language=get_language(),
    )


def _key(card: Card) -> str:
    """Names everything the markup is made of, so what is kept under it is never out of date."""
    times = [int(moment.timestamp()) for moment in card.times]
    facts = repr((_markup(), card._replace(times=()), times))
    return f"card:{sha256(facts.encode()).hexdigest()}"


@cache_forever
def _markup() -> str:
    """Changes when a release changes a card: the source of its templates."""
    engine = template.Engine.get_default()
    sources = "".join(str(engine.get_template(name).source) for name in CARD_TEMPLATES)
    return sha256(sources.encode()).hexdigest()


def _card_html(card: Card) -> str:
    days = []
    for day in grid(card.times, card.zone):
        hrefs = book_addresses(card.slug, card.code, day.times)
        times = [
            {
                "href": href,
                "text": time_words(moment, card.zone),
                "label": time_label(moment, card.zone, card.name),
            }
            for href, moment in zip(hrefs, day.times, strict=True)
        ]
        days.append({"date": day.date, "times": times})
    return render_to_string("find/card.html", {"card": card, "days": days})


@register.simple_tag
def options(choices: Sequence[tuple[str, str]], chosen: str) -> str:
    """The options of a select."""
    return _options_html((("", gettext("Any")), *choices), chosen)


# Kept by its content, as cards are: a hundred options took a tenth of the page's time.
@lru_cache(maxsize=1024)
def _options_html(choices: tuple[tuple[str, str], ...], chosen: str) -> str:
    return format_html_join(
        "",
        '<option value="{}"{}>{}</option>',
        ((value, SELECTED if value == chosen else "", label) for value, label in choices),
    )


@register.simple_tag
def checked_on(moment: datetime | None, zone: str) -> str:
    """``"Nov 2, 2026"``: when staff checked a doctor; empty when they did not."""
    if moment is None:
        return ""
    return date_format(local(moment, zone), pgettext("medium date", "M j, Y"))


@register.simple_tag
def phone_link(phone: str) -> str:
    """A number that a phone dials when it is touched."""
    dialed = "".join(sign for sign in phone if sign.isdigit() or sign == "+")
    return format_html('<a class="govuk-link find-link" href="tel:{}">{}</a>', dialed, phone)


@register.simple_tag
def time_label(moment: datetime, zone: str, name: str) -> str:
    """What a screen reader says of a free time: it starts with the text that is seen."""
    return f"{time_words(moment, zone)}, {date_words(moment, zone)}, {name}"
