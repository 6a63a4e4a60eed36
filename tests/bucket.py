"""A store that speaks S3, as a process of its own.

It is moto's server, a stand-in: no store with an own implementation of S3 can be installed from the
registries that the tests use. It answers what Amazon's does, and checks no signatures.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from typing import Any

from clinic.env import Bucket
from tests.servers import Server

KEY, SECRET = "key-for-tests", "secret/for+tests"
NAME = "clinic-files"
REGION = "us-east-1"


class BucketServer(Server):
    """One bucket, in memory: a server that was killed has lost what it held."""

    name = "bucket"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """What STORAGE_URL says."""
        secret = SECRET.replace("/", "%2F").replace("+", "%2B")
        return f"s3://{KEY}:{secret}@127.0.0.1:{self.port}/{NAME}?region={REGION}&tls=0"

    def place(self, *, prefix: str = "") -> Bucket:
        return Bucket(self.endpoint, NAME, prefix, KEY, SECRET, REGION)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.endpoint, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def opened(self) -> None:
        self.client().create_bucket(Bucket=NAME)

    def client(self) -> Any:
        """The store as its operator asks it, past our own code."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name=REGION,
            config=Config(s3={"addressing_style": "path"}),
        )

    def names(self, prefix: str = "") -> set[str]:
        found = self.client().list_objects_v2(Bucket=NAME, Prefix=prefix)
        return {row["Key"] for row in found.get("Contents", ())}
