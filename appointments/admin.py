"""Visits and patients in the admin: lists of whose they are, to find and not to change.

A row opens the page of its visit or chart, where the rules are; nothing is typed in here. Who asks
for a row that is not theirs finds none: lists, searches, filters, history and every other page of
the admin begin with `get_queryset`.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext_lazy, pgettext

from accounts.admin import LargeList, SearchedByForm, ShownOnly
from accounts.audit import record
from accounts.models import Patient
from accounts.roles import Role
from appointments.care import known_to_reception, patients_of
from appointments.models import Appointment
from appointments.visit_words import clock_words
from appointments.zones import local
from clinic.directory.models import Doctor
from clinic.directory.staff import hospitals_of
from clinic.directory.text import fold

DIGITS_OF_A_PHONE = 4  # fewer digits would find half of the town
WORDS_SEARCHED = 6
DOCTORS_SEARCHED = 200
BIRTH_DATE_FORMATS = ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y")


class WhenFilter(admin.SimpleListFilter):
    """Spans of days around now. Django's own date navigation would read every visit there is."""

    title = gettext_lazy("when")
    parameter_name = "when"
    SPANS: dict[str, tuple[Any, int, int]] = {
        "week": (gettext_lazy("Next 7 days"), -1, 7),
        "month": (gettext_lazy("Next 30 days"), -1, 30),
        "coming": (gettext_lazy("All that come"), -1, 36_500),
        "last_week": (gettext_lazy("Last 7 days"), -7, 0),
        "past": (gettext_lazy("All before"), -36_500, 0),
    }
    DEFAULT = "week"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(key, words) for key, (words, _first, _last) in self.SPANS.items()]

    def choices(self, changelist: Any) -> Any:
        for key, words in self.lookup_choices:
            yield {
                "selected": (self.value() or self.DEFAULT) == key,
                "query_string": changelist.get_query_string({self.parameter_name: key}),
                "display": words,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        asked = self.value()
        if asked is None and request.GET.get(SEARCH_VAR):
            return queryset  # a reference is looked for at any time
        if (asked or self.DEFAULT) not in self.SPANS:
            raise IncorrectLookupParameters
        _words, first, last = self.SPANS[asked or self.DEFAULT]
        now = timezone.now()
        # A day more at the begin, so that the morning of today is there in every zone.
        try:
            start, end = now + timedelta(days=first), now + timedelta(days=last)
        except OverflowError as error:
            raise IncorrectLookupParameters from error
        return queryset.filter(starts_at__gte=start, starts_at__lt=end)

    @classmethod
    def is_past(cls, request: HttpRequest) -> bool:
        return request.GET.get(cls.parameter_name) in {"last_week", "past"}


@admin.register(Appointment)
class AppointmentAdmin(ShownOnly, LargeList, admin.ModelAdmin):
    """Visits that the reader handles: reception the own hospitals', a doctor the own ones."""

    list_display = ("starts", "patient_name", "doctor", "service_name", "status", "reference")
    list_display_links = None
    list_filter = (WhenFilter, "status")
    list_select_related = ("doctor", "hospital", "patient")
    search_fields = ("=reference",)  # shows the field; `get_search_results` says what is found
    search_help_text = gettext_lazy("A visit’s reference, or the name of a doctor")
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Appointment]:
        visits = Appointment.objects.handled_by(request.user)
        if getattr(request.user, "role", "") == Role.RECEPTION:
            # Read at once: for the subquery the databases would give up the index by time.
            here = list(hospitals_of(request.user).values_list("pk", flat=True))
            visits = visits.filter(hospital__in=here)
        return visits

    def get_list_display(self, request: HttpRequest) -> Any:
        shown = list(self.list_display)
        if getattr(request.user, "role", "") == Role.DOCTOR:
            shown.remove("doctor")
        return shown

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        sign = "-" if WhenFilter.is_past(request) or request.GET.get(SEARCH_VAR) else ""
        return (f"{sign}starts_at", f"{sign}pk")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Appointment], search_term: str
    ) -> tuple[QuerySet[Appointment], bool]:
        words = search_term.upper().split()[:WORDS_SEARCHED]
        if not words:
            return queryset, False
        if len(words) == 1 and queryset.filter(reference=words[0]).exists():
            return queryset.filter(reference=words[0]), False
        doctors = Doctor.objects.all()
        for word in words:
            doctors = doctors.filter(search_text__contains=fold(word))
        # Read at once: each doctor's visits lie side by side in an index.
        found = list(doctors.values_list("pk", flat=True)[:DOCTORS_SEARCHED])
        return queryset.filter(doctor__in=found), False

    @admin.display(description=gettext_lazy("starts"))
    def starts(self, visit: Appointment) -> str:
        return _link("desk_visit", visit.public_id, _when(visit))

    @admin.display(description=gettext_lazy("patient"))
    def patient_name(self, visit: Appointment) -> str:
        return visit.patient.name

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kw: Any
    ) -> HttpResponse:
        """The page of the visit; a visit of somebody else is answered as one that nobody has."""
        visit = self.get_object(request, object_id)
        if request.method == "POST" or visit is None:
            answer: HttpResponse = super().change_view(request, object_id, *args, **kw)
            return answer
        return HttpResponseRedirect(reverse("desk_visit", args=[visit.public_id]))


def _link(page: str, public_id: UUID, words: str) -> str:
    return format_html('<a href="{}">{}</a>', reverse(page, args=[public_id]), words)


def _when(visit: Appointment) -> str:
    """``"Wed, Nov 25, 2026, 9:10 am EST"``."""
    zone = visit.hospital.time_zone
    day = date_format(local(visit.starts_at, zone), pgettext("date in a list", "D, M j, Y"))
    return f"{day}, {clock_words(visit.starts_at, zone)}"


@admin.register(Patient)
class PatientAdmin(ShownOnly, SearchedByForm, LargeList, admin.ModelAdmin):
    """Charts the reader knows: reception those of the own hospitals, a doctor the own patients.

    A search leaves one row in the trail that says who searched and how many were shown; no
    patient's chain grows by it, since a name in a list tells nothing about health, and a chart that
    is opened has its own row.
    """

    list_display = ("contact_link", "birth_date_words", "phone", "has_account")
    list_display_links = None
    search_fields = ("name",)  # shows the field; `get_search_results` says what is found
    search_help_text = gettext_lazy("Name, birth date (month/day/year) or phone number")
    ordering = ("name", "pk")
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Patient]:
        if getattr(request.user, "role", "") == Role.DOCTOR:
            mine = patients_of(request.user, timezone.now())
            return Patient.objects.current().filter(pk__in=mine)
        return known_to_reception(request.user)

    def note_search(self, request: HttpRequest, shown: int) -> None:
        record("patients.searched", actor=request.user, detail=f"{shown} shown")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Patient], search_term: str
    ) -> tuple[QuerySet[Patient], bool]:
        digits = ""
        for word in search_term.replace(",", " ").split()[:WORDS_SEARCHED]:
            born = _birth_date(word)
            if born is not None:
                queryset = queryset.filter(birth_date=born)
            elif any(sign.isalpha() for sign in word):
                queryset = queryset.filter(name__icontains=word)
            else:  # parts of a phone number, however it is written
                digits += "".join(sign for sign in word if sign.isdigit()) or word
        if len(digits) >= DIGITS_OF_A_PHONE:
            queryset = queryset.filter(_phone(digits))
        elif digits:
            queryset = queryset.none()  # half of the town
        return queryset, False

    def get_list_display(self, request: HttpRequest) -> Any:
        is_doctor = getattr(request.user, "role", "") == Role.DOCTOR
        return ("chart_link" if is_doctor else "contact_link", *self.list_display[1:])

    @admin.display(description=gettext_lazy("name"))
    def contact_link(self, patient: Patient) -> str:
        return _link("desk_patient", patient.public_id, patient.name)

    @admin.display(description=gettext_lazy("name"))
    def chart_link(self, patient: Patient) -> str:
        return _link("chart", patient.public_id, patient.name)

    @admin.display(description=gettext_lazy("birth date"))
    def birth_date_words(self, patient: Patient) -> str:
        born = patient.birth_date
        return date_format(born, pgettext("medium date", "M j, Y")) if born else ""

    @admin.display(boolean=True, description=gettext_lazy("has an account"))
    def has_account(self, patient: Patient) -> bool:
        return patient.account_id is not None

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kw: Any
    ) -> HttpResponse:
        """The page of the chart, which writes down who opened it."""
        patient = self.get_object(request, object_id)
        if request.method == "POST" or patient is None:
            answer: HttpResponse = super().change_view(request, object_id, *args, **kw)
            return answer
        is_doctor = getattr(request.user, "role", "") == Role.DOCTOR
        name = "chart" if is_doctor else "desk_patient"
        return HttpResponseRedirect(reverse(name, args=[patient.public_id]))


def _birth_date(text: str) -> date | None:
    try:
        found = parse_date(text)
    except ValueError:
        return None
    for form in BIRTH_DATE_FORMATS:
        if found is not None:
            break
        try:
            found = datetime.strptime(text, form).date()  # noqa: DTZ007  (a date has no zone)
        except ValueError:
            continue
    return found


def _phone(digits: str) -> Q:
    """Phone numbers as they are written: with dashes, in one piece, or with dots."""
    tail = digits[-10:]
    written = {tail}
    if len(tail) == 10:
        for sign in "-. ":
            written.add(sign.join((tail[:3], tail[3:6], tail[6:])))
        written.add(f"({tail[:3]}) {tail[3:6]}-{tail[6:]}")
    elif len(tail) == 7:
        written |= {f"{tail[:3]}-{tail[3:]}", f"{tail[:3]}.{tail[3:]}"}
    found = Q()
    for form in sorted(written):
        found |= Q(phone__contains=form)
    return found
