"""What the pages of the waiting list say, and what their addresses ask for."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Prefetch
from django.http import Http404, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts.models import User
from appointments.book_page import service_words
from appointments.edges import visit_or_404
from appointments.forms_waitlist import PARTS
from appointments.models import Appointment, WaitlistEntry, WaitlistOffer
from appointments.templatetags.times import book_address, long_date, utc_iso, when_at
from appointments.visit_page import is_open
from appointments.waitlist import Wish, parts_of, waiting
from appointments.zones import local
from clinic.directory.models import Doctor, Hospital, Service, Specialty, Visit

AHEAD = timedelta(days=28)  # the last day that a form begins with


@dataclass(frozen=True)
class Asked:
    """What an address asks to wait for. ``services``: of the doctor, the first one preselected, or
    none with a specialty. ``earlier_than``: the visit that should be earlier."""

    hospital: Hospital
    services: tuple[Service, ...] = ()
    specialty: Specialty | None = None
    visit: str = ""
    earlier_than: Appointment | None = None

    @property
    def can_be_waited_for(self) -> bool:
        return bool(self.services) or self.specialty is not None

    @property
    def address(self) -> str:
        """This page again, for whoever adds a person in between."""
        if self.earlier_than is not None:
            query = {"earlier": str(self.earlier_than.public_id)}
        elif self.specialty is not None:
            query = {"specialty": self.specialty.slug, "hospital": self.hospital.slug}
            query |= {"visit": self.visit} if self.visit else {}
        else:
            first = self.services[0]
            query = {"doctor": first.doctor.slug, "service": first.code}
        return f"{reverse('waitlist_add')}?{urlencode(query)}"

    def wish(self, code: str, visit: str) -> Wish:
        """What is waited for, with the service or the kind of visit that the form names."""
        if self.specialty is not None:
            return Wish(self.hospital, specialty=self.specialty, visit=visit)
        service = next((one for one in self.services if one.code == code), self.services[0])
        return Wish(service.hospital, service=service, earlier_than=self.earlier_than)


def asked(query: QueryDict, user: Any, now: datetime) -> Asked:
    """What the address asks for. 404 for what does not exist or is somebody else's."""
    if earlier := query.get("earlier"):
        return _earlier(earlier, user, now)
    if doctor := query.get("doctor"):
        return _of_doctor(doctor, query.get("service", ""))
    specialty = get_object_or_404(Specialty, slug=query.get("specialty", ""))
    listed = Hospital.objects.listed().exclude(time_zone="")
    hospital = get_object_or_404(listed, slug=query.get("hospital", ""))
    visit = query.get("visit", "")
    return Asked(hospital, specialty=specialty, visit=visit if visit in Visit.values else "")


def _earlier(text: str, user: Any, now: datetime) -> Asked:
    try:
        public_id = uuid.UUID(text)
    except ValueError:
        raise Http404 from None
    mine = Appointment.objects.in_care_of(user, now).with_parts()
    visit = visit_or_404(mine, public_id=public_id, user=user)
    service = visit.service
    if service is None or not service.is_active or not visit.doctor.is_public:
        return Asked(visit.hospital, earlier_than=visit)
    service.doctor, service.hospital = visit.doctor, visit.hospital
    services = (service,) if is_open(visit, now) else ()
    return Asked(visit.hospital, services, earlier_than=visit)


def _of_doctor(slug: str, code: str) -> Asked:
    doctor = get_object_or_404(Doctor.objects.public(), slug=slug)
    services = list(
        Service.objects.filter(doctor=doctor, is_active=True)
        .exclude(hospital__time_zone="")
        .select_related("hospital")
        .order_by("position", "pk")
    )
    if not services:
        raise Http404
    for service in services:
        service.doctor = doctor
    services.sort(key=lambda service: service.code != code)  # the others keep their order
    return Asked(services[0].hospital, tuple(services))


def initial(wish: Asked, now: datetime) -> dict[str, Any]:
    """What the form begins with: from today, for four weeks or until the visit there is."""
    zone = wish.hospital.time_zone
    today = local(now, zone).date()
    latest = today + AHEAD
    if wish.earlier_than is not None:
        latest = max(today, local(wish.earlier_than.starts_at, zone).date())
    return {
        "earliest": today,
        "latest": latest,
        "parts": [part for part, _words in PARTS],
        "service": wish.services[0].code if wish.services else "",
        "visit": wish.visit,
    }


def services_in_words(services: Iterable[Service]) -> list[tuple[Service, str]]:
    return [(service, f"{service_words(service)}, {service.hospital.name}") for service in services]


def what_words(wish: Asked) -> str:
    """What is waited for, as the page's sentence says it."""
    if wish.earlier_than is not None:
        return _earlier_words(wish.earlier_than.starts_at, wish.hospital.time_zone)
    if wish.specialty is not None:
        return _("%(specialty)s at %(hospital)s") % {
            "specialty": wish.specialty.name,
            "hospital": wish.hospital.name,
        }
    return wish.services[0].doctor.display_name


def _earlier_words(starts_at: datetime, zone: str) -> str:
    return _("Earlier than the visit on %(when)s") % {"when": when_at(starts_at, zone)}


@dataclass(frozen=True)
class Line:
    """An entry as its owner reads it. ``offers``: (when, address or "" once it is past)."""

    entry: WaitlistEntry
    title: str
    what: str
    whose: str
    days: str
    parts: str
    offers: list[tuple[str, str]]


def lines_of(user: Any, now: datetime) -> list[Line]:
    """The entries that still wait, in the order in which they were made."""
    offers = WaitlistOffer.objects.select_related("service", "service__hospital", "doctor")
    entries = (
        waiting(now)
        .in_care_of(user, now)
        .with_parts()
        .prefetch_related(Prefetch("offers", offers.order_by("starts_at", "pk")))
        .order_by("created_at", "pk")
    )
    return [_line(entry, user, now) for entry in entries]


def _line(entry: WaitlistEntry, user: Any, now: datetime) -> Line:
    patient = entry.patient
    own = isinstance(user, User) and patient.account_id == user.pk
    if entry.doctor is not None and entry.service is not None:
        title = entry.doctor.display_name
        what = f"{service_words(entry.service)}, {entry.hospital.name}"
        if entry.before is not None:
            title = _("%(doctor)s, earlier") % {"doctor": title}
            what = _earlier_words(entry.before, entry.hospital.time_zone)
    else:
        title = entry.specialty.name if entry.specialty is not None else ""
        kind = dict(Visit.choices).get(entry.visit)
        what = ", ".join(str(part) for part in (entry.hospital.name, kind) if part)
    chosen = parts_of(entry)
    words = [str(text) for part, text in PARTS if part in chosen]
    return Line(
        entry=entry,
        title=title,
        what=what,
        whose=(_("For you (%(name)s)") if own else _("For %(name)s")) % {"name": patient.name},
        days=_("%(first)s to %(last)s")
        % {"first": long_date(entry.earliest), "last": long_date(entry.latest)},
        parts=_("Any time of the day") if len(words) == len(PARTS) else "; ".join(words),
        offers=[
            (
                when_at(offer.starts_at, offer.service.hospital.time_zone),
                address_of(
                    offer.service, offer.starts_at, entry.earlier_than, slug=offer.doctor.slug
                )
                if offer.starts_at > now
                else "",
            )
            for offer in entry.offers.all()
        ],
    )


def address_of(
    service: Service, starts_at: datetime, earlier_than: Appointment | None, *, slug: str
) -> str:
    """The ordinary page on which a time is booked, or a visit moved to it."""
    if earlier_than is None:
        return book_address(slug, service.code, starts_at)
    page = reverse("appointment_move", args=[earlier_than.public_id])
    return f"{page}?{urlencode({'at': utc_iso(starts_at)})}"
