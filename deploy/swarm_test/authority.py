"""A certificate authority for one run: what a clinic's browsers would trust."""

from __future__ import annotations

import ssl
from pathlib import Path

from deploy.swarm_test.nodes import run

DAYS = "30"


class Authority:
    def __init__(self, folder: Path, host: str) -> None:
        self.host = host
        self.folder = folder
        self.certificate = folder / "authority.pem"
        self._key = folder / "authority.key"
        folder.mkdir(parents=True, exist_ok=True)
        if self.certificate.exists():  # of a run that was kept
            return
        run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", DAYS, "-subj", "/CN=stack-test authority"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", str(self._key), "-out", str(self.certificate)),
        )

    def sign(self, name: str) -> tuple[Path, Path]:
        """A new certificate (with its chain) and key for the host, as files."""
        key, asked, given = (self.folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
        run(
            *("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={self.host}", "-keyout", str(key), "-out", str(asked)),
        )
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(
            f"subjectAltName=DNS:{self.host}\nextendedKeyUsage=serverAuth\n"
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        )
        run(
            *("openssl", "x509", "-req", "-in", str(asked), "-CA", str(self.certificate)),
            *("-CAkey", str(self._key), "-CAcreateserial", "-days", DAYS),
            *("-extfile", str(extensions), "-out", str(given)),
        )
        given.write_text(given.read_text() + self.certificate.read_text())
        return given, key

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context
