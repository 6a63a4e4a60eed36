"""Rules that lock a patient's chart do it before anything else, so that no two of them cross.

The order is read from the statements; SQLite knows no locks of rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import carers, people
from accounts.models import Carer, Role, User
from appointments.emergency import find_patient, open_in_emergency
from appointments.models import Registration
from clinic.directory.models import HospitalStaff
from records import deletion
from tests.appointments.desk import NOW, open_desk
from tests.cast import make_account, make_patient, make_staff

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(
        "connection.vendor == 'sqlite'", reason="SQLite has one writer and locks no rows"
    ),
]

CHARTS = "accounts_patient"
LOCKS = re.compile(r"^(?:SELECT .* FROM|UPDATE|DELETE FROM|INSERT INTO) `(\w+)`", re.S)


def locked(work: Callable[[], Any]) -> list[str]:
    """Tables in whose rows ``work`` takes locks, in order of the first one in each."""
    with CaptureQueriesContext(connection) as queries:
        work()
    tables: list[str] = []
    for query in queries:
        sql = query["sql"]
        found = LOCKS.match(sql)
        if found and (not sql.startswith("SELECT") or "FOR UPDATE" in sql):
            tables.append(found.group(1))
    return list(dict.fromkeys(tables))


@pytest.fixture
def rita() -> User:
    return make_staff()


@pytest.fixture
def doctor() -> User:
    desk = open_desk()
    desk.doctor.user = make_account("iris@example.org", role=Role.DOCTOR, is_staff=True)
    desk.doctor.save()
    return desk.doctor.user


def test_a_code_is_redeemed_after_both_charts_are_locked(rita: User, charlie: User) -> None:
    older = make_patient("Charlie R.")
    code = people.issue_link_code(patient=older, purpose="self", by=rita, now=NOW)
    order = locked(lambda: people.redeem_link_code(code=code, by=charlie, now=NOW))
    assert order[:3] == [CHARTS, "accounts_user", "accounts_linkcode"]


def test_the_profile_and_codes_begin_with_the_chart(rita: User, alice: User) -> None:
    def profile() -> None:
        people.update_profile(
            user=alice, name="Alice", phone="", time_zone="", language="en", now=NOW
        )

    assert locked(profile)[0] == CHARTS
    give = lambda: people.issue_link_code(  # noqa: E731
        patient=alice.chart, purpose="carer", by=rita, now=NOW
    )
    assert locked(give)[0] == CHARTS


def test_rights_of_carers_begin_with_the_chart(alice: User, bob: User) -> None:
    care = Carer.objects.get(user=bob, patient=alice.chart)
    order = locked(
        lambda: carers.set_rights(
            carer=care, may_message=False, may_read_record=True, by=alice, now=NOW
        )
    )
    assert order[:2] == [CHARTS, "accounts_carer"]
    order = locked(lambda: people.end_care(by=bob, patient=alice.chart, now=NOW))
    assert order[:2] == [CHARTS, "accounts_carer"]


def test_an_emergency_begins_with_the_chart(doctor: User, alice: User) -> None:
    chart = alice.chart
    born = chart.birth_date
    assert born is not None
    order = locked(lambda: find_patient(name=chart.name, birth_date=born, by=doctor, now=NOW))
    assert order[:2] == [CHARTS, "accounts_user"]
    facts: dict[str, Any] = {"doctor": doctor.doctor, "patient": chart, "by": doctor, "now": NOW}
    order = locked(lambda: open_in_emergency(reason="Unconscious in the lobby", **facts))
    assert order[0] == CHARTS


def test_a_deletion_begins_with_the_chart(rita: User, alice: User, bob: User) -> None:
    desk = open_desk()
    HospitalStaff.objects.create(hospital=desk.hospital, user=rita)
    Registration.objects.create(hospital=desk.hospital, patient=alice.chart, since=NOW, by=rita)
    assert Carer.objects.get(patient=alice.chart).user == bob
    asked = deletion.ask(patient=alice.chart, what="Everything", by=alice, now=NOW)
    order = locked(
        lambda: deletion.decide(request=asked, grant=True, answer="Done.", by=rita, now=NOW)
    )
    assert order[:2] == [CHARTS, "records_deletionrequest"]
    assert "records_document" in order and "accounts_carer" in order
