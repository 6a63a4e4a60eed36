"""The linters of the deployment find what they are there for: one that passes all is no check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools import edge, lint_migrations
from tools.environments import ROOT


def test_gixy_finds_headers_that_a_location_drops(tmp_path: Path) -> None:
    main = edge.as_started(tmp_path)
    servers = tmp_path / "clinic" / "servers.conf"
    broken = edge.replaced(
        servers.read_text(),
        "        gzip_static on;\n",
        '        gzip_static on;\n        add_header X-Any "1";\n',
    )
    servers.write_text(broken)
    assert edge.gixy(main) != 0


def test_hadolint_finds_a_base_without_a_tag(tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    dockerfile.write_text(text + "FROM debian\n")
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([str(program), str(dockerfile)], capture_output=True, text=True)
    assert done.returncode != 0
    assert "DL3006" in done.stdout


@pytest.mark.server
@pytest.mark.slow
def test_the_migration_linter_finds_a_column_that_the_release_before_cannot_fill() -> None:
    """`records.0002_rules` has such columns; it is of before the first release, so it may."""
    assert lint_migrations.lint("tests.deploy.next_release.settings", ("records",)) == 1
