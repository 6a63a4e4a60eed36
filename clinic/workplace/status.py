"""The operator's status page: backups, restore drills, nightly checks, the queue and mails.

Each with its date, in words, and with what to do. The limits are those of the alerts
(deploy/monitoring/alerts.yml), so that the page and the monitoring never disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Count, Max
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_safe

from accounts.models import Role
from clinic.jobs.measures import waiting
from clinic.jobs.models import Check, OutgoingMail

STUCK_AFTER = timedelta(minutes=5)
MAILS_LOOKED_BACK = timedelta(days=1)


@dataclass(frozen=True)
class Watched:
    """A check that must run again and again. ``heading``: its part of the runbook."""

    title: str | Promise
    most: timedelta | None  # since it last ended well
    often: str | Promise  # the same in words
    todo: str | Promise
    heading: str


WATCHED: dict[str, Watched] = {
    "backup": Watched(
        gettext_lazy("Backup"),
        timedelta(minutes=15),
        gettext_lazy("15 minutes"),
        gettext_lazy(
            "Read the log of the service “backup”: the space where backups are kept, the key, or "
            "MySQL. Nothing that is booked now may be restorable."
        ),
        "Backup old",
    ),
    "restore_drill": Watched(
        gettext_lazy("Restore drill"),
        timedelta(days=35),
        gettext_lazy("5 weeks"),
        gettext_lazy("Run a drill with the private key: a backup that nobody restored is none."),
        "Restore drill old",
    ),
    "bookings": Watched(
        gettext_lazy("Check of the visits"),
        timedelta(days=2),
        gettext_lazy("2 days"),
        gettext_lazy(
            "Run “manage.py check_bookings” and keep what it prints; call the patients of an "
            "overlap first. When it did not run, look at the worker."
        ),
        "Check failed",
    ),
    "audit": Watched(
        gettext_lazy("Check of the audit trail"),
        timedelta(days=2),
        gettext_lazy("2 days"),
        gettext_lazy(
            "Run “manage.py check_audit”; keep what it prints and a copy of the database before "
            "anything is changed. When it did not run, look at the worker."
        ),
        "Check failed",
    ),
}


@dataclass(frozen=True)
class Line:
    """One line of the page. ``todo`` and ``heading`` are empty while all is well."""

    title: str
    words: str
    is_well: bool
    at: datetime | None = None
    ago: str = ""
    detail: str = ""
    todo: str = ""
    heading: str = ""


def lines(now: datetime) -> list[Line]:
    """Everything that is watched, in five queries."""
    return [*check_lines(now), _queue(now), _mails(now)]


def check_lines(now: datetime) -> list[Line]:
    """The checks, those that never ran included."""
    noted = {check.name: check for check in Check.objects.all()}
    return [
        *(_check(watched, noted.get(name), now) for name, watched in WATCHED.items()),
        *_further(noted, now),
    ]


def unwell(now: datetime) -> int:
    """How many of the checks need somebody; one query."""
    return sum(not line.is_well for line in check_lines(now))


def _further(noted: dict[str, Check], now: datetime) -> Iterator[Line]:
    """What scripts of the operator's own noted (`manage.py record_check`)."""
    for name in sorted(set(noted) - set(WATCHED)):
        todo = _("Look at the script that notes it.")
        own = Watched(name.replace("_", " ").capitalize(), None, "", todo, "Check failed")
        yield _check(own, noted[name], now)


def _check(watched: Watched, check: Check | None, now: datetime) -> Line:
    title = str(watched.title)
    todo: dict[str, Any] = {"todo": str(watched.todo), "heading": watched.heading}
    if check is None:
        return Line(title, _("This was never noted."), is_well=False, **todo)
    facts: dict[str, Any] = {"at": check.at, "ago": _ago(check.at, now), "detail": check.detail}
    if not check.is_ok:
        words = _("Failed.")
        if check.passed_at:
            words = _("Failed. It last ended well %(ago)s ago.") % {
                "ago": _ago(check.passed_at, now)
            }
        return Line(title, words, is_well=False, **facts, **todo)
    if watched.most is not None and now - check.at > watched.most:
        words = _("Too old: it should end well every %(often)s.") % {"often": watched.often}
        return Line(title, words, is_well=False, **facts, **todo)
    return Line(title, _("Ended well."), is_well=True, **facts)


def _queue(now: datetime) -> Line:
    """Mails, tasks and regular jobs that are due and that no worker has taken."""
    due = waiting(now)
    number = sum(count for count, _seconds in due.values())
    oldest = max(seconds for _count, seconds in due.values())
    title = _("Queue")
    if not number:
        return Line(title, _("Nothing waits."), is_well=True, at=now)
    facts = {"count": number, "ago": _ago(now - timedelta(seconds=oldest), now)}
    words = ngettext(
        "%(count)d thing is due, since %(ago)s.",
        "%(count)d things are due, the oldest since %(ago)s.",
        number,
    )
    if oldest <= STUCK_AFTER.total_seconds():
        return Line(title, words % facts, is_well=True, at=now)
    todo = _("No worker takes what is due: look whether one runs, then at its log.")
    return Line(title, words % facts, False, at=now, todo=todo, heading="Queue stuck")


def _mails(now: datetime) -> Line:
    given_up = OutgoingMail.objects.exclude(failed_at=None).aggregate(
        number=Count("pk"), last=Max("failed_at")
    )
    title, number, last = _("Mails"), given_up["number"], given_up["last"]
    if not number:
        return Line(title, _("None was given up."), is_well=True, at=now)
    words = ngettext(
        "%(count)d mail was given up.", "%(count)d mails were given up; the last one:", number
    ) % {"count": number}
    facts: dict[str, Any] = {"at": last, "ago": _ago(last, now)}
    if now - last > MAILS_LOOKED_BACK:
        return Line(title, words, is_well=True, **facts)
    todo = _("The list of outgoing mails has the mail server's code.")
    return Line(title, words, False, **facts, todo=todo, heading="Mails given up")


def _ago(moment: datetime, now: datetime) -> str:
    return timesince(moment, now, depth=1)


@require_safe
def operator_status(request: HttpRequest) -> HttpResponse:
    """For administrators; there is no such page for others."""
    user, now = request.user, timezone.now()
    if not (user.is_authenticated and user.is_active and user.role == Role.ADMINISTRATOR):
        raise Http404
    found = lines(now)
    context = {
        **admin.site.each_context(request),
        "title": _("State of the system"),
        "lines": found,
        "unwell": sum(not line.is_well for line in found),
        "now": now,
        "zone": user.time_zone or "UTC",
    }
    return render(request, "workplace/status.html", context)
