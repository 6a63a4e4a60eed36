"""What people typed into the search, read with patience: nothing in an address is an error.

A value that cannot be understood does not narrow the search, and a sentence says so.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime, timedelta

from django.http import QueryDict
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts.languages import SPOKEN_LANGUAGES
from appointments.search import DISTANCES, Criteria
from appointments.templatetags.times import long_date
from clinic.directory.models import Visit

LONGEST_TEXT = 100  # characters of a field; nobody types more, and a pasted page says nothing
FARTHEST = timedelta(days=366)  # no doctor's horizon is longer

_ISO_DATE = re.compile(r"\A(\d{4})-(\d{1,2})-(\d{1,2})\Z", re.ASCII)
_US_DATE = re.compile(r"\A(\d{1,2})/(\d{1,2})/(\d{4})\Z", re.ASCII)
_NUMBER = re.compile(r"\A\d{1,6}\Z", re.ASCII)


def clean(text: str, longest: int = LONGEST_TEXT) -> str:
    """``text`` in one line without control characters and halves of characters."""
    printable = "".join(
        " " if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") else letter
        for letter in text[: 4 * longest]
    )
    return " ".join(printable.split())[:longest].strip()


def read_criteria(query: QueryDict, *, now: datetime) -> tuple[Criteria, list[str]]:
    """The criteria of an address, and a sentence for each value that was not understood."""
    problems: list[str] = []
    visit = clean(query.get("visit", ""))
    if visit and visit not in Visit.values:
        problems.append(
            _("We did not understand the visit type “%(typed)s”. Showing all visits.")
            % {"typed": visit}
        )
        visit = ""
    language = clean(query.get("language", "")).lower()
    if language and language not in dict(SPOKEN_LANGUAGES):
        problems.append(
            _("We do not know the language “%(typed)s”. Showing all languages.")
            % {"typed": language}
        )
        language = ""
    within = _number(query.get("within", ""))
    day, problem = _read_date(clean(query.get("date", "")), now)
    if problem:
        problems.append(problem)
    page = clean(query.get("page", "")) or "1"
    return (
        Criteria(
            q=clean(query.get("q", "")),
            place=clean(query.get("place", "")),
            specialty=clean(query.get("specialty", "")),
            hospital=clean(query.get("hospital", ""), 120),
            language=language,
            visit=visit,
            new=query.get("new", "") == "1",
            date=day,
            within=within if within in DISTANCES else 0,
            page=_number(page),
        ),
        problems,
    )


def _number(typed: str) -> int:
    """The number typed, or 0 for anything else."""
    return int(typed) if _NUMBER.match(typed) else 0


def _read_date(typed: str, now: datetime) -> tuple[date | None, str]:
    """A day from ``2026-11-30`` (what browsers send) or ``11/30/2026`` (what people type)."""
    if not typed:
        return None, ""
    day = parse_date(typed)
    if day is None:
        return None, _("We did not understand the date “%(typed)s”. Showing all dates.") % {
            "typed": typed
        }
    # A day's grace: where the clinic is, it may still be yesterday.
    if day < now.date() - timedelta(days=1):
        return None, _("%(day)s is over. Showing times from today.") % {"day": long_date(day)}
    if day > now.date() + FARTHEST:
        return None, _("Nothing can be booked for %(day)s yet. Showing all dates.") % {
            "day": long_date(day)
        }
    return day, ""


def parse_date(typed: str) -> date | None:
    if iso := _ISO_DATE.match(typed):
        year, month, day = (int(part) for part in iso.groups())
    elif us := _US_DATE.match(typed):
        month, day, year = (int(part) for part in us.groups())
    else:
        return None
    try:
        return date(year, month, day)
    except ValueError:
        return None


def address_of(criteria: Criteria) -> str:
    """The address of a search: only what narrows it, in the order of the form."""
    values = {
        "q": criteria.q,
        "place": criteria.place,
        "within": criteria.within or "",
        "specialty": criteria.specialty,
        "hospital": criteria.hospital,
        "visit": criteria.visit,
        "language": criteria.language,
        "new": "1" if criteria.new else "",
        "date": criteria.date.isoformat() if criteria.date else "",
        "page": criteria.page if criteria.page > 1 else "",
    }
    query = urlencode({name: value for name, value in values.items() if value != ""})
    return reverse("doctors") + (f"?{query}" if query else "")
