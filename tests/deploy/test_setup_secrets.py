"""The first start of docker-compose.yml: what it makes, what it keeps, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy import setup_secrets

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it gives files to other users")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(setup_secrets, "ROOT", tmp_path)
    for name in ("ALERT_WEBHOOK_URL", "WATCHDOG_WEBHOOK_URL", "SERVER_NAMES"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def everything(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()
    }


def test_a_second_start_changes_nothing(root: Path) -> None:
    setup_secrets.main()
    made = everything(root)
    assert {"app/secret_key", "restore/mysql_migrate_password", "grafana/grafana_password"} <= set(
        made
    )
    assert made["alerts/alert_webhook"] == setup_secrets.NOBODY
    setup_secrets.main()
    assert everything(root) == made


def test_everybody_reads_their_own_only(root: Path) -> None:
    setup_secrets.main()
    for folder, owner in setup_secrets.OWNERS.items():
        for path in (root / folder, *(root / folder).iterdir()):
            assert path.stat().st_uid == owner
            assert path.stat().st_mode & 0o077 == 0


def test_what_came_with_a_later_release_is_added(root: Path) -> None:
    setup_secrets.main()
    before = everything(root)
    for name in ("restore/mysql_migrate_password", "grafana/grafana_password"):
        (root / name).unlink()
    setup_secrets.main()
    after = everything(root)
    assert after["restore/mysql_migrate_password"] == before["mysql/mysql_migrate_password"]
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"grafana/grafana_password"}


def test_whom_to_tell_comes_from_the_settings(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", "https://hooks.example.org/clinic")
    setup_secrets.main()
    assert everything(root)["alerts/alert_webhook"] == "https://hooks.example.org/clinic"
    monkeypatch.delenv("ALERT_WEBHOOK_URL")
    setup_secrets.main()
    assert everything(root)["alerts/alert_webhook"] == "https://hooks.example.org/clinic"
    monkeypatch.setenv("WATCHDOG_WEBHOOK_URL", "hooks.example.org")
    with pytest.raises(SystemExit, match=r"WATCHDOG_WEBHOOK_URL is .* Set it to"):
        setup_secrets.main()


def test_a_secret_that_is_gone_is_not_made_anew(root: Path) -> None:
    setup_secrets.main()
    (root / "app" / "redis_url").unlink()
    before = everything(root)
    with pytest.raises(SystemExit, match="app/redis_url are gone"):
        setup_secrets.main()
    assert everything(root) == before
