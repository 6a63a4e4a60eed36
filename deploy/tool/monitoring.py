"""The monitoring as a part of the same stack: deployed together, or each deploy would remove it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from deploy.tool.docker import inspect
from deploy.tool.settings import ROOT, STACK_FILE, Settings

FILE = ROOT / "deploy" / "monitoring" / "stack.yml"
# The variable of each config's version, and its file. A config never changes: its name holds a
# hash of its content, so that a changed file is a new one.
CONFIGS = {
    "PROMETHEUS_CONFIG": "prometheus.yml",
    "ALERTS_CONFIG": "alerts.yml",
    "ALERTMANAGER_CONFIG": "alertmanager.yml",
    "GRAFANA_DATASOURCE_CONFIG": "grafana/provisioning/datasources/prometheus.yml",
    "GRAFANA_PROVIDER_CONFIG": "grafana/provisioning/dashboards/clinic.yml",
    "GRAFANA_DASHBOARD_CONFIG": "grafana/dashboards/clinic.json",
}


def config_environment() -> dict[str, str]:
    return {
        name: hashlib.sha256((FILE.parent / file).read_bytes()).hexdigest()[:12]
        for name, file in CONFIGS.items()
    }


def is_wanted(*, setting: str, runs: bool) -> bool:
    """MONITORING=1 or 0 decides; without it, what runs stays."""
    return setting == "1" or (setting != "0" and runs)


def wanted(settings: Settings) -> bool:
    runs = inspect("service", f"{settings.stack}_prometheus") is not None
    return is_wanted(setting=settings.get("MONITORING"), runs=runs)


def files(settings: Settings) -> list[Path]:
    return [STACK_FILE, FILE] if wanted(settings) else [STACK_FILE]
