"""SECURITY 40: the list of what the images are made of names everything that is pinned."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tools import sbom
from tools.environments import ROOT


@pytest.fixture(scope="module")
def listed() -> dict[str, Any]:
    return sbom.make()


def spelled(name: str) -> str:
    """PEP 503: one package has one name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_s40_every_pinned_package_is_listed_with_version_and_hashes(listed: dict[str, Any]) -> None:
    text = re.sub(r"\\\n", " ", (ROOT / "requirements.txt").read_text())
    pinned = {
        (spelled(name), version): set(re.findall(r"sha256:([0-9a-f]{64})", line))
        for line in text.splitlines()
        for name, version in re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([\w.!+]+)", line)
    }
    assert len(pinned) > 50
    found = {
        (spelled(one["name"]), one["version"]): {
            value["content"]
            for reference in one.get("externalReferences", [])
            for value in reference.get("hashes", [])
        }
        for one in listed["components"]
        if one["purl"].startswith("pkg:pypi/")
    }
    assert set(found) == set(pinned)
    assert all(found[name] >= hashes and hashes for name, hashes in pinned.items())


def test_s40_front_end_files_and_base_images_are_listed(listed: dict[str, Any]) -> None:
    by_kind: dict[str, set[str]] = {}
    for one in listed["components"]:
        by_kind.setdefault(one["purl"].partition("/")[0], set()).add(one["name"])
    assert {"htmx.org", "govuk-frontend", "lucide-static"} <= by_kind["pkg:npm"]
    assert {"python", "nginx", "debian"} <= by_kind["pkg:docker"]
    assert len({one["bom-ref"] for one in listed["components"]}) == len(listed["components"])


def test_s40_the_list_is_what_cyclonedx_says_it_is(listed: dict[str, Any]) -> None:
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(listed))
    assert fault is None, fault
