"""System checks: what an operator can get wrong, and how to put it right.

What makes the site unsafe or useless in production is an error; what may be meant is a warning.
Values that cannot be read at all stop the start earlier, in `clinic.env`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Doubt
from django.http.request import validate_host
from django.utils.module_loading import import_string


def public_address() -> Iterator[CheckMessage]:
    parts = urlsplit(settings.PUBLIC_URL)
    if not validate_host(parts.hostname or "", settings.ALLOWED_HOSTS) and not settings.DEBUG:
        yield Error(
            f"PUBLIC_URL's host {parts.hostname} is not in ALLOWED_HOSTS, so that every link in a "
            "mail is answered with 400.",
            hint=f"Set ALLOWED_HOSTS={parts.hostname} (more names separated by commas).",
            id="clinic.E001",
        )
    if settings.PRODUCTION and parts.scheme != "https" and not settings.ALLOW_HTTP:
        yield Error(
            "PUBLIC_URL does not start with https://, but production answers over HTTPS only.",
            hint="Set PUBLIC_URL=https://…, or ALLOW_HTTP=1 for a load check without TLS.",
            id="clinic.E002",
        )
    if settings.PUBLIC_URL_GUESSED:
        yield Doubt(
            f"PUBLIC_URL is not set: links in mails lead to {settings.PUBLIC_URL}, the first name "
            "in ALLOWED_HOSTS.",
            hint="Set PUBLIC_URL to the address people type, such as https://clinic.example.org.",
            id="clinic.W012",
        )
    if settings.PRODUCTION and "*" in settings.ALLOWED_HOSTS:
        yield Error(
            "ALLOWED_HOSTS allows any host, so that a forged Host header is believed.",
            hint="List the names the site is reached by, separated by commas.",
            id="clinic.E003",
        )
    if settings.PRODUCTION and settings.ALLOW_HTTP:
        yield Doubt(
            "ALLOW_HTTP is on: sign-ins can be read and cookies stolen on the way.",
            hint="Unset ALLOW_HTTP wherever real people sign in.",
            id="clinic.W004",
        )


def surroundings() -> Iterator[CheckMessage]:
    if not settings.PRODUCTION:
        return
    if settings.TRUSTED_PROXY_COUNT == 0:
        yield Doubt(
            "TRUSTED_PROXY_COUNT is 0. Behind NGINX all visitors then have NGINX's address and "
            "share one limit.",
            hint="Set it to the number of own proxies in front, 1 for the NGINX of this project.",
            id="clinic.W005",
        )
    if not settings.REDIS_URLS:
        yield Doubt(
            "REDIS_URL is not set, so that each process keeps a cache of its own and counts "
            "sign-in limits by itself.",
            hint="Set REDIS_URL=redis://HOST:6379/0.",
            id="clinic.W006",
        )
    if "sqlite" in settings.DATABASES["default"]["ENGINE"]:
        yield Doubt(
            "DATABASE_URL names SQLite, which only one machine can use and one writer at a time.",
            hint="Set DATABASE_URL=mysql://USER:PASSWORD@HOST:3306/NAME.",
            id="clinic.W007",
        )


def mail() -> Iterator[CheckMessage]:
    if not settings.PRODUCTION:
        return
    if settings.EMAIL_BACKEND == "clinic.jobs.console.ReadableConsoleBackend":
        yield Doubt(
            "EMAIL_URL is not set: mails go to the console, and nobody can confirm an address.",
            hint="Set EMAIL_URL=smtp+tls://USER:PASSWORD@HOST:587.",
            id="clinic.W008",
        )
    if settings.DEFAULT_FROM_EMAIL.rstrip(">").endswith("@example.org"):
        yield Doubt(
            "DEFAULT_FROM_EMAIL is the sample address, whose mails are refused everywhere.",
            hint='Set DEFAULT_FROM_EMAIL="Your clinic <appointments@clinic.example.org>".',
            id="clinic.W009",
        )


def regular_jobs() -> Iterator[CheckMessage]:
    names = [name for name, _function, _seconds in settings.REGULAR_JOBS]
    if len(names) != len(set(names)):
        yield Error(
            "REGULAR_JOBS names a job twice; only one of them would run.",
            hint="Give each job in clinic/settings.py a name of its own.",
            id="clinic.E010",
        )
    for name, function, seconds in settings.REGULAR_JOBS:
        try:
            usable = callable(import_string(function))
        except ImportError:
            usable = False
        if not usable or seconds < 1:
            yield Error(
                f"The regular job {name!r} cannot run: {function} every {seconds} s.",
                hint="Name an importable function and at least one second in clinic/settings.py.",
                id="clinic.E011",
            )


@register(Tags.security)
def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return [*public_address(), *surroundings(), *mail(), *regular_jobs()]
