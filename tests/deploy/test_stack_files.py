"""SECURITY 36, 39 and 40, as far as the files of a stack show it: docker-stack.yml, the monitoring
beside it, docker-compose.yml and deploy/Dockerfile. What only running containers show (their
capabilities, what `docker inspect` tells) is looked at by `make stack-test`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.tool import secrets as kept

ROOT = Path(__file__).resolve().parents[2]
STACK, COMPOSE = "docker-stack.yml", "docker-compose.yml"
MONITORING = "deploy/monitoring/stack.yml"
# Runs once, gives files away with chown and ends; it has no network.
MAKES_SECRETS = (COMPOSE, "setup")
# A tool for whoever keeps a database by hand, started by hand, on 127.0.0.1; not in a stack.
BY_HAND = (COMPOSE, "phpmyadmin")
# Keeps plug-ins and its own database beside its code; reached through a tunnel only.
WRITES_ITS_ROOT = {(MONITORING, "grafana"), (COMPOSE, "grafana")}
# What an operator of one machine writes into .env; a stack takes each as a secret.
FROM_ENV = {"EMAIL_URL", "STORAGE_URL", "ALERT_WEBHOOK_URL", "WATCHDOG_WEBHOOK_URL"}
SECRET_WORDS = re.compile(r"password|secret|key|token|_url$", re.IGNORECASE)


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return found


SERVICES = [
    pytest.param(name, service, id=f"{Path(name).parent.name or name}:{service}")
    for name in (STACK, COMPOSE, MONITORING)
    for service in load(name)["services"]
]


def service_of(name: str, service: str) -> dict[str, Any]:
    found: dict[str, Any] = load(name)["services"][service]
    return found


@pytest.mark.parametrize(("name", "service"), SERVICES)
def test_s39_no_service_runs_as_root_with_rights_or_a_root_it_can_write(
    name: str, service: str
) -> None:
    facts = service_of(name, service)
    if (name, service) == BY_HAND:
        assert facts["profiles"] == ["tools"]
        assert all(port.startswith("127.0.0.1:") for port in facts["ports"])
        return
    assert facts["cap_drop"] == ["ALL"]
    if (name, service) == MAKES_SECRETS:
        assert facts["network_mode"] == "none"
        assert set(facts["cap_add"]) == {"CHOWN", "FOWNER", "DAC_OVERRIDE"}
    else:
        assert "cap_add" not in facts
        assert int(str(facts["user"]).partition(":")[0]) > 0
    assert facts.get("read_only") or (name, service) in WRITES_ITS_ROOT
    assert not facts.get("privileged")


@pytest.mark.parametrize("name", [STACK, COMPOSE, MONITORING])
def test_s39_nobody_gets_the_engines_socket_or_the_hosts_files(name: str) -> None:
    for service, facts in load(name)["services"].items():
        for volume in facts.get("volumes") or []:
            source = volume if isinstance(volume, str) else volume.get("source", "")
            assert "docker.sock" not in source, service
            host = source.startswith(("/", ".."))
            assert not host, f"{service} mounts {source}"
        assert "pid" not in facts and "ipc" not in facts, service
        assert facts.get("network_mode") in {None, "none"}, service


@pytest.mark.parametrize(("name", "service"), SERVICES)
def test_s39_secrets_come_as_files_never_in_the_environment(name: str, service: str) -> None:
    environment = service_of(name, service).get("environment") or {}
    for variable, value in environment.items():
        if SECRET_WORDS.search(variable) and not variable.endswith("_FILE"):
            # Addresses without a password.
            harmless = {"PUBLIC_URL", "BACKUP_STATUS_URL", "BACKUP_RECIPIENTS"}
            if name == COMPOSE and variable in FROM_ENV:
                assert value.startswith("${"), "given by the operator, not written here"
                continue
            assert variable in harmless, f"{service}: {variable}"


def test_s39_every_secret_of_the_stack_is_an_object_of_the_swarm() -> None:
    stack = load(STACK)
    for name, facts in stack["secrets"].items():
        assert facts["external"] is True, name
        assert re.search(r"_v\$\{[A-Z_]+_VERSION:-1\}$", facts["name"]), name
    made = {part for parts in kept.GROUPS.values() for part in parts}
    assert set(stack["secrets"]) == made | {"secret_key_fallbacks"}
    for service, facts in stack["services"].items():
        for secret in facts.get("secrets") or []:
            assert secret["mode"] == 0o400, service
            assert secret["uid"] == str(facts["user"]).partition(":")[0], service


def test_s39_only_who_needs_a_secret_has_it() -> None:
    services = load(STACK)["services"]
    holders = {
        secret: {
            name
            for name, facts in services.items()
            if secret in {one["source"] for one in facts.get("secrets") or []}
        }
        for secret in load(STACK)["secrets"]
    }
    assert holders["tls_key"] == {"nginx"}
    assert holders["mysql_root_password"] == {"mysql"}
    assert holders["migrate_database_url"] == {"migrate"}
    assert holders["mysql_migrate_password"] == {"mysql", "backup_job"}
    assert holders["secret_key"] == {"web", "ws", "worker", "migrate"}
    assert holders["mysql_backup_password"] == {"mysql", "backup", "backup_job"}


# --- Who can be reached, and over what (SECURITY 36) ----------------------------------------
def test_s36_only_the_edge_publishes_ports() -> None:
    services = load(STACK)["services"]
    assert [name for name, facts in services.items() if facts.get("ports")] == ["nginx"]
    assert {port["target"] for port in services["nginx"]["ports"]} == {8080, 8443}
    for facts in load(MONITORING)["services"].values():
        assert not facts.get("ports")
    for name, facts in load(COMPOSE)["services"].items():
        if name != "nginx":
            assert all(port.startswith("127.0.0.1:") for port in facts.get("ports") or []), name


def test_s36_the_database_and_redis_are_on_the_inner_network_alone() -> None:
    services = load(STACK)["services"]
    for service in ("mysql", "redis", "backup", "backup_job"):
        assert services[service]["networks"] == ["data"], service
    assert services["nginx"]["networks"] == ["edge"]
    for name, facts in load(STACK)["networks"].items():
        assert facts["external"] is True, name
    compose = load(COMPOSE)
    assert compose["networks"]["inside"] == {"internal": True}
    for service in ("mysql", "redis", "backup"):
        assert compose["services"][service]["networks"] == ["inside"], service


@pytest.mark.parametrize("name", [STACK, COMPOSE])
def test_s36_the_database_refuses_clear_text(name: str) -> None:
    command = service_of(name, "mysql")["command"]
    assert "--require-secure-transport=ON" in command
    assert "--mysqlx=OFF" in command
    users = (ROOT / "deploy" / "mysql" / "users.sh").read_text()
    assert users.count("REQUIRE SSL") == users.count("CREATE USER")


# --- What is built (SECURITY 39, 40) --------------------------------------------------------
def dockerfile() -> str:
    return (ROOT / "deploy" / "Dockerfile").read_text()


def test_s40_every_base_image_is_one_exact_release() -> None:
    bases = re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", dockerfile(), re.MULTILINE)
    assert bases
    for name, image in bases:
        _, _, tag = image.partition(":")
        assert re.search(r"\d+\.\d+\.\d+|\d{8}", tag), f"{name}={image} moves"
    for line in re.findall(r"^FROM (\S+)", dockerfile(), re.MULTILINE):
        assert line.startswith("${") or line in re.findall(r" AS (\w+)$", dockerfile())


@pytest.mark.parametrize("name", [STACK, COMPOSE, MONITORING])
def test_s40_images_of_others_are_one_exact_release(name: str) -> None:
    for service, facts in load(name)["services"].items():
        image = re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", facts["image"])
        if image.startswith("clinic-"):
            continue
        assert re.search(r":v?\d+\.\d+\.\d+$", image), f"{service}: {image}"


def test_s39_images_end_as_somebody_without_rights_and_hold_no_secret() -> None:
    stages = re.split(r"^FROM ", dockerfile(), flags=re.MULTILINE)[1:]
    final = {
        match[1]: stage
        for stage in stages
        if (match := re.search(r"AS (app|nginx|backup)\n", stage))
    }
    assert set(final) == {"app", "nginx", "backup"}
    for name, stage in final.items():
        users = re.findall(r"^USER (\d+)", stage, re.MULTILINE)
        assert users and users[-1] != "0", name
        assert "gcc" not in stage, f"{name} has a compiler"
    for line in re.findall(r"^(?:ENV|ARG) .*", dockerfile(), re.MULTILINE):
        assert not re.search(r"password|secret|token", line, re.IGNORECASE), line
    # What a build takes along is named one by one, so that no .env or key slips in.
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    taken = {line for line in ignored if line.startswith("!")} - {"!deploy/setup_secrets.py"}
    assert not [line for line in taken if re.search(r"env|var|secret|\.git", line)]


def test_s40_packages_are_installed_by_hash_alone() -> None:
    assert re.search(r"pip install[^&]*--require-hashes", dockerfile().replace("\\\n", " "))
    assert "--no-deps" in dockerfile()


# --- Both files say the same ----------------------------------------------------------------
def test_every_service_has_a_limit_of_memory_and_of_logs() -> None:
    for name, facts in load(STACK)["services"].items():
        assert facts["deploy"]["resources"]["limits"]["memory"], name
        assert facts["logging"]["options"]["max-size"], name
        assert facts["deploy"]["endpoint_mode"] == "dnsrr", name


def test_no_stack_file_relies_on_what_a_swarm_ignores() -> None:
    for name in (STACK, MONITORING):
        for service, facts in load(name)["services"].items():
            ignored = {"security_opt", "depends_on", "restart", "container_name", "build"}
            assert not ignored & set(facts), service


def test_services_that_take_traffic_are_replaced_new_before_old() -> None:
    for name in ("web", "ws", "worker"):
        deploy = service_of(STACK, name)["deploy"]
        assert deploy["update_config"]["order"] == "start-first", name
        assert deploy["update_config"]["failure_action"] == "rollback", name
        assert deploy["update_config"]["max_failure_ratio"] == 0, name
    drain, graceful = 6, 20
    grace = int(service_of(STACK, "web")["stop_grace_period"].removesuffix("s"))
    assert grace > drain + graceful
