"""Nodes and networks: what the stack file expects to find."""

from __future__ import annotations

import json
from typing import Any

from deploy.tool.docker import Problem, docker, inspect
from deploy.tool.settings import Settings

LABELS = {"edge": "clinic.edge", "mysql": "clinic.mysql", "backup": "clinic.backup"}
# A lost node is seen after three of these are missing; its tasks start elsewhere then. Docker's
# own 5 s left too little of the 30 s in which everything is to run again.
HEARTBEAT = "3s"
NETWORKS = {"edge": [], "data": ["--internal"]}


def nodes() -> list[dict[str, Any]]:
    ids = docker("node", "ls", "--quiet").split()
    found: list[dict[str, Any]] = json.loads(docker("node", "inspect", *ids))
    return found


def labelled(label: str) -> list[str]:
    return [
        node["Description"]["Hostname"]
        for node in nodes()
        if node["Spec"].get("Labels", {}).get(label) == "true"
    ]


def label_nodes(asked: dict[str, list[str]]) -> list[str]:
    """Labels what the operator named, and chooses where nothing is labelled yet: NGINX everywhere,
    MySQL here, backups on another node. Returns what was done, as sentences."""
    by_name = {node["Description"]["Hostname"]: node for node in nodes()}
    here = docker("info", "--format", "{{.Name}}")
    done = []
    for role, label in LABELS.items():
        named = asked.get(role) or []
        if unknown := [name for name in named if name not in by_name]:
            raise Problem(
                f"There is no node {', '.join(unknown)}. The nodes are {', '.join(by_name)}."
            )
        current = labelled(label)
        if not named and current:
            continue
        if not named:
            others = [name for name in by_name if name not in labelled(LABELS["mysql"])]
            named = {"edge": list(by_name), "mysql": [here], "backup": (others or [here])[:1]}[role]
        if role == "mysql" and len(named) != 1:
            raise Problem("MySQL runs on one node. Name one with --mysql.")
        if role == "mysql" and current and current != named:
            raise Problem(
                f"MySQL's data is on {current[0]}; moving the label would start an empty database "
                f"on {named[0]}. To move it, take a backup and follow “A node is lost” in "
                "docs/operations.md."
            )
        for name in current:
            if name not in named:
                docker("node", "update", "--label-rm", label, by_name[name]["ID"])
        for name in named:
            docker("node", "update", "--label-add", f"{label}=true", by_name[name]["ID"])
        done.append(f"{label}: {', '.join(named)}")
    if labelled(LABELS["backup"]) == labelled(LABELS["mysql"]) and len(by_name) > 1:
        done.append("Backups would be on MySQL's own node: name another one with --backup.")
    return done


def set_heartbeat() -> None:
    docker("swarm", "update", "--dispatcher-heartbeat", HEARTBEAT)


def ensure_networks(settings: Settings) -> list[str]:
    """Makes the overlay networks, encrypted unless OVERLAY_ENCRYPTED=0; refuses a clear one."""
    encrypted = settings.get("OVERLAY_ENCRYPTED", "1") != "0"
    made = []
    for name, options in NETWORKS.items():
        full = f"{settings.stack}_{name}"
        found = inspect("network", full)
        if found is None:
            docker(
                *("network", "create", "--driver", "overlay", *options),
                *(("--opt", "encrypted") if encrypted else ()),
                full,
            )
            made.append(full)
        elif found["Driver"] != "overlay":
            raise Problem(
                f"The network {full} is no overlay network. Remove it and run this again."
            )
        elif encrypted and "encrypted" not in (found.get("Options") or {}):
            raise Problem(
                f"The network {full} is not encrypted, so that data would cross between nodes in "
                f"clear text. Remove it (docker network rm {full}) and run this again, or set "
                "OVERLAY_ENCRYPTED=0 where the nodes' own network is encrypted."
            )
    return made


def who_holds(services: list[dict[str, Any]], ports: set[int], *, stack: str) -> dict[int, str]:
    """Which services outside this stack publish one of the ports on the nodes themselves."""
    return {
        port["PublishedPort"]: service["Spec"]["Name"]
        for service in services
        if service["Spec"].get("Labels", {}).get("com.docker.stack.namespace") != stack
        for port in service["Spec"].get("EndpointSpec", {}).get("Ports") or []
        if port.get("PublishedPort") in ports
    }


def require_ports(settings: Settings) -> None:
    """A second stack on the same ports would never start, and say so only after a quarter of an
    hour."""
    ids = docker("service", "ls", "--quiet").split()
    services = json.loads(docker("service", "inspect", *ids)) if ids else []
    ports = {int(settings.get("HTTP_PORT", "80")), int(settings.get("HTTPS_PORT", "443"))}
    for port, holder in who_holds(services, ports, stack=settings.stack).items():
        raise Problem(
            f"Port {port} of the nodes is taken by {holder}, so that the stack {settings.stack} "
            f"could not start; {holder} goes on running. Set STACK to the name of the stack that "
            "runs to update it, or HTTP_PORT and HTTPS_PORT (and PUBLIC_URL with it) to free ones "
            "for a second one. Nothing was changed."
        )
