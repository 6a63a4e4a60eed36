"""What `deploy/stack rollback` goes back to, after updates that went well, badly or halfway."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from deploy.tool import before, monitoring, release, rotation, secrets
from deploy.tool.docker import Problem
from deploy.tool.settings import Settings
from tools.environments import ROOT


def images(app: str, **others: str) -> dict[str, str]:
    """Each service's image as docker tells it, with a digest."""
    each = {"web": app, "ws": app, "worker": app, "nginx": app, "backup": app} | others
    kind = {"nginx": "nginx", "backup": "backup"}
    return {
        name: f"r.example.org/clinic-{kind.get(name, 'app')}:{tag}@sha256:{tag}"
        for name, tag in each.items()
    }


def wanted(tag: str) -> dict[str, str]:
    return {
        f"{name.upper()}_IMAGE": f"r.example.org/clinic-{name}:{tag}"
        for name in ("app", "nginx", "backup")
    }


def after_update(running: dict[str, str], to: str, label: str = "") -> str:
    return before.written(before.to_write(running=running, wanted=wanted(to), label=label))


def test_the_first_deploy_leaves_nothing_to_go_back_to() -> None:
    label = before.written(before.to_write(running={}, wanted=wanted("1"), label=""))
    assert label == ""
    with pytest.raises(Problem, match="There is nothing to go back to"):
        before.to_return_to(running=images("1"), label=label)


def test_an_update_is_undone_after_scaling_and_rotating_in_between() -> None:
    label = after_update(images("1"), "2")
    # Both are deploys of the images that run: what was written down stays.
    label = after_update(images("2"), "2", label)
    label = after_update(images("2"), "2", label)
    back = before.to_return_to(running=images("2"), label=label)
    assert back == {
        "APP_IMAGE": "r.example.org/clinic-app:1@sha256:1",
        "NGINX_IMAGE": "r.example.org/clinic-nginx:1@sha256:1",
        "BACKUP_IMAGE": "r.example.org/clinic-backup:1@sha256:1",
    }
    assert before.moves(images("2"), back)[:2] == [
        "web: r.example.org/clinic-app:2 → r.example.org/clinic-app:1",
        "ws: r.example.org/clinic-app:2 → r.example.org/clinic-app:1",
    ]


def test_going_back_twice_is_going_forward_again() -> None:
    label = after_update(images("1"), "2")
    back = before.to_return_to(running=images("2"), label=label)
    label = before.written(before.to_write(running=images("2"), wanted=back, label=label))
    assert before.to_return_to(running=images("1"), label=label)["APP_IMAGE"].endswith("2")


def test_an_update_that_ended_halfway_goes_back_to_one_release() -> None:
    """web went back by itself, the others run the new release."""
    label = after_update(images("1"), "2")
    mixed = images("2", web="1")
    back = before.to_return_to(running=mixed, label=label)
    assert before.bare(back["APP_IMAGE"]) == "r.example.org/clinic-app:1"
    assert not [line for line in before.moves(mixed, back) if line.startswith("web")]
    # Trying the update again from there does not forget it either.
    assert after_update(mixed, "2", label) == label


def test_when_everything_went_back_by_itself_nothing_older_is_put_there() -> None:
    label = after_update(images("1"), "2")
    label = after_update(images("2"), "3", label)
    with pytest.raises(Problem, match=r"clinic-app:2.*`deploy/stack update TAG`"):
        before.to_return_to(running=images("2"), label=label)


def test_a_site_without_backups_of_its_own_goes_back_too() -> None:
    running = {name: image for name, image in images("1").items() if name != "backup"}
    label = after_update(running, "2")
    assert set(before.read(label)) == {"APP_IMAGE", "NGINX_IMAGE"}


def test_the_stack_file_keeps_what_the_tool_writes() -> None:
    stack = yaml.safe_load((ROOT / "docker-stack.yml").read_text())
    assert stack["services"]["migrate"]["deploy"]["labels"] == {before.LABEL: "${RELEASE_BEFORE:-}"}
    tool = (ROOT / "deploy" / "tool" / "release.py").read_text()
    assert 'environment["RELEASE_BEFORE"]' in tool


# --- Replicas ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("service", "now", "kept"), [("web", 4, "4"), ("web", 0, "0"), ("backup", 1, "1")]
)
def test_an_update_keeps_how_many_there_are(service: str, now: int, kept: str) -> None:
    assert release.to_keep(service, now) == kept


def test_an_update_never_carries_stopped_backups_over() -> None:
    assert release.to_keep("backup", 0) == "1"


# --- The monitoring --------------------------------------------------------------------------
def test_every_config_of_the_monitoring_is_named_by_its_content() -> None:
    file = ROOT / "deploy" / "monitoring" / "stack.yml"
    configs = yaml.safe_load(file.read_text())["configs"]
    versions = monitoring.config_environment()
    assert len(set(versions.values())) == len(versions) == len(configs)
    for name, facts in configs.items():
        variable = re.search(r"_\$\{([A-Z_]+):-1\}$", facts["name"])
        assert variable and variable[1] in versions, name
        path = Path("deploy/monitoring") / monitoring.CONFIGS[variable[1]]
        assert facts["file"] == f"./{path}", name


@pytest.mark.parametrize(
    ("setting", "runs", "both"),
    [
        ("1", False, True),
        ("1", True, True),
        ("", True, True),
        ("", False, False),
        ("0", True, False),
    ],
)
def test_monitoring_that_runs_is_never_removed_unless_asked(
    setting: str, runs: bool, both: bool
) -> None:
    assert monitoring.is_wanted(setting=setting, runs=runs) is both


def test_every_secret_of_the_monitoring_is_made_by_the_tool() -> None:
    file = ROOT / "deploy" / "monitoring" / "stack.yml"
    named = set(yaml.safe_load(file.read_text())["secrets"])
    assert named == {part for parts in secrets.MONITORING_GROUPS.values() for part in parts}
    assert secrets.webhook("https://hooks.example.org/x", "X") == "https://hooks.example.org/x"
    assert secrets.webhook("", "X").startswith("http://127.0.0.1")
    with pytest.raises(Problem, match="ALERT_WEBHOOK_URL is 'hooks'"):
        secrets.webhook("hooks", "ALERT_WEBHOOK_URL")


def test_a_password_that_would_not_change_is_not_rotated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER", "/none/docker")
    with pytest.raises(Problem, match="change it in Grafana"):
        rotation.rotate(Settings(None), "grafana")
