"""A test that is published while it runs: a message a minute or so, each with the broker's time stamp of then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow.compute as pc
from confluent_kafka import Producer

from kernel.contract.message import encode_arrow, headers
from kernel.contract.reading import ARROW

if TYPE_CHECKING:
    import pyarrow as pa
    from support.pipeline import Pipeline

MAX_BYTES = 1024**2


def publish_live(
    pipeline: Pipeline, readings: pa.Table, began: datetime, *, hours: tuple[float, float], every_s: float = 120.0
) -> None:
    """Publish the readings of some hours of a test as a gateway would have done at that time.

    Args:
        pipeline: to whose topic.
        readings: all readings of one test.
        began: when the test began (UTC).
        hours: from and to which hour of the test.
        every_s: how many seconds of the test are in a message.
    """
    producer = Producer({"bootstrap.servers": pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]})
    time, end = 3600 * hours[0], 3600 * hours[1]
    while time < end:
        in_time = pc.and_(
            pc.greater(readings["test_time(s)"], time), pc.less_equal(readings["test_time(s)"], time + every_s)
        )
        time += every_s
        part = readings.filter(in_time)
        if not part.num_rows:
            continue
        at = (began + timedelta(seconds=time)).replace(tzinfo=UTC)
        for _, value in encode_arrow(part, MAX_BYTES):
            producer.produce(
                pipeline.topic, value, part["cell_id"][0].as_py(), headers=headers(ARROW, None),
                timestamp=int(1000 * at.timestamp()),
            )  # fmt: skip
    assert producer.flush(30) == 0
