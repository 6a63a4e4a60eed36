"""docs/operations.md names commands, variables, files and numbers that there are."""

from __future__ import annotations

import argparse
import re
import shlex
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from deploy.tool.cli import parser as stack_parser

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "docs" / "operations.md"
COMPOSE, STACK = ROOT / "docker-compose.yml", ROOT / "docker-stack.yml"
MONITORING = ROOT / "deploy" / "monitoring"
# Where a variable can be read: settings, images, the stack's tool, the edge, the tests' own tools.
READERS = ("clinic", "deploy", "nginx", "tools", "bench")
READ_BY = ("docker-compose.yml", "docker-stack.yml", "Makefile")
# Of Docker itself, of NGINX and MySQL, and words that are no variable.
OTHERS = {"DOCKER_HOST", "COMPOSE_PROJECT_NAME"}
PLACES = ("deploy/", "docs/", "tests/", "tools/", "nginx/", "clinic/", "bench/")


@cache
def text() -> str:
    return GUIDE.read_text()


@cache
def spans() -> list[str]:
    """What stands in backticks or in a block of code, a line each."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text(), re.MULTILINE | re.DOTALL)
    plain = re.sub(r"^```.*?^```", "", text(), flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`]+)`", plain)
    return [" ".join(line.split()) for line in [*inline, *"\n".join(blocks).splitlines()]]


@cache
def services(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())["services"]
    return found


def flags(words: list[str]) -> set[str]:
    return {
        word.partition("=")[0].strip("[]") for word in words if word.lstrip("[").startswith("--")
    }


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def named(program: str) -> list[list[str]]:
    """The words after ``program`` in every place that names it."""
    found = [span.partition(program)[2] for span in spans() if program in span]
    return [shlex.split(rest, comments=False) for rest in found if rest.strip()]


def test_every_management_command_is_there_with_its_options() -> None:
    known, found = get_commands(), 0
    for words in [*named("manage.py "), *named(" manage ")]:
        if words[0] == "runserver":
            continue
        assert words[0] in known, words
        parser = load_command_class(known[words[0]], words[0]).create_parser("manage.py", words[0])
        assert flags(words) <= options(parser), words
        found += 1
    assert found > 20


def test_every_command_of_the_stack_is_there_with_its_options() -> None:
    known, found = commands_of(stack_parser()), 0
    for words in named("deploy/stack "):
        if words[0] == "-c":  # a file of the same folder
            continue
        assert words[0] in known, words
        assert flags(words) <= options(known[words[0]]), words
        found += 1
    assert found > 12


def test_every_service_that_compose_is_told_of_is_there() -> None:
    known = services(COMPOSE)
    profiles = {name for service in known.values() for name in service.get("profiles", [])}
    found = 0
    for words in named("docker compose "):
        for before, word in pairwise(words):
            if before == "--profile":
                assert word in profiles, words
        takes = {"run": 1, "exec": 1, "restart": 9, "logs": 9, "up": 9}
        verb = next((word for word in words if word in takes), None)
        if verb is None:
            continue
        after = words[words.index(verb) + 1 :]
        plain = [
            word for before, word in pairwise([verb, *after])
            if not word.startswith(("-", "<", "SERVICE")) and before != "--entrypoint"
        ]  # fmt: skip
        for word in plain[: takes[verb]]:
            assert word in known, words
            found += 1
    assert found > 10


def test_every_volume_that_is_removed_is_there() -> None:
    volumes = yaml.safe_load(COMPOSE.read_text())["volumes"]
    for words in named("docker volume rm "):
        assert words[0].removeprefix("clinic_") in volumes


@cache
def read_somewhere() -> str:
    """The text of everything that could read a variable."""
    files = [ROOT / name for name in READ_BY]
    for folder in READERS:
        files += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    kept = [
        path for path in files if path.suffix in {"", ".py", ".sh", ".yml", ".conf", ".example"}
    ]
    return "\n".join(path.read_text(errors="replace") for path in kept)


def test_every_variable_is_read_by_something() -> None:
    pattern = re.compile(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9]\b")
    names = {name for span in spans() for name in pattern.findall(span)}
    assert len(names) > 50
    unknown = {name for name in names if not re.search(rf"\b{name}\b", read_somewhere())}
    assert unknown - OTHERS == set()


def test_a_variable_that_nobody_reads_is_found() -> None:
    assert not re.search(r"\bWEB_WORKER\b", read_somewhere())
    assert re.search(r"\bWEB_WORKERS\b", read_somewhere())


def test_every_file_is_there() -> None:
    paths = {word.rstrip(".,") for span in spans() for word in span.split()}
    named_here = {path for path in paths if path.startswith(PLACES) and "*" not in path}
    assert len(named_here) > 8
    assert {path for path in named_here if not (ROOT / path).exists()} == set()


def test_every_link_leads_somewhere() -> None:
    headings = re.findall(r"^#{2,4} (.+)$", text(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 _-]", "", head.lower()).replace(" ", "-") for head in headings}
    links = re.findall(r"\]\(([^)]+)\)", text())
    assert len(links) >= 8
    for link in links:
        path, _, anchor = link.partition("#")
        if path:
            assert (GUIDE.parent / path).exists(), link
        else:
            assert anchor in anchors, link


def test_the_network_is_as_silent_as_the_guide_says() -> None:
    """Seconds after which a peer that says nothing is given up, in docker-stack.yml and there."""
    mysql = services(STACK)["mysql"]["sysctls"]
    part = text().partition("### The network goes silent")[2].partition("\n## ")[0]
    for service in ("nginx", "mysql"):
        retries = services(STACK)[service]["sysctls"]["net.ipv4.tcp_retries2"]
        assert f"`net.ipv4.tcp_retries2` {retries} |" in part
    first, every, times = (
        int(mysql[f"net.ipv4.tcp_keepalive_{name}"]) for name in ("time", "intvl", "probes")
    )
    assert f"`net.ipv4.tcp_keepalive_time` {first}, `_intvl` {every}, `_probes` {times} |" in part
    assert f"ends after {first + every * times} s" in part


def test_what_the_guide_says_of_disks_is_so() -> None:
    assert "--binlog-expire-logs-seconds=604800" in STACK.read_text()  # seven days
    assert "--binlog-expire-logs-seconds=604800" in COMPOSE.read_text()
    assert 'seconds("BACKUP_KEEP_DAYS", 30)' in (ROOT / "deploy" / "keep" / "cli.py").read_text()
    for path in (STACK, COMPOSE):
        logs = services(path)["web"]["logging"]["options"]
        assert (logs["max-file"], logs["max-size"]) == ("5", "20m")


# --- The monitoring of both installations -------------------------------------------------------
MONITORS = ("prometheus", "alertmanager", "grafana")


def test_prometheus_asks_services_that_both_installations_have() -> None:
    wanted: Any = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    asked = {
        (name, entry["port"])
        for job in wanted["scrape_configs"]
        for entry in job.get("dns_sd_configs", [])
        for name in entry["names"]
    }
    assert {name for name, _port in asked} == {"web", "ws", "worker"}
    (alertmanager,) = wanted["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert alertmanager == "alertmanager:9093"
    for path in (STACK, COMPOSE):
        for name, port in asked:
            service = services(path)[name]
            if name == "worker":  # web and ws answer on the port they serve on
                assert service["environment"]["METRICS_PORT"] == str(port)
    known = services(COMPOSE)
    networks = set(known["prometheus"]["networks"])
    for name in ("web", "ws", "worker", "alertmanager"):
        assert networks & set(known[name]["networks"]), name


@pytest.mark.parametrize("name", MONITORS)
def test_both_installations_run_the_same_monitoring(name: str) -> None:
    ours, theirs = services(COMPOSE)[name], services(MONITORING / "stack.yml")[name]
    for part in ("image", "user"):
        assert ours[part] == theirs[part]
    assert ours.get("command") == theirs.get("command")
    assert ours.get("environment") == theirs.get("environment")
    configs = yaml.safe_load((MONITORING / "stack.yml").read_text())["configs"]
    mounted = {
        mount.split(":")[1]: mount.split(":")[0]
        for mount in ours["volumes"]
        if mount.startswith("./")
    }
    assert mounted == {one["target"]: configs[one["source"]]["file"] for one in theirs["configs"]}
    assert all((ROOT / source).is_file() for source in mounted.values())


def test_only_the_edge_publishes_ports_beyond_this_machine() -> None:
    for name, service in services(COMPOSE).items():
        for port in service.get("ports", []):
            assert name == "nginx" or port.startswith("127.0.0.1:"), name


def test_alertmanager_reads_addresses_that_setup_writes() -> None:
    text = (MONITORING / "alertmanager.yml").read_text()
    setup = (ROOT / "deploy" / "setup_secrets.py").read_text()
    names = re.findall(r"url_file: /run/secrets/(\w+)", text)
    assert len(names) == 2
    for name in names:
        assert f'"{name}"' in setup
        assert f"{name}" in services(MONITORING / "stack.yml")["alertmanager"]["secrets"]
    assert "secrets-alerts:/run/secrets:ro" in services(COMPOSE)["alertmanager"]["volumes"]
