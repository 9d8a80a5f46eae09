"""One contract for every object store: a folder, and S3 spoken over TCP to a server process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_contract import (  # noqa: F401
    test_a_deleted_object_is_gone_and_deleting_it_again_is_no_error,
    test_a_listing_holds_all_keys_below_a_prefix_and_no_others,
    test_a_second_put_replaces_the_first,
    test_an_absent_object_is_one_line_that_names_it,
    test_an_object_comes_back_as_it_went,
)

from battery.broker import free_port
from battery.errors import BatteryError
from battery.objects import FolderStore, ObjectStore, S3Store, open_store
from battery.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def s3(port: int, bucket: str = "s3://battery-data") -> Settings:
    return Settings(
        object_store=bucket,
        minio_endpoint=f"127.0.0.1:{port}",
        minio_access_key="key",
        minio_secret_key="hush-secret",
        minio_secure=False,
    )


@pytest.fixture(params=["folder", "s3", "s3 with a prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return FolderStore(tmp_path / "objects")
    port = request.getfixturevalue("s3_port")
    name = f"test-{abs(hash(request.node.name)) % 10**8}"
    return open_store(s3(port, f"s3://{name}" + ("/some/where" if "prefix" in request.param else "")))


def test_a_missing_bucket_is_made(s3_port: int) -> None:
    S3Store(s3(s3_port, "s3://made-on-start")).put("a", b"x")
    assert [found.key for found in S3Store(s3(s3_port, "s3://made-on-start")).list("")] == ["a"]


def test_a_store_that_does_not_answer_is_one_line_without_the_secret() -> None:
    with pytest.raises(BatteryError, match="cannot open bucket battery-data at MINIO_ENDPOINT=127") as caught:
        open_store(s3(free_port()))
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)
