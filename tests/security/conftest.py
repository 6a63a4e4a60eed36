"""The clock of these tests, and the clinic they look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import time_machine

from accounts.models import User
from tests.appointments.desk import NOW
from tests.security.world import World, make_world


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def world(alice: User, bob: User, charlie: User, reception: User, administrator: User) -> World:
    return make_world(
        alice=alice, bob=bob, charlie=charlie, reception=reception, administrator=administrator
    )
