"""Public pages of hospitals. They show no free times: those are a matter of `appointments`."""

from __future__ import annotations

from itertools import groupby

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from clinic.directory.finding import doctors_at, find_hospitals, public_services
from clinic.directory.models import Hospital
from clinic.directory.structured import hospital_data, json_ld
from clinic.links import absolute

HOSPITALS_PER_PAGE = 25
DOCTORS_PER_PAGE = 30


@require_safe
def hospitals(request: HttpRequest) -> HttpResponse:
    words = request.GET.get("q", "").strip()
    emergency_care = request.GET.get("emergency") == "1"
    with_doctors = request.GET.get("doctors") == "1"
    found = find_hospitals(words=words, emergency_care=emergency_care, with_doctors=with_doctors)
    page = Paginator(found, HOSPITALS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page_obj": page,
        "count": page.paginator.count,
        "words": words,
        "emergency_care": emergency_care,
        "with_doctors": with_doctors,
    }
    return render(request, "directory/hospitals.html", context)


@require_safe
def hospital(request: HttpRequest, slug: str) -> HttpResponse:
    place = get_object_or_404(Hospital.objects.listed(), slug=slug)
    page = Paginator(doctors_at(place), DOCTORS_PER_PAGE).get_page(request.GET.get("page"))
    doctors = list(page.object_list.prefetch_related("specialties"))
    services = (
        public_services()
        .filter(hospital=place, doctor__in=doctors)
        .order_by("doctor_id", "position", "pk")
    )
    by_doctor = {pk: list(rows) for pk, rows in groupby(services, key=lambda row: row.doctor_id)}
    context = {
        "hospital": place,
        "page_obj": page,
        "count": page.paginator.count,
        "doctors": [
            {"doctor": doctor, "services": by_doctor.get(doctor.pk, [])} for doctor in doctors
        ],
        "structured": json_ld(hospital_data(place, url=absolute(reverse("hospital", args=[slug])))),
    }
    return render(request, "directory/hospital.html", context)
