"""Addresses of hospitals and doctors: readable, unique, and never changed once given."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Model
from django.utils.text import slugify

from clinic.directory.text import fold

LONGEST = 110  # leaves room for a number within the 120 characters of the column


class Slugs:
    """Gives slugs that are not in ``taken``, and remembers those it gave."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def give(self, text: str) -> str:
        base = slugify(fold(text))[:LONGEST].strip("-") or "page"
        if base not in self._taken:
            self._taken.add(base)
            return base
        number = self._next.get(base, 2)
        while f"{base}-{number}" in self._taken:
            number += 1
        self._next[base] = number + 1
        self._taken.add(f"{base}-{number}")
        return f"{base}-{number}"


def free_slug(model: type[Model], text: str) -> str:
    """A slug for ``text`` that no row of ``model`` has."""
    base = slugify(fold(text))[:LONGEST].strip("-") or "page"
    taken = model._default_manager.filter(slug__startswith=base).values_list("slug", flat=True)
    return Slugs(taken).give(text)
