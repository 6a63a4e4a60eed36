"""What a new doctor still lacks until patients can book."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _

from clinic.directory.models import Doctor, OpeningHours, Service


@dataclass(frozen=True)
class Item:
    text: str
    done: bool
    href: str = ""
    hint: str = ""


def checklist(doctor: Doctor, today: date) -> list[Item]:
    """The steps of a doctor who cannot be booked yet; none for one who can."""
    hours = OpeningHours.objects.filter(
        Q(valid_until=None) | Q(valid_until__gt=today), doctor=doctor
    ).values("hospital_id")
    services = Service.objects.filter(doctor=doctor, is_active=True)
    has_services = services.exists()
    # Hours at one hospital and services at another make no time that can be booked.
    has_hours = services.filter(hospital__in=hours).exists() if has_services else hours.exists()
    if doctor.is_public and has_services and has_hours:
        return []
    own_page = reverse("admin:directory_doctor_change", args=[doctor.pk])
    return [
        Item(
            _("Say who you are: about you, languages, new patients"),
            bool(doctor.about) and doctor.languages.exists(),
            own_page,
        ),
        Item(
            _("Add the services that patients can book"),
            has_services,
            f"{own_page}#services-group",
            _("The directory manager enters your first service, at the hospital where you work."),
        ),
        Item(_("Enter your opening hours"), has_hours, reverse("hours")),
        Item(
            _("Staff approve you"),
            doctor.is_public,
            hint=_("They check your license and identity. There is nothing you need to do."),
        ),
    ]
