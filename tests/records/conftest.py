from __future__ import annotations

import pytest

from tests.records.ward import Ward, open_ward


@pytest.fixture
def records(db: None) -> Ward:
    """A ward whose clock is passed in."""
    return open_ward()
