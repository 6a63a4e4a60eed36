"""The control: a booking page as it is often written, which looks and then inserts.

Same middleware, sign-in, form and redirect as the real one, but no lock, no holds, no idempotency
key, no audit row, no care relation and no mail. What the real one costs more is the price of all
that; what this one books twice is what the price is for.
"""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.utils import timezone

from accounts.models import User
from appointments import asked
from appointments.book_page import charts_of
from appointments.forms import BookingForm, own_chart
from clinic.directory.models import Service
from clinic.urls import urlpatterns as product
from tests.races.naive import check_then_insert


@login_required
def book(request: HttpRequest, slug: str) -> HttpResponse:
    service = get_object_or_404(
        Service.objects.filter(is_active=True).select_related("doctor", "hospital"),
        code=request.POST.get("service"),
        doctor__slug=slug,
    )
    now = timezone.now()
    assert isinstance(request.user, User)
    charts = charts_of(request.user, now)
    form = BookingForm(request.POST, charts=charts, user=request.user)
    patient = own_chart(charts, request.user)
    if patient is None or not form.is_valid():
        return HttpResponse(status=422)
    starts_at = asked.moment(request.POST.get("at"))
    visit = check_then_insert(service, patient, starts_at, now)
    if visit is None:
        return HttpResponse(status=409)
    return redirect("appointment", public_id=visit.public_id)


urlpatterns = [path("naive/doctors/<slug:slug>/book/", book), *product]
