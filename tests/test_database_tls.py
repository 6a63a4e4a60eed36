"""A database server elsewhere: its certificate and its name are checked when DATABASE_CA is set."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.servers import MariaDB, ServerMissing
from tests.test_settings import PRODUCTION, read, refusal, run

CONNECT = """
import django
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SHOW STATUS LIKE 'Ssl_version'")
    print(cursor.fetchone()[1])
"""
Key = ec.EllipticCurvePrivateKey


class Authority:
    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}.pem"
        self.certificate = self._certificate(name, self.key, None)
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _certificate(self, name: str, key: Key, address: str | None) -> x509.Certificate:
        now = datetime.now(UTC)
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(address is None, None), critical=True)
        )
        if address is not None:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def sign(self, address: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(address, key, address)
        files = self.folder / "server.pem", self.folder / "server.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        return files


class Elsewhere(MariaDB):
    """A server whose certificate is for ``address``; it is reached at 127.0.0.1."""

    def __init__(self, authority: Authority, address: str) -> None:
        super().__init__()
        self.certificate, self.key = authority.sign(address)

    def command(self) -> list[str]:
        tls = [f"--ssl-cert={self.certificate}", f"--ssl-key={self.key}"]
        return [*super().command(), *tls, "--require-secure-transport=ON"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture(params=["127.0.0.1", "192.0.2.7"])
def server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Elsewhere]:
    try:
        with Elsewhere(authority, request.param) as running:
            yield running
    except ServerMissing as missing:
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


def connects(server: Elsewhere, ca: Path) -> tuple[bool, str]:
    done = run("-c", CONNECT, **{**PRODUCTION, "DATABASE_URL": server.url, "DATABASE_CA": str(ca)})
    return done.returncode == 0, done.stdout + done.stderr


def test_only_the_right_authority_and_the_right_name_are_believed(
    server: Elsewhere, authority: Authority, tmp_path: Path
) -> None:
    is_its_name = "127.0.0.1" in str(
        x509.load_pem_x509_certificate(server.certificate.read_bytes()).subject
    )
    worked, said = connects(server, authority.file)
    assert worked is is_its_name, said
    assert ("TLSv1" in said) is is_its_name
    stranger = Authority(tmp_path, "stranger")
    worked, said = connects(server, stranger.file)
    assert not worked and "2026" in said, said


def test_an_authority_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    said = refusal(**{**PRODUCTION, "DATABASE_CA": str(tmp_path / "nowhere.pem")})
    assert "DATABASE_CA" in said and "not a readable file" in said


def test_without_one_the_address_decides() -> None:
    url = PRODUCTION["DATABASE_URL"] + "?ssl_mode=REQUIRED"
    options = read("DATABASES", **{**PRODUCTION, "DATABASE_URL": url})["DATABASES"]["default"]
    assert options["OPTIONS"]["ssl_mode"] == "REQUIRED" and "ssl" not in options["OPTIONS"]
