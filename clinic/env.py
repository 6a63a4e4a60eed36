"""Settings from the environment, with errors that say what to set and how.

Every value may also come from a file named by ``NAME_FILE`` (Docker and Swarm secrets).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

_read = environ.FileAwareEnv()

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


def text(name: str, default: str | None = None, *, how: str = "") -> str:
    """The value of ``name`` or of the file ``NAME_FILE`` names; ``default=None`` demands it."""
    path = os.environ.get(f"{name}_FILE")
    if path and not os.path.isfile(path):
        raise ImproperlyConfigured(
            f"{name}_FILE names {path!r}, which is not a readable file. "
            f"Put the value into that file, or unset {name}_FILE and set {name}."
        )
    value: str = _read.str(name, default="").strip()
    if value:
        return value
    if default is None:
        raise ImproperlyConfigured(f"{name} is not set. {how}".strip())
    return default


def file(name: str) -> str:
    """The path of a file that is there and can be read; "" when unset."""
    path = text(name, "")
    if path and not os.access(path, os.R_OK):
        raise ImproperlyConfigured(f"{name} names {path!r}, which is not a readable file.")
    return path


def flag(name: str, default: bool) -> bool:
    value = text(name, "").lower()
    if not value:
        return default
    if value in TRUE | FALSE:
        return value in TRUE
    raise ImproperlyConfigured(f"{name} is {value!r}. Set it to 1 or 0.")


def number(name: str, default: int, *, least: int = 0) -> int:
    value = text(name, str(default))
    try:
        result = int(value)
    except ValueError:
        result = least - 1
    if result < least:
        raise ImproperlyConfigured(f"{name} is {value!r}. Set it to a whole number from {least}.")
    return result


def words(name: str, default: str = "") -> list[str]:
    """A comma-separated list."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def is_origin(text: str) -> bool:
    """Whether ``text`` is a scheme, a host and perhaps a port, and nothing more."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and port != 0
        and not (parts.username or parts.path.strip("/") or parts.query or parts.fragment)
    )


def origin(name: str, default: str | None, *, how: str) -> str:
    """One origin such as ``https://clinic.example.org``, without a slash at its end."""
    value = text(name, default, how=how).rstrip("/")
    if not is_origin(value):
        raise ImproperlyConfigured(f"{name} is {value!r}. {how}")
    return value


def origins(name: str) -> list[str]:
    """A comma-separated list of origins such as ``https://clinic.example.org``."""
    found = words(name)
    for value in found:
        if not is_origin(value):
            raise ImproperlyConfigured(
                f"{name} holds {value!r}. Write full origins such as https://clinic.example.org, "
                "separated by commas."
            )
    return found


def address(name: str, schemes: set[str], *, example: str) -> str:
    """An address with one of ``schemes``; "" when unset."""
    value = text(name, "")
    if value and (urlsplit(value).scheme not in schemes or not urlsplit(value).netloc):
        # The value is not repeated: addresses of this kind may hold a password.
        raise ImproperlyConfigured(f"{name} could not be read. Write it like {example}.")
    return value


def choice(name: str, default: str, choices: list[str]) -> str:
    value = text(name, default).upper()
    if value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}. Set it to {', '.join(choices)}.")
    return value


def database(name: str, url: str) -> dict[str, Any]:
    """Django's database dictionary for ``mysql://…`` or ``sqlite:///…``."""
    how = (
        "Set it to mysql://USER:PASSWORD@HOST:3306/NAME or sqlite:////absolute/path.sqlite3 "
        "(quote special characters in the password as %XX)."
    )
    scheme = url.partition(":")[0]
    if scheme not in {"mysql", "sqlite"}:
        raise ImproperlyConfigured(f"{name} starts with {scheme!r}. {how}")
    try:
        result = dict(environ.Env.db_url_config(url))
    except Exception as error:
        raise ImproperlyConfigured(f"{name} could not be read. {how}") from error
    if not result.get("NAME") or (scheme == "mysql" and not result.get("HOST")):
        raise ImproperlyConfigured(f"{name} names no host or no database. {how}")
    return result


def redis(name: str) -> list[str]:
    """Redis addresses, several for shards; empty when unset."""
    found = words(name)
    for url in found:
        if urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
            # The value is not repeated: it may hold a password.
            raise ImproperlyConfigured(
                f"{name} could not be read. Write redis://HOST:6379/0, or several separated by "
                "commas."
            )
    return found


@dataclass(frozen=True)
class Bucket:
    """A place in a store that speaks S3. ``prefix`` is a folder in the bucket, or empty."""

    endpoint: str
    bucket: str
    prefix: str
    key: str
    secret: str
    region: str


_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_PREFIX = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*|")


def bucket(name: str) -> Bucket | None:
    """A store such as ``s3://KEY:SECRET@s3.example.org/BUCKET?region=us-east-1``; None when unset.

    A folder may follow the bucket; ``tls=0`` asks over plain HTTP.
    """
    value = text(name, "")
    if not value:
        return None
    try:
        parts = urlsplit(value)
        port = f":{parts.port}" if parts.port else ""
        given = dict(
            parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        )
    except ValueError:
        return _no_bucket(name, "it is no address")
    found, _, prefix = parts.path.strip("/").partition("/")
    if parts.scheme != "s3" or parts.fragment or not parts.hostname:
        return _no_bucket(name, "it does not begin with s3:// and name a host")
    if not parts.username or not parts.password:
        return _no_bucket(name, "the key or its secret is missing")
    if not _BUCKET.fullmatch(found) or not _PREFIX.fullmatch(prefix):
        return _no_bucket(name, "the bucket or the folder in it is missing or has no possible name")
    region, tls = given.pop("region", "us-east-1"), given.pop("tls", "1")
    if given or not _REGION.fullmatch(region) or tls not in {"0", "1"}:
        return _no_bucket(name, "after the ? only region=NAME and tls=0 may stand")
    return Bucket(
        endpoint=f"{'https' if tls == '1' else 'http'}://{parts.hostname}{port}",
        bucket=found,
        prefix=prefix,
        key=unquote(parts.username),
        secret=unquote(parts.password),
        region=region,
    )


def _no_bucket(name: str, why: str) -> Bucket | None:
    # The value is not repeated: it may hold a password.
    raise ImproperlyConfigured(
        f"{name} could not be read: {why}. Write s3://KEY:SECRET@HOST/BUCKET?region=REGION "
        "(quote special characters in the secret as %XX), or leave it out to keep files in the "
        "database."
    )


def mail(name: str, default: str) -> dict[str, Any]:
    """Django's e-mail settings for ``smtp://…``, ``smtp+tls://…`` or ``consolemail://``."""
    url = text(name, default)
    try:
        return dict(environ.Env.email_url_config(url))
    except Exception as error:
        raise ImproperlyConfigured(
            f"{name} could not be read. Set it to smtp+tls://USER:PASSWORD@HOST:587, "
            "smtp://HOST:25 or consolemail://."
        ) from error
