"""`manage.py new_epoch`, which a restore runs."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.core.management import call_command

from chat.sight import current_epoch


@pytest.mark.django_db
def test_a_restored_database_has_another_epoch_and_no_cache(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = current_epoch()
    cache.set("free-times", "of the rows that were lost")
    call_command("new_epoch")
    assert current_epoch() != before
    assert current_epoch() in capsys.readouterr().out
    assert cache.get("free-times") is None
