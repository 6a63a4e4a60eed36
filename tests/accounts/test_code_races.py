"""Codes used by several people, or guessed several times, at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts import people
from accounts.audit import verify_chain
from accounts.models import AuditEvent, Carer, LinkCode, User
from tests.cast import make_account, make_patient, make_staff

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = 8


def outcomes(calls: list[Callable[[], object]]) -> list[str]:
    """What each call came to ("done" or the refusal's name); all start together."""
    start = Barrier(len(calls))

    def run(call: Callable[[], object]) -> str:
        try:
            start.wait(timeout=30)
            call()
        except people.Refused as refusal:
            return type(refusal).__name__
        finally:
            connection.close()
        return "done"

    with ThreadPoolExecutor(len(calls)) as pool:
        return sorted(pool.map(run, calls))


def redeem(code: str, by: User) -> Callable[[], object]:
    return lambda: people.redeem_link_code(code=code, by=by, now=timezone.now())


def test_one_code_used_by_eight_accounts_at_once_lets_one_in() -> None:
    patient = make_patient()
    code = people.issue_link_code(
        patient=patient, purpose="carer", by=make_staff(), now=timezone.now()
    )
    accounts = [make_account(f"hopeful{number}@example.org") for number in range(AT_ONCE)]
    got = outcomes([redeem(code, by) for by in accounts])
    assert got == ["UnknownCode"] * (AT_ONCE - 1) + ["done"]
    assert Carer.objects.filter(patient=patient).count() == 1
    assert LinkCode.objects.get().used_by == Carer.objects.get().user
    assert verify_chain(patient) == []


def test_guesses_sent_at_once_are_counted_one_by_one() -> None:
    charlie = make_account("charlie@example.org")
    got = outcomes([redeem("ACDEFGHJKM", charlie) for _ in range(AT_ONCE)])
    allowed = settings.LINK_CODE_ATTEMPTS
    assert got == ["TooManyAttempts"] * (AT_ONCE - allowed) + ["UnknownCode"] * allowed
    assert AuditEvent.objects.filter(action="chart.linked.refused").count() == AT_ONCE


def test_the_same_person_added_twice_at_once_is_there_once() -> None:
    alice = make_account("alice@example.org")
    born = timezone.now().date()

    def add() -> object:
        return people.add_person_in_care(
            by=alice, name="Mia Moreau", birth_date=born, relation="child", now=timezone.now()
        )

    assert outcomes([add] * 4) == ["AlreadyInCare"] * 3 + ["done"]
    assert Carer.objects.filter(user=alice).count() == 1
