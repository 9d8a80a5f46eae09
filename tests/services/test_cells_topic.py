"""The topic of what a lab knows of its cells, on a real Kafka: it is compacted, and one that deletes is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from support.kafka import alter
from support.pipeline import Pipeline

from kernel.edges.cells_topic import open_cells_topic
from kernel.edges.kafka import cleanup_policy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.servers import Kafka


@pytest.fixture
def pipeline(kafka: Kafka, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    """A pipeline with topics of its own."""
    name = re.sub(r"\W", "_", request.node.name)[:60]
    pipeline = Pipeline(tmp_path / "pipeline", kafka.port, {"BATTERY_TOPIC": name})
    yield pipeline
    pipeline.end()


def test_the_topic_is_made_so_that_brokers_compact_it_and_one_that_deletes_is_refused_until_it_is_mended(
    pipeline: Pipeline, kafka: Kafka
) -> None:
    pipeline.battery("cells", "set", "A", "group=fast")
    settings = pipeline.settings
    assert cleanup_policy(settings.model_copy(update={"battery_topic": settings.cells_topic})) == "compact"
    alter(kafka.address, settings.cells_topic, **{"cleanup.policy": "delete"})
    refused = pipeline.battery("cells", "set", "A", "group=slow", code=2)
    assert f"topic {settings.cells_topic} has cleanup.policy=delete" in refused
    assert "--add-config cleanup.policy=compact`" in refused
    assert "group=fast" in pipeline.battery("cells", "list")
    alter(kafka.address, settings.cells_topic, **{"cleanup.policy": "compact"})
    pipeline.battery("cells", "set", "A", "group=slow")
    assert open_cells_topic(settings).partitions == (0,)
    assert "group=slow" in pipeline.battery("cells", "list")
