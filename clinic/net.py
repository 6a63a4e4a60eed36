"""Who is at the other end: the client's address as far as it can be trusted.

Clients may send any X-Forwarded-For they like. Only the last ``TRUSTED_PROXY_COUNT`` entries were
written by our own proxies, so the list is read from the right and never further. X-Real-IP,
Forwarded and spellings with underscores are not read at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.http import HttpRequest


def parsed(text: str) -> str | None:
    """``text`` as a canonical IP address; a port or brackets are dropped; None if it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if address.scope_id:
            return None
    return str(address)


def behind_proxies(peer: str, forwarded_for: str, count: int) -> str | None:
    """The address that the outermost of ``count`` trusted proxies saw.

    ``peer`` is the other end of our own connection. Falls back to it when the header is shorter
    than the number of proxies or holds no address at that place.
    """
    if count > 0:
        entries = forwarded_for.split(",")
        if len(entries) >= count:
            found = parsed(entries[-count])
            if found is not None:
                return found
    return parsed(peer)


def client_address(source: HttpRequest | Mapping[str, Any]) -> str | None:
    """The client's IP address, of a request or of an ASGI scope (a socket's); None if unknown."""
    if isinstance(source, HttpRequest):
        peer = source.META.get("REMOTE_ADDR") or ""
        forwarded_for = source.META.get("HTTP_X_FORWARDED_FOR", "")
    else:
        client = source.get("client")
        peer = str(client[0]) if client else ""
        forwarded_for = ",".join(
            value.decode("latin-1")
            for name, value in source.get("headers", [])
            if name.lower() == b"x-forwarded-for"
        )
    return behind_proxies(peer, forwarded_for, settings.TRUSTED_PROXY_COUNT)


# What a provider gives one household or server. Its owner can take a new address per request.
IPV6_NETWORK_BITS = 64


def counted_address(source: HttpRequest | Mapping[str, Any]) -> str | None:
    """The address that limits count by: an IPv4 address, or the network of an IPv6 one."""
    address = client_address(source)
    if address is None or ":" not in address:
        return address
    return str(ip_network(f"{address}/{IPV6_NETWORK_BITS}", strict=False).network_address)
