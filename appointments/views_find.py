"""Public pages for finding a doctor. They are the same for everybody and write nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from operator import itemgetter

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from accounts.languages import SPOKEN_LANGUAGES
from appointments.doctor_page import doctor_page
from appointments.find_words import asked_for, heading, sentences, ways_on, zone_of, zone_sentence
from appointments.forms_find import address_of, read_criteria
from appointments.search import DISTANCES, find_doctors
from clinic.directory.models import Doctor, Specialty, Visit

POPULAR_SPECIALTIES = 12


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    public = Q(doctors__verified_at__isnull=False, doctors__withdrawn_at__isnull=True)
    popular = (
        Specialty.objects.annotate(doctor_count=Count("doctors", filter=public))
        .filter(doctor_count__gt=0)
        .order_by("-doctor_count", "name")[:POPULAR_SPECIALTIES]
    )
    return render(request, "find/home.html", {"popular": sorted(popular, key=lambda row: row.name)})


@require_safe
def doctors(request: HttpRequest) -> HttpResponse:
    """The search. A page beyond the last one is a page that says so, with status 404."""
    now = timezone.now()
    criteria, problems = read_criteria(request.GET, now=now)
    results = find_doctors(criteria, now=now)
    shared_zone = zone_sentence(results.found)
    page = criteria.page
    context = {
        "results": results,
        "criteria": criteria,
        "heading": heading(results),
        "notes": [*problems, *sentences(results)],
        "asked_for": asked_for(results) if not results.total else [],
        "ways_on": ways_on(results),
        "zone": shared_zone,
        "cards": [
            {"item": item, "zone": "" if shared_zone else zone_of(item)} for item in results.found
        ],
        "visits": Visit.choices,
        "specialties": [(subject.slug, subject.name) for subject in results.specialties],
        "languages": _languages(get_language()),
        "distances": DISTANCES,
        "first_page": address_of(replace(criteria, page=1)),
        "previous": address_of(replace(criteria, page=page - 1)) if page > 1 else "",
        "next": address_of(replace(criteria, page=page + 1)) if page < results.pages else "",
        "without_hospital": address_of(replace(criteria, hospital="", page=1)),
    }
    status = 200 if results.page_exists else 404
    return render(request, "find/doctors.html", context, status=status)


@cache
def _languages(_shown_in: str | None) -> list[tuple[str, str]]:
    """Languages to filter by, in the order of their names in the language of the page."""
    return sorted(((code, str(name)) for code, name in SPOKEN_LANGUAGES), key=itemgetter(1))


@require_safe
def doctor(request: HttpRequest, slug: str) -> HttpResponse:
    """One doctor with a month of free times; ``service``, ``month`` and ``date`` choose them."""
    found = get_object_or_404(
        Doctor.objects.public().prefetch_related("specialties", "languages"), slug=slug
    )
    context = doctor_page(
        found,
        code=request.GET.get("service", ""),
        month=request.GET.get("month", ""),
        day=request.GET.get("date", ""),
        now=timezone.now(),
    )
    return render(request, "find/doctor.html", context)
