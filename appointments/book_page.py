"""What the page says on which people check a visit and book it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Patient, User
from appointments.forms import BookingForm
from appointments.models import Appointment, SlotHold
from appointments.refusals import PatientBusy, Refusal, SecondVisit
from appointments.templatetags.times import book_address, duration, price
from appointments.visit_words import When, clock_words, own_zone, when_words
from appointments.zones import local
from clinic.directory.models import Doctor, Hospital, Service, Visit


@dataclass(frozen=True)
class Asked:
    """The visit that somebody asks for: a service of a public doctor, and a moment in UTC."""

    service: Service
    at: datetime

    @property
    def doctor(self) -> Doctor:
        return self.service.doctor

    @property
    def hospital(self) -> Hospital:
        return self.service.hospital

    @property
    def zone(self) -> str:
        return self.service.hospital.time_zone

    @property
    def ends_at(self) -> datetime:
        return self.at + timedelta(minutes=self.service.minutes)

    @property
    def address(self) -> str:
        """Where this page is shown again, for whoever signs in or changes something in between."""
        return book_address(self.doctor.slug, self.service.code, self.at)

    @property
    def times_address(self) -> str:
        """The doctor's times around the one asked for."""
        day = local(self.at, self.zone).date()
        query = {"service": self.service.code, "date": day.isoformat()}
        return f"{reverse('doctor', args=[self.doctor.slug])}?{urlencode(query)}#times"


@dataclass
class Page:
    """What the template shows beside the form. ``refusal`` explains why nothing was booked."""

    asked: Asked
    form: BookingForm
    key: str
    charts: list[Patient]
    now: datetime
    hold: SlotHold | None = None
    refusal: Refusal | None = None
    own_visit: Appointment | None = None
    problems: list[tuple[str, str]] = field(default_factory=list)


def charts_of(user: Any, now: datetime) -> list[Patient]:
    """Charts that ``user`` may book for, the own one first."""
    charts = Patient.objects.in_care_of(user, now).current().order_by("name", "pk")
    return sorted(charts, key=lambda chart: chart.account_id != user.pk)


def where_words(hospital: Hospital, visit: str) -> str:
    if visit == Visit.VIDEO:
        return _("Video visit with %(hospital)s") % {"hospital": hospital.name}
    return f"{hospital.name}, {hospital.full_address}"


def service_words(service: Service) -> str:
    parts = [service.name, duration(service.minutes), price(service.price_cents)]
    return ", ".join(part for part in parts if part)


def free_until_words(doctor: Doctor, starts_at: datetime, zone: str, now: datetime) -> str:
    """Until when cancelling is free, as a sentence."""
    deadline = starts_at - timedelta(hours=doctor.cancel_hours)
    facts = {
        "until": _("%(date)s, %(time)s")
        % {
            "date": when_words(deadline, deadline, zone).date,
            "time": clock_words(deadline, zone),
        },
        # Not "1 day": across a change of the clocks a day has 23 or 25 hours.
        "before": ngettext("%(count)d hour", "%(count)d hours", doctor.cancel_hours)
        % {"count": doctor.cancel_hours},
    }
    if not doctor.cancel_hours:
        return _("You can cancel free of charge until the visit begins.")
    if deadline <= now:
        return _("Cancelling less than %(before)s before the visit counts as late.") % facts
    return _("You can cancel free of charge until %(until)s (%(before)s before).") % facts


def context_of(page: Page, request: HttpRequest) -> dict[str, Any]:
    asked, user = page.asked, request.user
    zone = own_zone(user)
    when = when_words(asked.at, asked.ends_at, asked.zone, zone)
    hold = page.hold if page.hold is not None and page.hold.held_until > page.now else None
    return {
        "page": page,
        "title": _title(page, user),
        "form": page.form,
        "asked": asked,
        "doctor": asked.doctor,
        "service": asked.service,
        "hospital": asked.hospital,
        "when": when,
        "rows": _rows(page, user, when),
        "charts": page.charts,
        "hold": hold,
        "hold_until": clock_words(hold.held_until, zone or asked.zone) if hold else "",
        "refusal": page.refusal,
        "existing": _in_the_way(page.refusal),
        "replaces": isinstance(page.refusal, PatientBusy),
        "problems": page.problems,
        "has_errors": page.refusal is not None or bool(page.problems),
        "hold_minutes": settings.HOLD_SECONDS // 60,
        # Said of the time that will be booked, which the form may still have to ask for.
        "cancel_rule": ""
        if "at" in page.form.fields
        else free_until_words(asked.doctor, asked.at, asked.zone, page.now),
        "takes_charts": bool(page.charts) or not user.is_authenticated,
        "person_add": f"{reverse('person_add')}?{urlencode({'next': asked.address})}",
    }


def _title(page: Page, user: Any) -> str:
    if "at" in page.form.fields:
        return _("Choose another time")
    return _("Check and confirm") if user.is_authenticated else _("Check your visit")


def _in_the_way(refusal: Refusal | None) -> dict[str, Any] | None:
    visit: Appointment | None = None
    if isinstance(refusal, PatientBusy):
        visit = refusal.clashing
    elif isinstance(refusal, SecondVisit):
        visit = refusal.existing
    if visit is None:
        return None
    return {"visit": visit, "zone": visit.hospital.time_zone}


def _rows(page: Page, user: Any, when: When) -> list[dict[str, Any]]:
    """The summary list: what is known, each row with a link that changes it and comes back."""
    asked = page.asked
    doctor, times = asked.doctor, asked.times_address
    name = f"{doctor.display_name}, {doctor.credentials}".rstrip(", ")
    zone_line = [when.own] if when.own else []
    rows: list[dict[str, Any]] = [
        {"key": _("Doctor"), "value": name, "href": reverse("doctors"), "what": _("doctor")},
        {
            "key": _("When"),
            "value": f"{when.date}, {when.times}",
            "lines": [when.zone, *zone_line],
            "href": times,
            "what": _("date and time"),
        },
        {"key": _("Where"), "value": where_words(asked.hospital, asked.service.visit)},
        {
            "key": _("Visit"),
            "value": service_words(asked.service),
            "href": times,
            "what": _("kind of visit"),
        },
    ]
    if "at" in page.form.fields:
        del rows[1]  # that time cannot be had; the form asks for another one
    if isinstance(user, User) and len(page.charts) == 1:
        chart = page.charts[0]
        own = chart.account_id == user.pk
        rows.append(
            {
                "key": _("Who"),
                "value": _("You (%(name)s)") % {"name": chart.name} if own else chart.name,
                "href": f"{reverse('person_add')}?{urlencode({'next': asked.address})}",
                "what": _("who the visit is for"),
            }
        )
    return rows
