"""Absolute links for mails and calendars, which have no request to take a host from."""

from __future__ import annotations

from django.conf import settings


def absolute(path: str) -> str:
    """``path`` (starting with a slash, as `reverse` returns it) under PUBLIC_URL."""
    if not path.startswith("/") or path.startswith("//"):
        raise ValueError("a path within the site starts with exactly one slash")
    return f"{settings.PUBLIC_URL}{path}"
