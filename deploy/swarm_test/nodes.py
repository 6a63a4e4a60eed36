"""Three machines on one: each a network, process, mount and host-name namespace with an engine.

A node's processes live in its own process namespace, so ending the namespace's first process ends
the node with everything on it, as pulling the plug does, and nothing of it can be left running. The
nodes hang on a bridge in a namespace of its own: the host's interfaces and rules stay as they are.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.swarm_test.ledger import Ledger, end_process, started_at
from tests.servers import end_with_this_process

PREFIX = "clinic-st"
HUB = f"{PREFIX}-hub"  # the switch between the nodes, and where the visitors live
CGROUP = f"{PREFIX}"
SUBNET = "198.18.77"  # set aside for tests by RFC 2544
HUB_ADDRESS = f"{SUBNET}.1"
READY_SECONDS = 60.0
JOIN_SECONDS = 90.0
DOCKER = "/usr/bin/docker"  # Debian's; another may come first on PATH

# The engine's own folders (a system's containerd, its identity) are hidden from the node, so that
# each has its own. The shell stays, because the first process of a namespace must reap orphans.
INIT = """
hostname "$1"
for folder in /etc/docker /run/docker /run/containerd /opt/containerd; do
  mount -t tmpfs none "$folder" || exit 1
done
shift
"$@" &
wait $!
"""


HIDDEN = ("/etc/docker", "/run/docker", "/run/containerd", "/opt/containerd")


class NodeFailed(Exception):
    """An engine did not start or a node did not join; carries the end of its log."""


def run(*command: str, seconds: float = 120.0, check: bool = True) -> str:
    """The output of a command; raises ``NodeFailed`` with what it said when it fails."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
    )
    if check and done.returncode:
        raise NodeFailed(f"{' '.join(command)} failed: {(done.stderr + done.stdout).strip()}")
    return done.stdout.strip()


def in_namespace(name: str) -> list[str]:
    """Runs a command in the network of a namespace (``ip netns exec`` would hide the cgroups)."""
    return ["nsenter", f"--net=/run/netns/{name}", "--"]


@dataclass
class Engine:
    """A dockerd with folders of its own."""

    name: str
    folder: Path
    namespace: str = ""  # none: the host's network, for building only
    address: str = ""
    keep: bool = False  # goes on when the test ends
    pid: int = 0
    started: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def cgroup(self) -> str:
        return f"/{CGROUP}/{self.name}"

    def start(self, ledger: Ledger) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in HIDDEN:
            ledger.make_folder(path)
        for name in ("data", "exec"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "daemon.json").write_text("{}")
        # What an engine that was killed leaves here would keep the next one from starting.
        (self.folder / "pid").unlink(missing_ok=True)
        (self.folder / "docker.sock").unlink(missing_ok=True)
        (self.folder / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)
        dockerd = [
            *("dockerd", "--config-file", str(self.folder / "daemon.json")),
            *("--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec")),
            *("--pidfile", str(self.folder / "pid"), "-H", self.host),
            *("--cgroup-parent", self.cgroup, "--exec-opt", "native.cgroupdriver=cgroupfs"),
            *("--storage-driver", "overlay2", "--userland-proxy=false"),
        ]
        if not self.namespace:
            dockerd += ["--bridge=none", "--iptables=false", "--ip-forward=false"]
            dockerd += ["--ip-masq=false", "--ip6tables=false"]
        apart = [
            *("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("/bin/sh", "-c", INIT, "init", self.name, *dockerd),
        ]
        command = [*(in_namespace(self.namespace) if self.namespace else []), *apart]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command if self.keep else end_with_this_process(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid, self.started = process.pid, started_at(process.pid)
        ledger.note_process(process.pid)
        self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.answers():
            if started_at(self.pid) != self.started or time.monotonic() > deadline:
                raise NodeFailed(f"{self.name} did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.2)

    def answers(self) -> bool:
        done = subprocess.run([DOCKER, "-H", self.host, "version"], capture_output=True)
        return done.returncode == 0

    def docker(self, *arguments: str, seconds: float = 120.0, check: bool = True) -> str:
        return run(DOCKER, "-H", self.host, *arguments, seconds=seconds, check=check)

    @property
    def init(self) -> int:
        """The first process of the node's process namespace, as the host counts."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(children[0])

    def kill_inside(self, pid: int, signal: str = "KILL") -> None:
        """Sends a signal to a process that the node knows as ``pid``."""
        inside = ("nsenter", "-t", str(self.init), "--pid", "--mount", "--")
        run(*inside, "/bin/sh", "-c", f"kill -{signal} {pid}")

    def pull_the_plug(self) -> None:
        """Ends the node and everything on it at once; ``start`` brings it back with its disk."""
        end_process(self.pid, self.started)

    # --- Its cable ----------------------------------------------------------------------------

    def cut_off(self) -> None:
        run(*in_namespace(HUB), "ip", "link", "set", self.name, "down")

    def connect(self) -> None:
        run(*in_namespace(HUB), "ip", "link", "set", self.name, "up")


class Cluster:
    """The switch, ``names`` as nodes of one Swarm (all managers, so that one may be lost)."""

    def __init__(self, ledger: Ledger, folder: Path, names: tuple[str, ...], *, keep: bool) -> None:
        self.ledger = ledger
        self.nodes = [
            Engine(
                name,
                folder / name,
                namespace=f"{PREFIX}-{name}",
                address=f"{SUBNET}.{11 + number}",
                keep=keep,
            )
            for number, name in enumerate(names)
        ]

    @property
    def manager(self) -> Engine:
        return self.nodes[0]

    def node(self, name: str) -> Engine:
        return next(node for node in self.nodes if node.name == name)

    def make_network(self) -> None:
        self.ledger.note("cgroup", name=CGROUP)
        self._namespace(HUB)
        hub = in_namespace(HUB)
        run(*hub, "ip", "link", "add", "switch", "type", "bridge")
        run(*hub, "ip", "address", "add", f"{HUB_ADDRESS}/24", "dev", "switch")
        run(*hub, "ip", "link", "set", "switch", "up")
        for node in self.nodes:
            self._namespace(node.namespace)
            inside = in_namespace(node.namespace)
            run(
                *("ip", "link", "add", node.name, "netns", HUB, "type", "veth"),
                *("peer", "name", "eth0", "netns", node.namespace),
            )
            run(*hub, "ip", "link", "set", node.name, "master", "switch", "up")
            run(*inside, "ip", "address", "add", f"{node.address}/24", "dev", "eth0")
            run(*inside, "ip", "link", "set", "eth0", "up")
            # No way out: an engine asks for a registry before each task, and learns at once that
            # there is none instead of waiting for a name to be found.

    def _namespace(self, name: str) -> None:
        self.ledger.note("namespace", name=name)
        run("ip", "netns", "add", name)
        run(*in_namespace(name), "ip", "link", "set", "lo", "up")

    def start(self) -> None:
        for node in self.nodes:
            node.start(self.ledger)

    def form(self) -> None:
        first = self.manager
        first.docker("swarm", "init", "--advertise-addr", first.address)
        token = first.docker("swarm", "join-token", "-q", "manager")
        for node in self.nodes[1:]:
            node.docker(
                *("swarm", "join", "--token", token, "--advertise-addr", node.address),
                f"{first.address}:2377",
            )
        self.wait_until_ready()

    def wait_until_ready(self, seconds: float = JOIN_SECONDS) -> None:
        """Waits until every node works and votes: without two votes there is no leader."""
        deadline = time.monotonic() + seconds
        while not self._is_ready():
            if time.monotonic() > deadline:
                raise NodeFailed(f"the nodes are {self.states()}")
            time.sleep(0.5)

    def _is_ready(self) -> bool:
        try:
            states = self.states()
        except NodeFailed:  # while a leader is elected nobody answers
            return False
        return len(states) == len(self.nodes) and all(
            status == "Ready" and manager in {"Leader", "Reachable"}
            for _, status, manager in states
        )

    def states(self) -> list[tuple[str, str, str]]:
        """Of each node its name, whether it works, and what it is among the managers."""
        rows = self.manager.docker("node", "ls", "--format", "{{json .}}").splitlines()
        found: list[dict[str, Any]] = [json.loads(row) for row in rows]
        return [(row["Hostname"], row["Status"], row["ManagerStatus"]) for row in found]
