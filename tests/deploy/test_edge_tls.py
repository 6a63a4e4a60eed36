"""SECURITY 36: the edge speaks only what Mozilla's intermediate guideline 6.0 allows."""

from __future__ import annotations

import fcntl
import json
import ssl
import subprocess
from typing import Any

import pytest

from tests.deploy.edge import NAME, Edge, trusting
from tools import environments
from tools.environments import ROOT

pytestmark = pytest.mark.once

# Version 6.0 of the guideline: these and no others; all have forward secrecy.
SUITES_1_2 = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}
SUITES_1_3 = {
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
}
CURVES = {"X25519", "secp256r1", "secp384r1"}
TOO_OLD = ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"]
SCAN = ROOT / "requirements" / "scan.txt"


@pytest.fixture(scope="module")
def sslyze() -> list[str]:
    """The scanner, in an environment of its own (requirements/scan.in says why)."""
    (ROOT / "var").mkdir(exist_ok=True)
    with (ROOT / "var" / "scan.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return [str(environments.ensure(ROOT / ".venv-scan", SCAN)), "-m", "sslyze"]


def address(edge: Edge) -> str:
    return f"{NAME}:{edge.port}{{127.0.0.1}}"


@pytest.fixture(scope="module")
def scan(sslyze: list[str], edge: Edge) -> Any:
    done = subprocess.run(
        [*sslyze, "--early_data", "--mozilla_config=intermediate", "--json_out=-", address(edge)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    (found,) = json.loads(done.stdout)["server_scan_results"]
    assert found["scan_status"] == "COMPLETED", found
    return found["scan_result"]


def result_of(scan: Any, command: str) -> Any:
    """What one command found. One that could not be run is a failure, not a pass."""
    assert scan[command]["status"] == "COMPLETED", scan[command]
    return scan[command]["result"]


def accepted(scan: Any, version: str) -> set[str]:
    suites = result_of(scan, f"{version}_cipher_suites")["accepted_cipher_suites"]
    return {suite["cipher_suite"]["name"] for suite in suites}


def test_s36_the_scanner_knows_mozillas_guideline_and_finds_it_kept(
    sslyze: list[str], edge: Edge
) -> None:
    done = subprocess.run(
        [*sslyze, "--mozilla_config=intermediate", address(edge)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    _, found, verdict = done.stdout.partition('against Mozilla\'s "intermediate" configuration')
    assert found
    deviations = [line.strip(" *") for line in verdict.splitlines() if line.strip().startswith("*")]
    # The test's certificate is self-signed, so no browser would trust it; nothing else is amiss.
    assert [line.partition(":")[0] for line in deviations] == ["certificate_path_validation"]


def test_s36_nothing_older_than_tls_1_2_is_spoken(scan: Any) -> None:
    for version in TOO_OLD:
        assert accepted(scan, version) == set(), version


@pytest.mark.parametrize(("version", "allowed"), [("tls_1_2", SUITES_1_2), ("tls_1_3", SUITES_1_3)])
def test_s36_only_the_guidelines_suites_are_accepted(
    scan: Any, version: str, allowed: set[str]
) -> None:
    found = accepted(scan, version)
    assert found and found <= allowed


def test_s36_only_the_guidelines_curves_are_accepted(scan: Any) -> None:
    found = result_of(scan, "elliptic_curves")["supported_curves"]
    curves = {curve["name"] for curve in found}
    assert curves and curves <= CURVES


def test_s36_known_holes_are_closed(scan: Any) -> None:
    assert not result_of(scan, "heartbleed")["is_vulnerable_to_heartbleed"]
    assert not result_of(scan, "openssl_ccs_injection")["is_vulnerable_to_ccs_injection"]
    assert "NOT_VULNERABLE" in result_of(scan, "robot")["robot_result"]
    assert not result_of(scan, "tls_compression")["supports_compression"]
    assert not result_of(scan, "tls_1_3_early_data")["supports_early_data"]
    renegotiation = result_of(scan, "session_renegotiation")
    assert renegotiation["supports_secure_renegotiation"]
    assert not renegotiation["is_vulnerable_to_client_renegotiation_dos"]


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_s36_a_client_of_yesterday_is_refused(edge: Edge, version: str) -> None:
    context = trusting(minimum_version=ssl.TLSVersion[version])
    context.maximum_version = ssl.TLSVersion[version]
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        pytest.raises(ssl.SSLError, match=r"(?i)version|alert|handshake"),
        edge.line(context=context),
    ):
        pass


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_s36_a_client_of_today_is_served(edge: Edge, version: str) -> None:
    context = trusting(minimum_version=ssl.TLSVersion[version])
    context.maximum_version = ssl.TLSVersion[version]
    with edge.line(context=context) as line:
        assert isinstance(line, ssl.SSLSocket)
        assert line.version() == version.replace("_", ".")
    assert edge.get("/livez").status == 200
