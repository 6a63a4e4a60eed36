"""Uploads in a store that speaks S3 (`STORAGE_URL`), through django-storages.

Nobody is given an address of the store: files are read here, piece by piece, for whoever the views
let have them. Whatever the store does not do is `StoreAway`, after a bounded time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import File
from django.utils.deconstruct import deconstructible
from storages.backends.s3 import S3Storage

from clinic.env import Bucket
from clinic.outage import StoreAway

CONNECT_SECONDS = 2
ANSWER_SECONDS = 5  # between two pieces of an answer
ATTEMPTS = 2
CHUNK = 256 * 1024  # bytes


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """Turns the store's errors into two: there is no such file, or it cannot be had just now."""
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in {"404", "NoSuchKey"}:
            raise FileNotFoundError(f"{what} is not stored") from error
        code = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        raise StoreAway(f"the store of files answered {code}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise StoreAway(f"the store of files: {type(error).__name__}") from error


class BucketFile(File):
    """An opened file of the bucket, read once from its beginning."""

    def __init__(self, body: Any, name: str, length: int) -> None:
        super().__init__(body, name)
        self._body, self._length = body, length

    @property
    def size(self) -> int:
        return self._length

    def read(self, size: int | None = None) -> bytes:
        with _asking(str(self.name)):
            piece: bytes = self._body.read(size)
            return piece

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        while piece := self.read(chunk_size or CHUNK):
            yield piece


@deconstructible(path="clinic.uploads.bucket.BucketStorage")
class BucketStorage(S3Storage):
    """Files as objects of one bucket, under the random names that they have everywhere."""

    def __init__(self, place: Bucket) -> None:
        super().__init__(
            access_key=place.key,
            secret_key=place.secret,
            bucket_name=place.bucket,
            endpoint_url=place.endpoint,
            region_name=place.region,
            location=place.prefix,
            default_acl=None,
            file_overwrite=True,  # names are random: no question before each file
            client_config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=ANSWER_SECONDS,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                signature_version="s3v4",
                s3={"addressing_style": "path"},  # stores of one's own have no name per bucket
                # Newer checksums than most stores besides Amazon's know.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
            use_threads=False,
        )

    def _key(self, name: str) -> str:
        return f"{self.location}/{name}" if self.location else name

    def _open(self, name: str, mode: str = "rb") -> BucketFile:
        if mode != "rb":
            raise ValueError("Files in the bucket are opened for reading, as 'rb'.")
        with _asking(name):
            client = self.connection.meta.client
            answer = client.get_object(Bucket=self.bucket_name, Key=self._key(name))
        return BucketFile(answer["Body"], name, int(answer["ContentLength"]))

    def _save(self, name: str, content: File) -> str:
        with _asking(name):
            saved: str = super()._save(name, content)
            return saved

    def delete(self, name: str) -> None:
        with _asking(name):
            super().delete(name)

    def exists(self, name: str) -> bool:
        with _asking(name):
            return bool(super().exists(name))

    def size(self, name: str) -> int:
        with _asking(name):
            return int(super().size(name))

    def url(self, name: str | None, *_: Any, **__: Any) -> str:
        raise ValueError("Uploaded files have no address.")

    def names_before(self, moment: datetime) -> Iterator[str]:
        """The names of the files that were stored before a moment."""
        folder = f"{self.location}/" if self.location else ""
        with _asking("the list"):
            pages = self.connection.meta.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket_name, Prefix=folder
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    if found["LastModified"] < moment:
                        yield found["Key"].removeprefix(folder)
