"""The people of the tests. Alice owns a chart, Bob cares for her, Charlie must not get in.

Every account has the same password, hashed once: a real hash takes longer than a whole test.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.test import Client

from accounts.models import Carer, Patient, Relation, Role, User

PASSWORD = "correct horse battery staple"
JOINED = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)  # before anything that happens in a test

ALICE = "alice@example.org"
BOB = "bob@example.org"
CHARLIE = "charlie@example.org"
RECEPTION = "rita@example.org"
ADMINISTRATOR = "ada@example.org"


@lru_cache(maxsize=1)
def encoded_password() -> str:
    return make_password(PASSWORD)


def make_account(email: str, *, name: str = "", role: Role = Role.PATIENT, **fields: Any) -> User:
    """An account that can sign in: address confirmed, current terms accepted, no chart."""
    facts: dict[str, Any] = {
        "name": name or email.partition("@")[0].title(),
        "role": role,
        "password": encoded_password(),
        "date_joined": JOINED,
        "terms_version": settings.TERMS_VERSION,
        "terms_accepted_at": JOINED,
    }
    user = User.objects.create(email=email, **(facts | fields))
    EmailAddress.objects.create(user=user, email=email, primary=True, verified=True)
    return user


def make_patient_user(
    email: str = ALICE,
    *,
    name: str = "Alice Moreau",
    birth_date: date | None = date(1980, 3, 31),
    **fields: Any,
) -> User:
    """An account with its own chart, which is ``user.chart``."""
    user = make_account(email, name=name, **fields)
    Patient.objects.create(account=user, name=name, birth_date=birth_date, created_at=JOINED)
    return user


def make_patient(name: str = "Nora Ames", *, birth_date: date = date(1951, 8, 2)) -> Patient:
    """A chart without an account: somebody who books by phone."""
    return Patient.objects.create(name=name, birth_date=birth_date, created_at=JOINED)


def make_carer(user: User, patient: Patient, relation: Relation = Relation.OTHER) -> Carer:
    return Carer.objects.create(user=user, patient=patient, relation=relation, since=JOINED)


def make_staff(
    email: str = RECEPTION,
    *,
    role: Role = Role.RECEPTION,
    name: str = "Rita Lund",
    **fields: Any,
) -> User:
    """Somebody who works at the clinic; an administrator is a superuser."""
    fields = {"is_staff": True, "is_superuser": role == Role.ADMINISTRATOR} | fields
    return make_account(email, name=name, role=role, **fields)


def signed_in(user: User, **options: Any) -> Client:
    """A browser in which ``user`` is signed in (without going through the sign-in page)."""
    client = Client(**options)
    client.force_login(user)
    return client


@pytest.fixture
def alice(db: None) -> User:
    """Owns a chart."""
    return make_patient_user()


@pytest.fixture
def bob(alice: User) -> User:
    """Has a chart of his own and cares for Alice."""
    user = make_patient_user(BOB, name="Bob Tanaka", birth_date=date(1975, 11, 2))
    make_carer(user, alice.chart, Relation.PARTNER)
    return user


@pytest.fixture
def charlie(db: None) -> User:
    """A stranger: signed in, with a chart, with no right to anybody else's."""
    return make_patient_user(CHARLIE, name="Charlie Roux", birth_date=date(1990, 6, 14))


@pytest.fixture
def reception(db: None) -> User:
    return make_staff()


@pytest.fixture
def administrator(db: None) -> User:
    return make_staff(ADMINISTRATOR, role=Role.ADMINISTRATOR, name="Ada Quist")
