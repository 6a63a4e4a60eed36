"""The clock of these tests, and the clinic they look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine

from accounts.models import User
from tests.appointments.desk import NOW
from tests.security.world import World, make_world


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(autouse=True)
def _uploads(settings: Any, tmp_path: Path) -> None:
    """Files go to a folder of the test's own where they would go to the project's."""
    options = settings.STORAGES["uploads"].get("OPTIONS", {})
    if "location" in options:
        uploads = settings.STORAGES["uploads"] | {"OPTIONS": {"location": tmp_path / "uploads"}}
        settings.STORAGES = settings.STORAGES | {"uploads": uploads}


@pytest.fixture
def world(
    _uploads: None, alice: User, bob: User, charlie: User, reception: User, administrator: User
) -> World:
    return make_world(
        alice=alice, bob=bob, charlie=charlie, reception=reception, administrator=administrator
    )
