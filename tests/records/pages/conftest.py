"""The clock of these tests, and the ward they look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine

from tests.appointments.desk import NOW
from tests.records.pages.ward import Ward, open_ward


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(autouse=True)
def _uploads(settings: Any, tmp_path: Path) -> None:
    """Files go to a folder of the test's own where they would go to the project's."""
    if "location" in settings.STORAGES["uploads"].get("OPTIONS", {}):
        uploads = settings.STORAGES["uploads"] | {"OPTIONS": {"location": tmp_path / "uploads"}}
        settings.STORAGES = settings.STORAGES | {"uploads": uploads}


@pytest.fixture
def ward(db: None) -> Ward:
    return open_ward()
