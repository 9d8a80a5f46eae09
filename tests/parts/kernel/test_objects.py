"""One contract for every object store: a folder, and S3 spoken over TCP to a server process."""

from __future__ import annotations

import errno
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest
import urllib3
from minio import Minio
from pydantic import SecretStr
from support.store_contract import (  # noqa: F401
    test_a_deleted_object_is_gone_and_deleting_it_again_is_no_error,
    test_a_listing_holds_all_keys_below_a_prefix_and_no_others,
    test_a_second_put_replaces_the_first,
    test_an_absent_object_is_one_line_that_names_it,
    test_an_object_comes_back_as_it_went,
    test_an_object_written_only_where_there_is_none_is_never_replaced,
    test_of_many_who_write_an_object_where_there_is_none_one_succeeds,
)

from kernel.base.errors import BatteryError
from kernel.base.ports import free_port
from kernel.base.settings import Settings
from kernel.edges.objects import FolderStore, ObjectStore, S3Store, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from urllib3 import BaseHTTPResponse


def s3(port: int, bucket: str = "s3://battery-data") -> Settings:
    return Settings(
        object_store=bucket,
        minio_endpoint=f"127.0.0.1:{port}",
        minio_access_key="key",
        minio_secret_key=SecretStr("hush-secret"),
        minio_secure=False,
    )


@pytest.fixture(params=["folder", "s3", "s3 with a prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return FolderStore(tmp_path / "objects")
    port = request.getfixturevalue("s3_port")
    name = f"test-{abs(hash(request.node.name)) % 10**8}"
    return open_store(s3(port, f"s3://{name}" + ("/some/where" if "prefix" in request.param else "")))


def test_a_bucket_that_somebody_only_looks_for_is_refused_and_not_made(s3_port: int) -> None:
    for _ in range(2):
        with pytest.raises(BatteryError, match=r"^there is no bucket looked-for at MINIO_ENDPOINT=127\.0\.0\.1:\d+$"):
            open_store(s3(s3_port, "s3://looked-for"), make=False)


def test_a_server_that_is_no_store_is_told() -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(BatteryError, match=r"cannot open bucket .*: what answers there is no S3 store"):
            open_store(s3(server.server_port))
        server.shutdown()


def test_a_missing_bucket_is_made(s3_port: int) -> None:
    S3Store(s3(s3_port, "s3://made-on-start")).put("a", b"x")
    assert [found.key for found in S3Store(s3(s3_port, "s3://made-on-start")).list("")] == ["a"]


def test_a_store_that_does_not_answer_is_one_line_without_the_secret() -> None:
    with pytest.raises(BatteryError, match=r"cannot open bucket battery-data at MINIO_ENDPOINT=127") as caught:
        open_store(s3(free_port()))
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_conditional_write_that_finds_no_server_does_not_show_its_signature(
    s3_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3Store(s3(s3_port, "s3://made-on-start").model_copy(update={"object_store_timeout_seconds": 1.0}))
    monkeypatch.setattr("urllib3.PoolManager.request", unanswered)
    with pytest.raises(BatteryError, match="cannot write a to bucket made-on-start") as caught:
        store.put_new("a", b"x")
    assert "Signature" not in str(caught.value)


def test_what_a_store_refuses_a_conditional_write_with_is_told_by_its_code(s3_port: int) -> None:
    store = S3Store(s3(s3_port, "s3://removed-later"))
    client = Minio(f"127.0.0.1:{s3_port}", access_key="key", secret_key="hush-secret", secure=False)
    client.remove_bucket("removed-later")
    with pytest.raises(BatteryError, match=r"cannot write a to bucket removed-later .*NoSuchBucket: "):
        store.put_new("a", b"x")


def test_a_folder_without_links_replaces_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    test_an_object_written_only_where_there_is_none_is_never_replaced(FolderStore(tmp_path))


def unanswered(_: object, __: str, url: str, **___: object) -> BaseHTTPResponse:
    """What urllib3 raises where nobody listens: its text holds the whole address."""
    raise urllib3.exceptions.MaxRetryError(urllib3.HTTPConnectionPool("127.0.0.1"), url)
