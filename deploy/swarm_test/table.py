"""The faults in the order in which they are played, each with what is expected of it."""

from __future__ import annotations

from deploy.swarm_test import faults, moving
from deploy.swarm_test.faults import Fault

FAULTS = (
    Fault("kill web", faults.kill_web, "GET 0 errors, POST at most those in flight, whole ≤ 20 s"),
    Fault("kill ws", faults.kill_ws, "sockets back p95 ≤ 5 s, and fetch what they missed"),
    Fault("stop nginx", faults.stop_nginx, "0 errors"),
    Fault("kill nginx", faults.kill_nginx, "at most those in flight; the other nodes serve"),
    Fault("kill worker", faults.kill_worker, "0 errors, mails once"),
    Fault(
        "kill redis", faults.kill_redis, "0 errors; messages stored and ≤ 5 s; live ≤ 10 s after"
    ),
    Fault("flush redis", faults.flush_redis, "0 errors; messages ≤ 5 s"),
    Fault("restart mysql", faults.restart_mysql, "503 pages; ≤ 10 s after it is ready; no restart"),
    Fault("kill mysql", faults.kill_mysql, "503 pages; ≤ 10 s after it is ready; no restart"),
    Fault("three updates", faults.three_updates, "0 errors, p99 < 2 ×, sockets move at most twice"),
    Fault("bad image", faults.bad_image, "rolled back by itself, 0 errors"),
    Fault("rotate secret key", moving.rotate_secret_key, "0 errors, nobody signed out"),
    Fault("rotate certificate", moving.rotate_certificate, "0 errors, the new one on every edge"),
    Fault("lose a node", faults.lose_node, "errors stop ≤ 10 s, tasks elsewhere ≤ 30 s"),
    Fault(
        "cut a node off", faults.cut_off, "the database is pinned, errors stop ≤ 10 s, mails once"
    ),
    Fault(
        "lose the database's node",
        faults.lose_database_node,
        "503 pages after 20 s at most; ≤ 10 s after it is ready; nothing else restarted",
    ),
    Fault(
        "restore elsewhere", moving.restore_elsewhere, "≤ 30 min; rows, chains and bookings agree"
    ),
)
NAMES = tuple(fault.name for fault in FAULTS)
