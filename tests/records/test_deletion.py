"""What a granted request for deletion ends besides files: carers' rights and unused codes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts import people
from accounts.audit import verify_chain
from accounts.models import AuditEvent, Carer, User
from appointments.models import Registration
from clinic.directory.models import HospitalStaff
from records import deletion
from tests.appointments.visits import make_hospital
from tests.cast import make_carer, make_staff

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 3, 15, 0, tzinfo=UTC)


def test_a_granted_deletion_ends_each_carer_with_a_row_and_every_code(
    alice: User, bob: User, charlie: User
) -> None:
    chart, hospital, rita = alice.chart, make_hospital(), make_staff()
    HospitalStaff.objects.create(hospital=hospital, user=rita)
    Registration.objects.create(hospital=hospital, patient=chart, since=NOW, by=rita)
    make_carer(charlie, chart)
    code = people.issue_link_code(patient=chart, purpose="carer", by=rita, now=NOW)
    asked = deletion.ask(patient=chart, what="Everything", by=alice, now=NOW)
    later = NOW + timedelta(hours=1)
    deletion.decide(request=asked, grant=True, answer="Done.", by=rita, now=later)

    assert not Carer.objects.running(later).filter(patient=chart).exists()
    ended = AuditEvent.objects.filter(action="care.ended", patient=chart)
    rows = Carer.objects.filter(user__in=[bob, charlie], patient=chart)
    assert {row.object_id for row in ended} == {str(row.pk) for row in rows}
    assert {row.actor_id for row in ended} == {rita.pk}
    with pytest.raises(people.UnknownCode):
        people.redeem_link_code(code=code, by=charlie, now=later)
    assert verify_chain(chart) == []
