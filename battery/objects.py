"""The object store edge: a folder or S3 (MinIO), behind five verbs."""

from __future__ import annotations

import io
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol
from uuid import uuid4

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from battery.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery.settings import Settings

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 60.0


@dataclass(frozen=True)
class StoredObject:
    """One object's key and its size in bytes."""

    key: str
    size: int


class ObjectStore(Protocol):
    """Objects by key; keys are relative, with slashes.

    Every verb raises BatteryError when the store does not answer or refuses.
    """

    def put(self, key: str, data: bytes) -> None:
        """Write an object whole, replacing one of the same key; a reader never sees half of it."""
        ...

    def put_file(self, key: str, path: Path) -> None:
        """Write a file as an object, as `put` does, without holding all of it in memory."""
        ...

    def get(self, key: str) -> bytes:
        """Read an object; an absent one is a BatteryError."""
        ...

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All objects whose key starts with `prefix`."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; an absent one is no error."""
        ...


def open_store(settings: Settings) -> ObjectStore:
    """The store that OBJECT_STORE names; a missing folder or bucket is made.

    Raises:
        BatteryError: it cannot be reached or written.
    """
    if settings.object_store.startswith("s3://"):
        return S3Store(settings)
    return FolderStore(Path(settings.object_store.removeprefix("file://")))


class FolderStore:
    """Objects as files below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BatteryError(f"OBJECT_STORE: cannot make the folder {root}: {error.strerror}") from None

    def put(self, key: str, data: bytes) -> None:
        """Write beside the place and rename: the rename is what makes the object exist."""
        self._put(key, io.BytesIO(data))

    def put_file(self, key: str, path: Path) -> None:
        """Copy the file beside the place and rename."""
        try:
            with path.open("rb") as source:
                self._put(key, source)
        except OSError as error:
            raise BatteryError(f"cannot read {path}: {error.strerror}") from None

    def _put(self, key: str, source: BinaryIO) -> None:
        path = self._root / key
        partial = path.with_name(f".{uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                shutil.copyfileobj(source, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            _sync_folders(path.parent, self._root)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise BatteryError(f"cannot write {path}: {error.strerror}") from None

    def get(self, key: str) -> bytes:
        """Read the file."""
        try:
            return (self._root / key).read_bytes()
        except OSError as error:
            raise BatteryError(f"cannot read {self._root / key}: {error.strerror}") from None

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Walk the files; those still being written do not count."""
        for path in sorted((self._root / prefix).parent.rglob("*")):
            key = path.relative_to(self._root).as_posix()
            if key.startswith(prefix) and not path.name.startswith(".") and path.is_file():
                yield StoredObject(key, path.stat().st_size)

    def delete(self, key: str) -> None:
        """Unlink the file."""
        (self._root / key).unlink(missing_ok=True)


def _sync_folders(folder: Path, root: Path) -> None:
    """Make new names last over a loss of power, up to the store's root, where folders can be synchronised at all."""
    with suppress(OSError):  # Windows and some network mounts refuse; the object is there
        for place in (folder, *folder.parents):
            descriptor = os.open(place, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if place == root:
                return


class S3Store:
    """Objects in a bucket of MinIO or any other S3."""

    def __init__(self, settings: Settings) -> None:
        self._bucket, _, prefix = settings.object_store.removeprefix("s3://").strip("/").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint = settings.minio_endpoint or ""
        secret = settings.minio_secret_key.get_secret_value() if settings.minio_secret_key else None
        try:
            self._client = Minio(
                self._endpoint,
                access_key=settings.minio_access_key,
                secret_key=secret,
                secure=settings.minio_secure,
                http_client=urllib3.PoolManager(
                    timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
                    retries=urllib3.Retry(total=5, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
                ),
            )
            if not self._client.bucket_exists(self._bucket):
                self._client.make_bucket(self._bucket)
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._failure("open", error) from None
        except ValueError as error:  # a host or bucket that cannot be one
            raise BatteryError(f"OBJECT_STORE, MINIO_ENDPOINT: {error}") from None

    def put(self, key: str, data: bytes) -> None:
        """One PUT; S3 shows an object only when it is whole."""
        try:
            self._client.put_object(self._bucket, self._prefix + key, io.BytesIO(data), len(data))
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._failure(f"write {key} to", error) from None

    def put_file(self, key: str, path: Path) -> None:
        """One PUT, or the parts of one for a large file."""
        try:
            self._client.fput_object(self._bucket, self._prefix + key, str(path))
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._failure(f"write {key} to", error) from None

    def get(self, key: str) -> bytes:
        """One GET."""
        try:
            response = self._client.get_object(self._bucket, self._prefix + key)
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._failure(f"read {key} from", error) from None
        try:
            return response.read()
        finally:
            response.close()
            response.release_conn()

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """List, page by page."""
        try:
            for found in self._client.list_objects(self._bucket, prefix=self._prefix + prefix, recursive=True):
                yield StoredObject((found.object_name or "").removeprefix(self._prefix), found.size or 0)
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._failure("list", error) from None

    def delete(self, key: str) -> None:
        """One DELETE."""
        try:
            self._client.remove_object(self._bucket, self._prefix + key)
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._failure(f"delete {key} from", error) from None

    def _failure(self, verb: str, error: Exception) -> BatteryError:
        reason = f"{error.code}: {error.message}" if isinstance(error, S3Error) else str(error).splitlines()[0]
        return BatteryError(f"cannot {verb} bucket {self._bucket} at MINIO_ENDPOINT={self._endpoint}: {reason}")
