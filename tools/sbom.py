"""`make sbom`: what the images are made of, as a CycloneDX list in var/sbom.cdx.json.

The pinned Python packages with their hashes come from cyclonedx-py; the front-end files that are
kept in static/vendor and the base images of deploy/Dockerfile are added. What Debian's packages
inside the base images are, only the built image knows: `docker sbom`, or a scanner, lists them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tools.environments import ROOT, say
from tools.suite import suite_python

TARGET = ROOT / "var" / "sbom.cdx.json"
SPECIFICATION = "1.6"


def tool() -> Path:
    """cyclonedx-py, of the Python that runs this or of the tests'."""
    here = Path(sys.executable).parent / "cyclonedx-py"
    return here if here.exists() else Path(suite_python()[0]).parent / here.name


def python_packages() -> dict[str, Any]:
    """The list of requirements.txt. Raises ``SystemExit`` when the tool cannot make it."""
    done = subprocess.run(
        [
            *(str(tool()), "requirements"),
            *(
                "--no-validate",
                "--output-reproducible",
                "--spec-version",
                SPECIFICATION,
                "--output-format",
                "JSON",
            ),
            *("--output-file", "-", str(ROOT / "requirements.txt")),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"cyclonedx-py failed: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def front_end() -> list[dict[str, Any]]:
    """Of tools/vendor/package-lock.json: what `tools/vendor.py` copied, no tool of its own."""
    locked = json.loads((ROOT / "tools" / "vendor" / "package-lock.json").read_text())["packages"]
    return [
        component("library", name, locked[f"node_modules/{name}"]["version"], kind="npm")
        for name in sorted(locked[""]["dependencies"])
    ]


def base_images() -> list[dict[str, Any]]:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    return [
        component("container", name, tag, kind="docker")
        for name, tag in re.findall(r"^ARG \w+_IMAGE=([\w./-]+):(\S+)$", dockerfile, re.MULTILINE)
    ]


def component(what: str, name: str, version: str, *, kind: str) -> dict[str, Any]:
    purl = f"pkg:{kind}/{quote(name, safe='/')}@{version}"
    return {"type": what, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def make() -> dict[str, Any]:
    listed = python_packages()
    added = [*front_end(), *base_images()]
    listed["components"] += added
    listed.setdefault("dependencies", []).extend({"ref": one["bom-ref"]} for one in added)
    return listed


def main() -> int:
    listed = make()
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(listed, indent=1) + "\n")
    say(f"{TARGET.relative_to(ROOT)}: {len(listed['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main())
