"""gunicorn in the app image. Numbers come from the environment (docs/operations.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clinic import env
from clinic.settings import LOGGING

bind = f"0.0.0.0:{env.number('PORT', 8000, least=1)}"
worker_class = "gthread"
workers = env.number("WEB_WORKERS", 2, least=1)
threads = env.number("WEB_THREADS", 8, least=1)
preload_app = True  # shares memory, and a renewed worker serves at once

# A worker is renewed now and then, so that no leak can grow for ever; never all at once.
max_requests = env.number("WEB_MAX_REQUESTS", 20_000)
max_requests_jitter = max_requests // 4

timeout = 30
graceful_timeout = 20
keepalive = 75  # longer than NGINX keeps an idle connection, or it would meet a closed one
backlog = 2048
worker_tmp_dir = "/dev/shm"  # noqa: S108  (heartbeats, in memory: the root is read-only)
control_socket_disable = True

# NGINX refuses longer ones first.
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190

# One log line per request comes from the site itself, with its route instead of its path.
accesslog = None
logconfig_dict = {
    **LOGGING,
    "root": LOGGING.get("root", {}),
    "loggers": {
        **LOGGING.get("loggers", {}),
        "gunicorn.error": {"handlers": [], "level": "INFO", "propagate": True},
        "gunicorn.access": {"handlers": [], "level": "CRITICAL", "propagate": False},
    },
}

# --- Metrics: each process keeps its numbers in files of this folder, which is in memory --------
_shared = env.text("PROMETHEUS_MULTIPROC_DIR", "")
if _shared:
    Path(_shared).mkdir(parents=True, exist_ok=True)
    for _file in Path(_shared).glob("*.db"):
        _file.unlink()  # of the processes of an earlier start


def child_exit(server: Any, worker: Any) -> None:
    """A process that ended is no longer counted among those that live."""
    if _shared:
        from clinic.metrics import keep_of_process

        keep_of_process(Path(_shared), worker.pid)
