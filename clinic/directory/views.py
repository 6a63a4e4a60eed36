"""Public pages of hospitals, without free times (those belong to `appointments`), and the sign-up
of doctors."""

from __future__ import annotations

from itertools import groupby

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.views import AccountSignupView
from clinic.directory.finding import doctors_at, find_hospitals, public_services
from clinic.directory.forms import DoctorSignupForm
from clinic.directory.models import Doctor, Hospital
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
    bookable = doctors_at(place).prefetch_related("specialties")
    page = Paginator(bookable, DOCTORS_PER_PAGE).get_page(request.GET.get("page"))
    doctors = list(page.object_list)
    services = (
        public_services()
        .filter(hospital=place, doctor__in=doctors)
        .order_by("doctor_id", "position", "pk")
    )
    by_doctor = {pk: list(rows) for pk, rows in groupby(services, key=lambda row: row.doctor_id)}
    canonical = absolute(reverse("hospital", args=[place.slug]))
    context = {
        "hospital": place,
        "canonical": canonical,
        "page_obj": page,
        "count": page.paginator.count,
        "doctors": [
            {"doctor": doctor, "services": by_doctor.get(doctor.pk, [])} for doctor in doctors
        ],
        "structured": json_ld(hospital_data(place, url=canonical)),
    }
    return render(request, "directory/hospital.html", context)


class DoctorSignupView(AccountSignupView):
    """An account for a doctor, and a page about the doctor that waits for an approval."""

    signup_form_class = DoctorSignupForm
    template_name = "directory/doctor_signup.html"


@require_safe
@login_required
def my_sign_up(request: HttpRequest) -> HttpResponse:
    """Where a doctor's sign-up stands, and what happens next."""
    doctor = get_object_or_404(
        Doctor.objects.prefetch_related("specialties"), user_id=request.user.pk
    )
    return render(request, "directory/my_sign_up.html", {"doctor": doctor})
