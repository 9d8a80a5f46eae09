"""The object store edge: a folder or S3 (MinIO), behind six verbs."""

from __future__ import annotations

import io
import os
import shutil
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import md5
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, ParamSpec, Protocol, TypeVar
from uuid import uuid4
from xml.etree.ElementTree import ParseError

import structlog
import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from kernel.base.errors import BatteryError
from kernel.base.pauses import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kernel.base.settings import Settings

_Parameters = ParamSpec("_Parameters")
_Answer = TypeVar("_Answer")

_log = structlog.get_logger()

OPEN_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 5.0
SIGNED_FOR: Final = timedelta(minutes=5)
"""How long the address of a conditional PUT is valid."""

REQUESTS_IN_TIME: Final = 10
"""One request may take this part of OBJECT_STORE_TIMEOUT_SECONDS."""


@dataclass(frozen=True)
class StoredObject:
    """One object's key and its size in bytes."""

    key: str
    size: int


class ObjectStore(Protocol):
    """Objects by key; keys are relative, with slashes.

    >>> store: ObjectStore = FolderStore(Path("objects"))
    >>> store.put("raw/first.csv", b"3.7")
    >>> store.put_new("raw/first.csv", b"4.1"), store.get("raw/first.csv")
    (False, b'3.7')
    >>> [(stored.key, stored.size) for stored in store.list("raw/")]
    [('raw/first.csv', 3)]
    >>> store.delete("raw/first.csv")

    Every verb raises BatteryError when the store does not answer or refuses.
    """

    def put(self, key: str, data: bytes) -> None:
        """Write an object whole, replacing one of the same key; a reader never sees half of it."""
        ...

    def put_new(self, key: str, data: bytes) -> bool:
        """Write an object as `put` does, but only where there is none of that key; of two at once one writes.

        Returns:
            Whether it was written. An S3 store without conditional writes replaces the object, so read it back.
        """
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


def open_store(settings: Settings, *, make: bool = True) -> ObjectStore:
    """The store that OBJECT_STORE names; a missing folder or bucket is made where that is wanted.

    >>> from kernel.base.settings import Settings
    >>> store = open_store(Settings(object_store="file://example"))
    >>> store.put("battery_ts_cleaned/lane=00/1.parquet", b"rows")
    >>> Path("example/battery_ts_cleaned/lane=00/1.parquet").read_bytes()
    b'rows'

    Args:
        settings: where it is.
        make: whether a folder or bucket that is not there is made; else the folder is empty, and the bucket refused.

    Raises:
        BatteryError: it cannot be reached or written, or there is no such bucket.
    """
    if settings.object_store.startswith("s3://"):
        return S3Store(settings, make=make)
    return FolderStore(Path(settings.object_store.removeprefix("file://")), make=make)


def open_to_look(settings: Settings) -> ObjectStore | None:
    """As `open_store`, for a look that somebody waits for: requests end within seconds, and no folder is made.

    Returns:
        The store; None where it is a folder that is not there yet.

    Raises:
        BatteryError: it cannot be reached.
    """
    if (
        not settings.object_store.startswith("s3://")
        and not Path(settings.object_store.removeprefix("file://")).exists()
    ):
        return None
    patience = min(settings.object_store_timeout_seconds, OPEN_SECONDS)
    return open_store(settings.model_copy(update={"object_store_timeout_seconds": patience}))


class FolderStore:
    """Objects as files below a folder, which is made at once, or, without `make`, with the first object."""

    def __init__(self, root: Path, *, make: bool = True) -> None:
        self._root = root.resolve()
        try:
            if make:
                self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BatteryError(f"OBJECT_STORE: cannot make the folder {root}: {error.strerror}") from None

    def put(self, key: str, data: bytes) -> None:
        """Write beside the place and rename: the rename is what makes the object exist."""
        self._put(key, io.BytesIO(data))

    def put_new(self, key: str, data: bytes) -> bool:
        """Write beside the place and link, which fails where there is a file already."""
        path = self._root / key
        partial = path.with_name(f".{uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(partial, io.BytesIO(data))
            try:
                _link(partial, path)
            finally:
                partial.unlink(missing_ok=True)
            _sync_folders(path.parent, self._root)
        except FileExistsError:
            return False
        except OSError as error:
            raise BatteryError(f"cannot write {path}: {error.strerror}") from None
        return True

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
            _write(partial, source)
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
        for path in sorted((self._root / prefix.rpartition("/")[0]).rglob("*")):
            key = path.relative_to(self._root).as_posix()
            if key.startswith(prefix) and not path.name.startswith(".") and path.is_file():
                with suppress(FileNotFoundError):  # another process has removed it since
                    yield StoredObject(key, path.stat().st_size)

    def delete(self, key: str) -> None:
        """Unlink the file."""
        (self._root / key).unlink(missing_ok=True)


def _link(partial: Path, path: Path) -> None:
    """Give a whole file its name, where no file has it yet.

    Raises:
        FileExistsError: one has.
    """
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: whoever reads while this is being written sees a part of it
        with partial.open("rb") as source:
            _write(path, source, "xb")


def _write(path: Path, source: BinaryIO, mode: Literal["wb", "xb"] = "wb") -> None:
    """Write a file that lasts over a loss of power."""
    with path.open(mode) as file:
        shutil.copyfileobj(source, file)
        file.flush()
        os.fsync(file.fileno())


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
    """Objects in a bucket of MinIO or any other S3.

    A store that does not answer, or answers that it cannot now, is waited for: OBJECT_STORE_TIMEOUT_SECONDS long, of
    which one request may take a tenth. When it is opened, what is wrong is said within seconds.
    """

    def __init__(self, settings: Settings, *, make: bool = True) -> None:
        self._bucket, _, prefix = settings.object_store.removeprefix("s3://").strip("/").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint = settings.minio_endpoint or ""
        self._patience = OPEN_SECONDS
        if settings.minio_ca_location and not settings.minio_ca_location.is_file():
            raise BatteryError(f"MINIO_CA_LOCATION={settings.minio_ca_location} is no file")
        try:
            self._http, self._client = self._connect(settings, OPEN_SECONDS)
            if not self._ask("open", self._client.bucket_exists, self._bucket):
                if not make:
                    raise BatteryError(f"there is no bucket {self._bucket} at MINIO_ENDPOINT={self._endpoint}")
                self._ask("make", self._make_bucket)
        except ValueError as error:  # a host or bucket that cannot be one
            raise BatteryError(f"OBJECT_STORE, MINIO_ENDPOINT: {error}") from None
        self._patience = settings.object_store_timeout_seconds
        self._http, self._client = self._connect(settings, self._patience / REQUESTS_IN_TIME)

    def _make_bucket(self) -> None:
        """Make the bucket; the processes of a cluster that starts may all find none at the same moment."""
        try:
            self._client.make_bucket(self._bucket)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise

    def _connect(self, settings: Settings, request_seconds: float) -> tuple[urllib3.PoolManager, Minio]:
        http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, request_seconds), read=request_seconds),
            retries=urllib3.Retry(total=0),
            ca_certs=str(settings.minio_ca_location) if settings.minio_ca_location else None,
        )
        return http, Minio(
            self._endpoint,
            access_key=settings.minio_access_key,
            secret_key=settings.minio_secret_key.get_secret_value() if settings.minio_secret_key else None,
            secure=settings.minio_secure,
            http_client=http,
        )

    def put(self, key: str, data: bytes) -> None:
        """One PUT; S3 shows an object only when it is whole."""

        def put() -> None:
            self._client.put_object(self._bucket, self._prefix + key, io.BytesIO(data), len(data))

        self._ask(f"write {key} to", put)

    def put_new(self, key: str, data: bytes) -> bool:
        """One PUT on the condition that there is no such object; the client itself has no word for that."""
        headers = {"If-None-Match": "*", "Content-MD5": b64encode(md5(data, usedforsecurity=False).digest()).decode()}

        def put() -> bool:
            url = self._client.get_presigned_url("PUT", self._bucket, self._prefix + key, expires=SIGNED_FOR)
            try:
                answer = self._http.request("PUT", url, body=data, headers=headers)
            except urllib3.exceptions.HTTPError as error:  # its text holds the address, whose signature is a secret
                raise urllib3.exceptions.HTTPError(f"no answer ({type(error).__name__})") from None
            if answer.status == HTTPStatus.PRECONDITION_FAILED:
                return False
            if answer.status != HTTPStatus.OK:
                raise _error_of(answer)
            return True

        return self._ask(f"write {key} to", put)

    def put_file(self, key: str, path: Path) -> None:
        """One PUT, or the parts of one for a large file."""
        self._ask(f"write {key} to", self._client.fput_object, self._bucket, self._prefix + key, str(path))

    def get(self, key: str) -> bytes:
        """One GET."""

        def get() -> bytes:
            response = self._client.get_object(self._bucket, self._prefix + key)
            try:
                return response.read()
            finally:
                response.close()
                response.release_conn()

        return self._ask(f"read {key} from", get)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """List, page by page."""

        def pages() -> list[StoredObject]:
            return [
                StoredObject((listed.object_name or "").removeprefix(self._prefix), listed.size or 0)
                for listed in self._client.list_objects(self._bucket, prefix=self._prefix + prefix, recursive=True)
            ]

        yield from self._ask("list", pages)

    def delete(self, key: str) -> None:
        """One DELETE."""
        self._ask(f"delete {key} from", self._client.remove_object, self._bucket, self._prefix + key)

    def _ask(
        self,
        verb: str,
        request: Callable[_Parameters, _Answer],
        *arguments: _Parameters.args,
        **named: _Parameters.kwargs,
    ) -> _Answer:
        """Send a request until it has an answer or the patience ends."""
        retry = wait_for(
            _may_pass,
            lambda error: _log.warning(
                "the object store does not answer, waiting for it", to=verb, error=_reason(error)
            ),
            seconds=self._patience,
            first=0.1,
            longest=5,
        )
        try:
            return retry(request, *arguments, **named)
        except (MinioException, urllib3.exceptions.HTTPError, ParseError) as error:
            raise BatteryError(
                f"cannot {verb} bucket {self._bucket} at MINIO_ENDPOINT={self._endpoint}: {_reason(error)}"
                f"{_hint(error)}"
            ) from None


def _error_of(answer: urllib3.BaseHTTPResponse) -> MinioException:
    """What a store refuses with; a proxy in between answers in no XML."""
    try:
        return S3Error.fromxml(answer)
    except (ParseError, ValueError):
        return ServerError(f"HTTP {answer.status}: {answer.reason}", answer.status)


def _may_pass(error: BaseException) -> bool:
    """Tell whether the same request may succeed a little later."""
    if isinstance(error, S3Error):  # the conflict: another one is writing the same object at this moment
        server_failed = error.response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return server_failed or error.code == "ConditionalRequestConflict"
    if isinstance(error, ServerError):
        return error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    # A proxy in between answers in no XML, and the client tells its code only in the message.
    return isinstance(error, urllib3.exceptions.HTTPError | InvalidResponseError)


def _hint(error: BaseException) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "; name the authority of its certificate with MINIO_CA_LOCATION"
    return ""


def _reason(error: BaseException) -> str:
    if isinstance(error, S3Error):
        return f"{error.code}: {error.message}"
    if isinstance(error, ParseError):
        return f"what answers there is no S3 store ({error})"
    return (str(error).splitlines() or [type(error).__name__])[0]
