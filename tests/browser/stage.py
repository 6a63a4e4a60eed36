"""Clinics of their own for the flows that change much: nobody else's visits and records are moved.

Each is made by code that runs inside the project, once for all the runs of a flow.
"""

from __future__ import annotations

import json
from typing import Any

from tests.site import Site

_BEGINNING = """
import json
from datetime import date, timedelta
from django.test import Client
from django.utils import timezone
from accounts.models import Role
from appointments.booking import book
from appointments.care import start_for_visit
from appointments.zones import local
from clinic.directory.models import HospitalStaff, Service
from records.allergies import record_allergy
from records.charts import open_chart
from records.encounters import encounter_for
from records.medications import add_medication, prescribe
from records.notes import sign, start_note
from tests.appointments.town import doctor, hospital
from tests.appointments.visits import make_visit
from tests.cast import make_account, make_patient, make_patient_user, make_staff

now = timezone.now().replace(second=0, microsecond=0)

def session(user):
    client = Client()
    client.force_login(user)
    return client.cookies["session"].value

def place(name):
    return hospital(name, city="Bath", zip_code="04530", at=None, time_zone_confirmed=True)

def doctor_at(where, name, email):
    user = make_account(email, name=name, role=Role.DOCTOR, is_staff=True)
    return doctor(name, where=where, user=user)

def begun(patient, dr, where):
    "A visit that began two minutes ago, or at midnight when that was a moment ago."
    clock = local(now, where.time_zone)
    at = now - timedelta(minutes=min(2, clock.minute if clock.hour == 0 else 2))
    visit = make_visit(patient, at, by=dr.user, hospital=where, doctor=dr, reason="Dizzy")
    Service.objects.filter(pk=visit.service_id).update(is_active=False)
    start_for_visit(visit, now=visit.created_at)
    return visit

made = []
"""

_RECEPTION = """
for number in range({count}):
    last, born = f"Quill{{number}}", date(1951, 8, 2 + number)
    where = place(f"Wharf Clinic {{number}}")
    first = doctor_at(where, f"Hana Sorel {{number}}", f"hana{{number}}@example.org")
    second = doctor_at(where, f"Tomas Rask {{number}}", f"tomas{{number}}@example.org")
    user = make_staff(f"desk{{number}}@example.org", name=f"Rita Lund {{number}}")
    HospitalStaff.objects.create(hospital=where, user=user)
    alike = make_patient(f"Wendy {{last}}", birth_date=born)
    alike.phone = "207-555-0188"
    alike.save()
    begun(make_patient(f"Ida Marsh {{number}}", birth_date=date(1970, 5, 1)), first, where)
    made.append({{
        "email": user.email, "session": session(user), "hospital": where.name,
        "alike": alike.name, "last": last, "day": born.day, "here": f"Ida Marsh {{number}}",
        "doctor": first.name, "colleague": second.name, "slug": second.slug,
    }})
print(json.dumps(made))
"""

_PATIENT = """
for number in range({count}):
    where = place(f"Harbor Record Clinic {{number}}")
    dr = doctor_at(where, f"Ines Calder {{number}}", f"ines{{number}}@example.org")
    user = make_patient_user(f"reader{{number}}@example.org", name=f"Nadia Brandt {{number}}")
    visit = begun(user.chart, dr, where)
    facts = {{"by": dr.user, "now": now}}
    note = start_note(encounter=encounter_for(appointment=visit, **facts), **facts)
    sign(note=note, body="Blood pressure is fine.\\nCome back in spring.", version=note.version,
         **facts)
    record_allergy(patient=user.chart, name="Penicillin", reaction="Hives", criticality="high",
                   **facts)
    prescribe(patient=user.chart, name="Lisinopril 10 mg", dose="1 tablet every morning",
              quantity="90 tablets", refills=0, **facts)
    add_medication(patient=user.chart, name="Vitamin D 1,000 IU", **facts)
    open_chart(public_id=user.chart.public_id, **facts)
    made.append({{"email": user.email, "session": session(user), "name": user.name,
                  "doctor": dr.name}})
print(json.dumps(made))
"""

_DOCTOR = """
for number in range({count}):
    where = place(f"Morning Clinic {{number}}")
    dr = doctor_at(where, f"Amina Stroud {{number}}", f"amina{{number}}@example.org")
    user = make_patient_user(f"morning{{number}}@example.org", name=f"Otto Hale {{number}}")
    facts = {{"by": dr.user, "now": now}}
    begun(user.chart, dr, where)
    record_allergy(patient=user.chart, name="Penicillin", reaction="Hives", criticality="high",
                   **facts)
    at = (now + timedelta(days=9)).replace(hour=16, minute=0)
    service = dr.services.get(is_active=True)
    book(service=service, patient=user.chart, starts_at=at, by=user, key="k", now=now,
         clash="both")
    made.append({{"email": dr.user.email, "session": session(dr.user), "patient": user.name,
                  "slug": dr.slug, "day": at.date().isoformat()}})
print(json.dumps(made))
"""


def _made(site: Site, code: str, count: int) -> list[dict[str, Any]]:
    printed = site.shell(_BEGINNING + code.format(count=count))
    found: list[dict[str, Any]] = json.loads(printed.splitlines()[-1])
    return found


def receptions(site: Site, *, count: int) -> list[dict[str, Any]]:
    """Clinics with a reception of one, two doctors, a patient whose visit has just begun, and the
    chart of somebody who might be taken for the caller."""
    return _made(site, _RECEPTION, count)


def readers(site: Site, *, count: int) -> list[dict[str, Any]]:
    """Patients with a visit, a signed note, an allergy and medications, whose doctor has just
    opened the record."""
    return _made(site, _PATIENT, count)


def doctors(site: Site, *, count: int) -> list[dict[str, Any]]:
    """Doctors with one patient, allergic to penicillin: a visit has begun, another is to come."""
    return _made(site, _DOCTOR, count)
