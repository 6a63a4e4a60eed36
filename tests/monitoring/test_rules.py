"""The alerts and the dashboard: they parse, fire when they should, and name numbers there are."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from clinic.jobs.checks_log import note
from clinic.jobs.measures import measures
from tools.system_packages import find

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "monitoring"
NAME = re.compile(r"\b((?:clinic|django)_[a-z_]+)\b")
HEADING = re.compile(r"^#{2,4} (.+)$", re.MULTILINE)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = find("promtool")
    if program is None:
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail("promtool (Debian: prometheus) is not on this machine.")
        pytest.skip("promtool is not on this machine.")
    return subprocess.run(
        [program, *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60
    )


def test_the_rules_parse_and_fire_when_they_should() -> None:
    for arguments in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_test_of_the_rules_can_fail(tmp_path: Path) -> None:
    weak = (FOLDER / "alerts.yml").read_text().replace("clinic_queue_age_seconds) > 300", "x) > 3")
    (tmp_path / "alerts.yml").write_text(weak)
    (tmp_path / "alerts_test.yml").write_text((FOLDER / "alerts_test.yml").read_text())
    assert promtool("test", "rules", str(tmp_path / "alerts_test.yml")).returncode != 0


def test_prometheus_reads_its_configuration(tmp_path: Path) -> None:
    text = (FOLDER / "prometheus.yml").read_text()
    here = text.replace("/etc/prometheus/alerts.yml", str(FOLDER / "alerts.yml"))
    (tmp_path / "prometheus.yml").write_text(here)
    done = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def exported() -> set[str]:
    note("backup", is_ok=True, now=timezone.now())
    text = Client().get("/metrics").content.decode()
    names = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    names |= {sample.name for family in measures(timezone.now()) for sample in family.samples}
    return {re.sub(r"_(total|created)$", "", name) for name in names}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "file", ["alerts.yml", "grafana/dashboards/clinic.json", "cloudwatch-agent.json"]
)
def test_every_number_that_is_asked_for_is_exported(file: str) -> None:
    Client().get("/privacy/")  # a first request gives the labelled ones a sample
    known = exported()
    asked = set(NAME.findall((FOLDER / file).read_text()))
    assert len(asked) > 5
    for name in asked:
        assert re.sub(r"_(total|bucket|sum|count)$", "", name) in known, name


def test_every_alert_leads_to_a_part_of_the_runbook() -> None:
    links = re.findall(r"runbook: (\S+)#(\S+)", (FOLDER / "alerts.yml").read_text())
    alerts = re.findall(r"- alert: ", (FOLDER / "alerts.yml").read_text())
    assert len(links) == len(alerts) > 10
    for path, anchor in links:
        headings = HEADING.findall((ROOT / path).read_text())
        known = {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in headings}
        assert anchor in known, anchor


def test_the_dashboard_has_a_panel_for_each_part() -> None:
    board: Any = json.loads((FOLDER / "grafana" / "dashboards" / "clinic.json").read_text())
    titles = [panel["title"] for panel in board["panels"]]
    assert len(titles) == len(set(titles)) >= 10
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])
