"""Finding hospitals by name, town, state or ZIP code, and what a hospital offers."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet

from clinic.directory.models import Doctor, Hospital, HospitalQuerySet, Service
from clinic.directory.states import split_state
from clinic.directory.text import fold

LONGEST_QUERY = 100  # characters; the rest of a pasted text is not compared


def public_services() -> QuerySet[Service]:
    """Services that visitors may see: bookable ones of approved doctors."""
    return Service.objects.filter(
        is_active=True, doctor__verified_at__isnull=False, doctor__withdrawn_at__isnull=True
    )


def find_hospitals(
    *, words: str = "", emergency_care: bool = False, with_doctors: bool = False
) -> HospitalQuerySet:
    """Listed hospitals whose name, town, state and ZIP code hold all ``words``.

    Those with doctors to book (``has_doctors``) come first, then by state and town.
    """
    bookable = Exists(public_services().filter(hospital=OuterRef("pk")))
    found = Hospital.objects.listed().annotate(has_doctors=bookable)
    folded = fold(words[:LONGEST_QUERY])
    rest, state = split_state(folded)
    by_words = Q(*(Q(search_text__contains=word) for word in rest.split()))
    if state and not rest:
        # "Washington" alone may be the state or a part of a name.
        found = found.filter(Q(state=state) | Q(search_text__contains=folded))
    else:
        found = found.filter(by_words & Q(state=state) if state else by_words)
    if emergency_care:
        found = found.filter(emergency_care=True)
    if with_doctors:
        found = found.filter(has_doctors=True)
    return found.order_by("-has_doctors", "state", "city", "name", "pk")


def doctors_at(hospital: Hospital) -> QuerySet[Doctor]:
    """Public doctors who can be booked at ``hospital``, by name."""
    here = Service.objects.filter(doctor=OuterRef("pk"), hospital=hospital, is_active=True)
    return Doctor.objects.public().filter(Exists(here)).order_by("search_text", "pk")
