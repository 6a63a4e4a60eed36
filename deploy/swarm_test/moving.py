"""Faults 12 and 13: keys and certificates change under load, and the database moves house."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

from deploy.swarm_test.crowd import wait_until
from deploy.swarm_test.faults import APP, SERVED, UPDATE_SECONDS, Scene
from deploy.swarm_test.nodes import HUB, in_namespace, run
from deploy.swarm_test.stack import NAME, StackFailed
from deploy.swarm_test.verdict import Check


def rotate_secret_key(scene: Scene) -> list[Check]:
    before = scene.stack.containers(APP)
    scene.breaks_now()
    scene.stack.operate("secrets", "rotate", "secret_key")
    scene.stack.wait_until_whole(SERVED, UPDATE_SECONDS)
    scene.recovered(time.monotonic() - scene.begun)
    scene.settle(8)
    after = scene.stack.containers(APP)
    renewed = sum(not (before[name] & after[name]) for name in ("web", "ws"))
    out = sum("signed out" in one.wrong for one in scene.requests)
    closed = sum(device.journal.counts["closed 4401"] for device in scene.crowd.devices)
    return [
        Check("errors", scene.wrong(), most=0),
        Check("people signed out", out, most=0),
        Check("sockets signed out", closed, most=0),
        Check("services with the new key", renewed, least=2),
        Check("sockets up", float(scene.everybody_up()), least=1),
    ]


def rotate_certificate(scene: Scene) -> list[Check]:
    certificate, key = scene.authority.sign("renewed")
    scene.breaks_now()
    scene.stack.operate(
        *("secrets", "rotate", "tls"), TLS_CERTIFICATE=str(certificate), TLS_KEY=str(key)
    )
    scene.stack.wait_until_whole(SERVED, UPDATE_SECONDS)
    scene.recovered(time.monotonic() - scene.begun)
    scene.settle()
    wanted = ssl.PEM_cert_to_DER_cert(_first(certificate))
    edges = [node.address for node in scene.cluster.nodes]
    shown = sum(ssl.PEM_cert_to_DER_cert(_shown(scene, edge)) == wanted for edge in edges)
    return [
        Check("errors", scene.wrong(), most=0),
        Check("edges with the new certificate", shown, least=len(edges)),
        Check("sockets up", float(scene.everybody_up()), least=1),
    ]


def _first(path: Path) -> str:
    """The server's own certificate of a chain."""
    end = "-----END CERTIFICATE-----\n"
    return path.read_text().partition(end)[0] + end


def _shown(scene: Scene, edge: str) -> str:
    site = scene.crowd.visitors.site
    said = run(
        *in_namespace(HUB),
        *("openssl", "s_client", "-connect", f"{edge}:{site.port}", "-servername", site.host),
    )
    begin = said.index("-----BEGIN CERTIFICATE-----")
    end = said.index("-----END CERTIFICATE-----")
    return said[begin:end] + "-----END CERTIFICATE-----\n"


def restore_elsewhere(scene: Scene) -> list[Check]:
    """Backup, then the database's node loses its volume for good, then a restore on another.

    Nobody writes from just before the backup: what is acknowledged after the last backup is what
    the recovery point (5 minutes) allows to be lost, and this row is about the rest.
    """
    stack, cluster = scene.stack, scene.cluster
    if not scene.crowd.pause_writing():
        raise StackFailed(f"not answered: {scene.crowd.unanswered()}")
    old = stack.task("mysql")
    new = next(
        node for node in cluster.nodes if node is not old.node and node.name != backup_node(scene)
    )
    before = stack.task("web").run("python", "-", given=COUNTS)
    stack.operate("backup")
    scene.breaks_now()
    _destroy(scene)
    stack.docker("node", "update", "--label-rm", "clinic.mysql", old.node.name)
    stack.docker("node", "update", "--label-add", "clinic.mysql=true", new.name)
    stack.docker("service", "scale", "--detach", f"{NAME}_mysql=1")
    stack.wait_until_whole(["mysql"], UPDATE_SECONDS)
    stack.operate("restore", "--key", str(scene.backup_key), "--yes")
    if not wait_until(lambda: stack.is_whole(["mysql", *SERVED]), UPDATE_SECONDS, every=0.5):
        raise StackFailed(stack.trouble())
    scene.recovered(time.monotonic() - scene.begun)
    after = stack.task("web").run("python", "-", given=COUNTS)
    scene.crowd.resume_writing()
    up = scene.everybody_up(90)
    wait_until(lambda: time.monotonic() - _last(scene) > 6, 60)
    scene.settle(10)
    writes = [one for one in scene.requests if one.is_write and not one.wrong]
    if before != after:
        scene.row.notes.append(f"rows before {before.strip()}, after {after.strip()}")
    return [
        Check("s until the database is back elsewhere", scene.row.recovery, most=1800),
        Check("tables with other row counts", float(before != after), most=0),
        Check("it runs on another node", float(stack.task("mysql").node is new), least=1),
        Check("writes after it", len(writes), least=1),
        Check("sockets up", float(up), least=1),
    ]


def backup_node(scene: Scene) -> str:
    return scene.stack.task("backup").node.name


def _last(scene: Scene) -> float:
    return max((one.ended for one in scene.requests if one.wrong), default=0.0)


def _destroy(scene: Scene) -> None:
    """The database's task and its volume, as when the disk is gone."""
    old = scene.stack.task("mysql")
    scene.stack.docker("service", "scale", "--detach", f"{NAME}_mysql=0")
    if not wait_until(lambda: not scene.stack.tasks("mysql", anywhere=True), 60):
        raise StackFailed("MySQL does not end")
    # Containers of earlier tasks, which the Swarm keeps for a look, hold on to the volume too.
    label = f"label=com.docker.swarm.service.name={NAME}_mysql"
    kept = old.node.docker("ps", "--all", "--quiet", "--filter", label).split()
    old.node.docker("rm", "--force", *kept)
    if not wait_until(lambda: "gone" in _volume_removed(scene, old.node.name), 60, every=1.0):
        raise StackFailed("the volume is still used")


def _volume_removed(scene: Scene, node: str) -> str:
    engine = scene.cluster.node(node)
    engine.docker("volume", "rm", f"{NAME}_mysql", check=False)
    left = engine.docker("volume", "ls", "-q").split()
    return "still there" if f"{NAME}_mysql" in left else "gone"


# Rows of every table, and the audit chains; sessions, caches and what waits for a job come and go.
COUNTS = """
import django; django.setup()
from django.apps import apps
from accounts.audit import verify_chain
from accounts.models import Patient
skipped = {"session", "cachedcount", "dbtaskresult", "regularjob", "schedule", "freedtime"}
found = {m._meta.label: m.objects.count() for m in apps.get_models()
         if m._meta.model_name not in skipped and m._meta.managed and not m._meta.proxy}
found["broken chains"] = sum(bool(verify_chain(p)) for p in Patient.objects.exclude(audit_count=0))
print(sorted(found.items()))
"""
