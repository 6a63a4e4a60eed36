"""What a request asks for, read from text: moments, keys, words of a fixed list.

Text that nobody can get by using the pages raises `Unreadable`, which edges answer with 400.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from django.utils.translation import gettext as _

LONGEST_KEY = 64
KEY = re.compile(r"[!-~]+")  # visible ASCII
# Zones are up to 14 hours from UTC, so a moment this near to the ends has no local time.
FIRST_YEAR, LAST_YEAR = 1900, 9998


class Unreadable(Exception):
    """The request is malformed; the message says what is wrong with it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def moment(text: str | None) -> datetime:
    """An ISO 8601 moment in UTC, such as ``2026-11-30T14:10:00Z``."""
    if not text:
        raise Unreadable(_("The address names no time."))
    problem = _("The time in the address cannot be read.")
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise Unreadable(problem) from None
    # Without an offset a time could be meant in any zone; it is refused rather than guessed.
    if parsed.utcoffset() != timedelta() or not FIRST_YEAR <= parsed.year <= LAST_YEAR:
        raise Unreadable(problem)
    return parsed.astimezone(UTC)


def key(text: str | None) -> str:
    """The key that makes sending a form twice harmless."""
    if not text or len(text) > LONGEST_KEY or not KEY.fullmatch(text):
        raise Unreadable(_("The form was incomplete."))
    return text


def new_key() -> str:
    return secrets.token_urlsafe(18)


def word(text: str | None, known: Collection[str]) -> str:
    """One of ``known``."""
    if text is None or text not in known:
        raise Unreadable(_("The form was incomplete."))
    return text
