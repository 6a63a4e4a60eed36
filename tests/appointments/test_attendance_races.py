"""Two desks at once: a visit takes one step, and the trail says which."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection

from accounts.audit import verify_chain
from accounts.models import AuditEvent
from appointments.attendance import WrongStep, mark
from appointments.booking import book
from appointments.models import Appointment, Status
from clinic.directory.models import HospitalStaff
from tests.appointments.desk import AT, NOW, open_desk
from tests.cast import make_patient_user, make_staff

pytestmark = pytest.mark.django_db(transaction=True)

DESKS = 8


def test_of_many_desks_at_once_one_takes_the_step() -> None:
    alice, desk = make_patient_user(), open_desk()
    rita = make_staff()
    HospitalStaff.objects.create(hospital=desk.hospital, user=rita)
    visit = book(
        service=desk.service, patient=alice.chart, starts_at=AT, by=alice, key="k", now=NOW
    )
    ready = threading.Barrier(DESKS)
    taken: list[str] = []
    refused: list[str] = []

    def press(status: str) -> None:
        try:
            stale = Appointment.objects.select_related("patient").get(pk=visit.pk)
            ready.wait()
            mark(appointment=stale, status=status, by=rita, now=AT + timedelta(minutes=1))
            taken.append(status)
        except WrongStep:
            refused.append(status)
        finally:
            connection.close()

    steps = [Status.DONE, Status.NO_SHOW] * (DESKS // 2)
    threads = [threading.Thread(target=press, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    visit.refresh_from_db()
    # Those who pressed the winner's button are told that it is so; the others are refused.
    assert set(taken) == {visit.status} and len(taken) == DESKS // 2
    assert len(refused) == DESKS // 2 and visit.status not in refused
    acts = AuditEvent.objects.filter(patient=alice.chart).values_list("action", flat=True)
    assert sorted(acts).count(f"visit.{visit.status}") == 1
    assert sorted(acts).count("visit.mark.refused") == DESKS // 2
    assert verify_chain(alice.chart) == []
