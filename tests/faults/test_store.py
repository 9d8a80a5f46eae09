"""The object store failing while the worker writes: it waits and goes on, or ends with nothing lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.harness import Log, finish, require_sound, wait_for
from support.proxy import Fault, S3Proxy
from support.warehouses import Kind, every_warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.pipeline import Pipeline


@pytest.fixture
def proxy(s3_port: int) -> Iterator[S3Proxy]:
    with S3Proxy(s3_port) as proxy:
        yield proxy


def store_behind(proxy: S3Proxy, bucket: str, seconds: int) -> dict[str, str]:
    return {
        "OBJECT_STORE": f"s3://{bucket}",
        "MINIO_ENDPOINT": f"127.0.0.1:{proxy.port}",
        "MINIO_ACCESS_KEY": "key",
        "MINIO_SECRET_KEY": "hush-secret",
        "MINIO_SECURE": "false",
        "OBJECT_STORE_TIMEOUT_SECONDS": str(seconds),
        "COMMIT_MAX_ROWS": "700",
    }


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.UNAVAILABLE, Fault.TIMEOUT, Fault.SLOW])
def test_a_store_that_fails_for_a_while_is_waited_for(
    pipeline: Pipeline, log: Log, proxy: S3Proxy, fault: Fault
) -> None:
    pipeline.extra |= store_behind(proxy, f"for-a-while-{fault.name.lower()}", seconds=15)
    worker = pipeline.start("stream", "--until-end")
    wait_for(worker, "began a run")
    proxy.strike(fault)
    if fault is Fault.SLOW:
        assert proxy.failed.wait(30)
    else:
        wait_for(worker, "the object store does not answer, waiting for it")
    proxy.heal()
    finish(worker, 0)
    require_sound(pipeline, log.tables)


@every_warehouse
def test_a_store_that_stays_away_ends_the_worker_with_nothing_lost(
    pipeline: Pipeline, log: Log, proxy: S3Proxy, kind: Kind
) -> None:
    pipeline.extra |= store_behind(proxy, f"stays-away-{kind}", seconds=2)
    worker = pipeline.start("stream", "--until-end")
    wait_for(worker, "began a run")
    proxy.strike(Fault.REFUSED)
    last = finish(worker, 2).strip().splitlines()[-1]
    assert last.startswith("battery: cannot write battery_")
    assert "hush" not in last
    proxy.heal()
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)
