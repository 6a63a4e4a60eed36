"""Which pages may open the socket: the Origin header against full origins, scheme and port too.

A browser sends the cookies of this site along with a socket that any page opens, so the origin is
what tells our pages from others. Everything that is not known is refused: no header, `null`,
another scheme or port, a name that only begins or ends like ours.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

DEFAULT_PORTS = {"http": 80, "https": 443}


def normal(origin: str) -> str | None:
    """``scheme://host:port`` in lower case with the port written out; None when it is no origin."""
    try:
        parts = urlsplit(origin)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    host = parts.hostname
    if port is None or not host or parts.path or parts.query or parts.fragment or "@" in origin:
        return None
    return f"{parts.scheme}://{host}:{port}"


@lru_cache(maxsize=8)
def _named(public_url: str, trusted: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    exact = {normal(origin.rstrip("/")) for origin in (public_url, *trusted) if "*" not in origin}
    # Django's own form for every name below one: https://*.example.org
    below = tuple(origin.replace("*", "", 1) for origin in trusted if "://*." in origin)
    return frozenset(origin for origin in exact if origin), below


def is_allowed(scope: dict[str, Any]) -> bool:
    given = [value for name, value in scope["headers"] if name == b"origin"]
    if len(given) != 1:
        return False
    origin = normal(given[0].decode("latin1"))
    if origin is None:
        return False
    exact, below = _named(settings.PUBLIC_URL, tuple(settings.CSRF_TRUSTED_ORIGINS))
    return origin in exact or _is_below(origin, below) or _is_local(origin, scope)


def _is_below(origin: str, below: tuple[str, ...]) -> bool:
    for allowed in below:
        scheme, _, name = allowed.partition("://")
        known = normal(f"{scheme}://{name.lstrip('.')}")
        if known is None:
            continue
        _, _, tail = known.partition("://")
        if origin.startswith(f"{scheme}://") and origin.endswith(f".{tail}"):
            return True
    return False


def _is_local(origin: str, scope: dict[str, Any]) -> bool:
    """The embedded default, also under its other local names, on the port it is served on."""
    server = scope.get("server")
    if settings.PRODUCTION or not server:
        return False
    return origin in {f"http://{name.strip('[]')}:{server[1]}" for name in settings.ALLOWED_HOSTS}
