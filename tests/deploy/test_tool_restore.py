"""The order of a restore and of a drill, and what stays when one fails halfway."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deploy.tool import backups, pause
from deploy.tool.docker import Problem


class Steps:
    """Writes down what is asked; what begins with ``fails`` fails."""

    def __init__(self, fails: str = "-") -> None:
        self.fails = fails
        self.done: list[str] = []

    def __call__(self, *words: str) -> str:
        line = " ".join(words)
        self.done.append(line)
        if line.startswith(self.fails):
            raise Problem(f"{line} failed")
        return line

    def step(self, name: str) -> Callable[[], None]:
        def act() -> None:
            self(name)

        return act


def restore(steps: Steps, *, agreed: bool = True) -> None:
    backups.restore_steps(
        backups.options(at="2026-11-25 14:03:00", server=None, with_drop=False),
        job=steps,
        agreed=lambda: agreed,
        stop=steps.step("stop"),
        bring_up_to_date=steps.step("migrate and new_epoch"),
        start=steps.step("start"),
    )


ASKED = "restore --key /run/secrets/restore_key --at 2026-11-25 14:03:00"
IN_ORDER = [f"{ASKED} --check-only", "stop", ASKED, "migrate and new_epoch", "start"]


def test_a_restore_checks_stops_restores_and_starts_in_this_order() -> None:
    steps = Steps()
    restore(steps)
    assert steps.done == IN_ORDER


def test_nothing_is_stopped_when_the_check_fails_or_nobody_agrees() -> None:
    for steps, agreed in ((Steps("restore"), True), (Steps(), False)):
        with pytest.raises(Problem):
            restore(steps, agreed=agreed)
        assert steps.done == IN_ORDER[:1]


@pytest.mark.parametrize(("fails", "done"), [("stop", 2), ("migrate", 4)])
def test_the_site_is_not_started_on_half_a_database(fails: str, done: int) -> None:
    steps = Steps(fails)
    with pytest.raises(Problem) as refused:
        restore(steps)
    assert steps.done == IN_ORDER[:done]
    if done > 1:
        assert "`deploy/stack resume`" in str(refused.value)


# --- How many replicas there were ------------------------------------------------------------
def test_a_second_try_starts_as_many_as_there_were_before_the_first() -> None:
    first = pause.to_start(now=4, label="", default=2)
    # The first try fails: everything is at 0, with the label it got. The second stops it again.
    second = pause.to_start(now=0, label=str(first), default=2)
    assert pause.to_start(now=0, label=str(second), default=2) == 4


@pytest.mark.parametrize(
    ("label", "default", "started"), [("", 2, 2), ("0", 1, 1), ("x", 2, 2), ("", 0, 1)]
)
def test_a_service_at_none_without_a_label_is_started_all_the_same(
    label: str, default: int, started: int
) -> None:
    assert pause.to_start(now=0, label=label, default=default) == started


def test_backups_are_stopped_and_started_with_the_site() -> None:
    assert set(pause.DEFAULTS) == {"web", "ws", "worker", "backup"}
    assert pause.is_stopped({"Spec": {"Labels": {pause.LABEL: "2"}}})
    assert not pause.is_stopped({"Spec": {"Labels": {"com.docker.stack.namespace": "clinic"}}})
    assert not pause.is_stopped({"Spec": {}})


def test_a_key_left_by_a_run_that_was_killed_is_found() -> None:
    def secret(name: str, mounted: str) -> dict[str, object]:
        return {"SecretName": name, "File": {"Name": mounted}}

    container = {"Secrets": [secret("clinic_x_v1", "x"), secret("clinic_key_ab", "restore_key")]}
    job = {"Spec": {"TaskTemplate": {"ContainerSpec": container}}}
    assert backups.left_over(job) == ["clinic_key_ab"]
    assert backups.left_over(None) == []


# --- Drills ----------------------------------------------------------------------------------
def test_a_drill_that_passed_is_written_down() -> None:
    steps = Steps()
    backups.drill_steps(job=steps, manage=steps)
    assert steps.done == [
        "drill --key /run/secrets/restore_key",
        "check_restored",
        "drill-end --passed",
        "record_check restore_drill --ok",
    ]


@pytest.mark.parametrize("fails", ["drill --key", "check_restored", "drill-end"])
def test_a_drill_that_fails_anywhere_is_written_down_and_leaves_no_copy(fails: str) -> None:
    steps = Steps(fails)
    with pytest.raises(Problem):
        backups.drill_steps(job=steps, manage=steps)
    ended, written = steps.done[-2:]
    assert ended.startswith("drill-end") and written == "record_check restore_drill --failed"
