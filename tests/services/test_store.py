"""A real MinIO: the contract of an object store, its failures under the worker, parts, buckets and credentials."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING
from uuid import uuid4

import pytest
from faults.test_store import (  # noqa: F401  # the same tests, on a MinIO behind the proxy
    proxy,
    test_a_store_that_fails_for_a_while_is_waited_for,
    test_a_store_that_stays_away_ends_the_worker_with_nothing_lost,
)
from support.harness import Log, finish, read_undisturbed, require_sound, send, traffic, wait_for
from support.pipeline import Pipeline
from support.servers import ACCESS_KEY, SECRET_KEY, MinIO
from support.store_contract import (  # noqa: F401  # what every store does
    test_a_deleted_object_is_gone_and_deleting_it_again_is_no_error,
    test_a_listing_holds_all_keys_below_a_prefix_and_no_others,
    test_a_second_put_replaces_the_first,
    test_an_absent_object_is_one_line_that_names_it,
    test_an_object_comes_back_as_it_went,
    test_an_object_written_only_where_there_is_none_is_never_replaced,
    test_of_many_who_write_an_object_where_there_is_none_one_succeeds,
)

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.edges.objects import S3Store, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.servers import Kafka

PART_BYTES = 5 * 1024 * 1024
"""Up to here an object is one PUT, beyond it comes in parts."""


@pytest.fixture(scope="module")
def log(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A log with all that can be wrong in it, read once by an undisturbed worker into a folder."""
    folder = tmp_path_factory.mktemp("undisturbed")
    topic = f"store-{uuid4().hex[:8]}"
    messages = send(Pipeline(folder, kafka.port, {"BATTERY_TOPIC": topic}).settings, traffic(range(16)))
    return read_undisturbed(folder, kafka.port, topic, messages)


@pytest.fixture
def pipeline(log: Log, tmp_path: Path) -> Iterator[Pipeline]:
    """A fresh pipeline on that log, to be struck."""
    pipeline = log.pipeline(tmp_path / "struck")
    yield pipeline
    pipeline.end()


def on(server: MinIO, bucket: str, **changes: str) -> Settings:
    given = {name.lower(): value for name, value in (server.settings(bucket) | changes).items()}
    return Settings(**given)  # type: ignore[arg-type]


@pytest.fixture(params=["s3", "s3 with a prefix"])
def store(request: pytest.FixtureRequest, minio: MinIO) -> S3Store:
    return S3Store(on(minio, uuid4().hex + ("/some/where" if "prefix" in request.param else "")))


@pytest.mark.parametrize("size", [PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 7])
@pytest.mark.parametrize("way", ["put", "put_file"])
def test_an_object_in_one_put_or_in_parts_comes_back_as_it_went(
    minio: MinIO, tmp_path: Path, size: int, way: str
) -> None:
    store = S3Store(on(minio, uuid4().hex))
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    if way == "put":
        store.put("large", data)
    else:
        path = tmp_path / "large"
        path.write_bytes(data)
        store.put_file("large", path)
    assert [found.size for found in store.list("")] == [size]
    assert hashlib.sha256(store.get("large")).digest() == hashlib.sha256(data).digest()


def _pour(pipe: IO[bytes]) -> None:
    with suppress(OSError):
        while True:
            pipe.write(bytes(PART_BYTES))


def test_an_upload_that_breaks_off_between_its_parts_leaves_no_object(minio: MinIO, mc: Path, tmp_path: Path) -> None:
    bucket = uuid4().hex
    store = S3Store(on(minio, bucket))
    _mc(mc, tmp_path, _alias(minio))
    command = [
        str(mc),
        "--config-dir",
        str(tmp_path / "mc"),
        "--debug",
        "pipe",
        "--part-size",
        f"{PART_BYTES // 2**20}MiB",
    ]
    command.append(f"local/{bucket}/large")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as upload:
        assert upload.stdin is not None
        assert upload.stdout is not None
        threading.Thread(target=_pour, args=(upload.stdin,), daemon=True).start()
        for line in upload.stdout:
            if b"partNumber=2" in line:  # the first part has been taken
                break
        upload.kill()
    assert list(store.list("")) == []


def _alias(minio: MinIO) -> list[str]:
    return ["alias", "set", "local", f"http://127.0.0.1:{minio.port}", ACCESS_KEY, SECRET_KEY]


def _mc(mc: Path, folder: Path, *commands: list[str]) -> None:
    """MinIO's own client, told what to do as an administrator."""
    for command in commands:
        subprocess.run([str(mc), "--config-dir", str(folder / "mc"), *command], check=True, capture_output=True)


def test_a_bucket_that_another_process_has_just_made_is_as_good(minio: MinIO, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = on(minio, uuid4().hex)
    S3Store(settings).put("one", b"1")
    monkeypatch.setattr("kernel.edges.objects.Minio.bucket_exists", lambda *_, **__: False)
    assert S3Store(settings).get("one") == b"1"


def test_a_missing_bucket_is_made_when_the_worker_starts(pipeline: Pipeline, log: Log, minio: MinIO) -> None:
    bucket = f"made-{uuid4().hex[:8]}"
    pipeline.extra |= minio.settings(bucket)
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)
    keys = [found.key for found in open_store(pipeline.settings).list("battery_")]
    assert len(keys) == pipeline.query("select count(*) from internal._commits")[0][0]


def test_a_bucket_that_is_removed_under_the_worker_ends_it_in_one_line_and_a_replay_brings_all_back(
    kafka: Kafka, minio: MinIO, mc: Path, tmp_path: Path
) -> None:
    bucket = f"removed-{uuid4().hex[:8]}"
    struck = Pipeline(tmp_path / "struck", kafka.port, {"BATTERY_TOPIC": bucket, **minio.settings(bucket)})
    send(struck.settings, traffic(range(6)))
    worker = struck.start("stream")
    wait_for(worker, "committed")
    _mc(mc, tmp_path, _alias(minio), ["rb", "--force", f"local/{bucket}"])
    messages = send(struck.settings, traffic(range(6, 12)))
    last = finish(worker, 2).strip().splitlines()[-1]
    assert last.startswith("battery: cannot write battery_")
    assert f"bucket {bucket} at MINIO_ENDPOINT=" in last
    assert "NoSuchBucket" in last
    struck.battery("stream", "--until-end")  # makes the bucket, in which the older objects are missing
    assert "is missing" in struck.battery("verify", code=1)
    struck.battery("replay", "--from-beginning")
    undisturbed = read_undisturbed(tmp_path / "undisturbed", kafka.port, bucket, messages)
    require_sound(struck, undisturbed.tables)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"MINIO_ACCESS_KEY": "nobody"}, "InvalidAccessKeyId"),
        ({"MINIO_SECRET_KEY": "hush-wrong-secret"}, "SignatureDoesNotMatch"),
    ],
)
def test_wrong_credentials_are_one_line_without_the_secret(
    pipeline: Pipeline, minio: MinIO, changes: dict[str, str], said: str
) -> None:
    pipeline.extra |= minio.settings("battery-data") | changes
    last = pipeline.battery("stream", "--until-end", code=2).strip().splitlines()[-1]
    assert last.startswith("battery: cannot open bucket battery-data at MINIO_ENDPOINT=127.0.0.1:")
    assert said in last
    assert "hush" not in last


def test_a_user_who_may_only_use_the_bucket_needs_no_more(
    pipeline: Pipeline, log: Log, minio: MinIO, mc: Path, tmp_path: Path
) -> None:
    bucket = f"granted-{uuid4().hex[:8]}"
    S3Store(on(minio, bucket))
    policy = tmp_path / "policy.json"
    policy.write_text(
        json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": [
                            "s3:ListBucket",
                            "s3:GetBucketLocation",
                            "s3:GetObject",
                            "s3:PutObject",
                            "s3:DeleteObject",
                        ],
                        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
                    }
                ],
            }
        )
    )
    _mc(
        mc,
        tmp_path,
        _alias(minio),
        ["admin", "user", "add", "local", "worker", "hush-worker"],
        ["admin", "policy", "create", "local", bucket, str(policy)],
        ["admin", "policy", "attach", "local", bucket, "--user", "worker"],
    )
    given = {"MINIO_ACCESS_KEY": "worker", "MINIO_SECRET_KEY": "hush-worker"}
    pipeline.extra |= minio.settings(bucket) | given
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)
    with pytest.raises(BatteryError, match=r"cannot (open|make) bucket somebody-elses .*Access ?Denied"):
        S3Store(on(minio, "somebody-elses", **given))
