from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.records.ward import Ward, open_ward


@pytest.fixture
def records(db: None) -> Ward:
    """A ward whose clock is passed in."""
    return open_ward()


@pytest.fixture
def uploads(settings: Any, tmp_path: Path) -> Path:
    """The folder that uploads go to in this test."""
    folder = tmp_path / "uploads"
    kept = {
        "BACKEND": "clinic.uploads.storage.FolderStorage",
        "OPTIONS": {"location": folder},
    }
    settings.STORAGES = settings.STORAGES | {"uploads": kept}
    return folder
