"""One edge in front of replicas that note what reaches them, for all tests that change neither."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings

from tests.deploy.edge import Edge, system_nginx
from tests.deploy.replicas import ADDRESSES, Replicas

# What touches no database has been run already in the first part of `make test`.
if "sqlite" not in settings.DATABASES["default"]["ENGINE"]:
    collect_ignore = [
        *("test_edge_answers.py", "test_edge_limits.py", "test_edge_replicas.py"),
        *("test_edge_smuggling.py", "test_edge_start.py", "test_edge_tls.py", "test_sbom.py"),
        *("test_stack_files.py", "test_stack_tool.py", "test_task_start.py"),
        *("test_tool_restore.py", "test_tool_rollback.py"),
    ]


@pytest.fixture(scope="session")
def replicas() -> Iterator[Replicas]:
    with Replicas() as running:
        yield running


@pytest.fixture(scope="session")
def edge(replicas: Replicas) -> Iterator[Edge]:
    with Edge(web=replicas.port, ws=replicas.port, replicas=ADDRESSES, LIMIT_PAGES="1000") as nginx:
        yield nginx


@pytest.fixture(scope="session")
def system_edge(replicas: Replicas) -> Iterator[Edge]:
    """The same with the system's own NGINX, which has every module of the image's. It may be years
    older: what it does not know yet is taken out (tools/edge.py)."""
    with Edge(web=replicas.port, ws=replicas.port, program=system_nginx()) as nginx:
        yield nginx
