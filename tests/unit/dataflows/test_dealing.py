"""How Bytewax deals out the parts of sources and sinks among workers, which `TopicSource.is_near` goes by."""

from __future__ import annotations

import threading

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.testing import cluster_main

PARTITIONS = 4
LANES = 6


class Reader(StatefulSourcePartition[tuple[str, int], None]):
    """Gives one item to each lane."""

    def __init__(self) -> None:
        self.items = [(str(lane), lane) for lane in range(LANES)]

    def next_batch(self) -> list[tuple[str, int]]:
        if not self.items:
            raise StopIteration
        return [self.items.pop()]

    def snapshot(self) -> None:
        pass


class Writer(StatefulSinkPartition[int, None]):
    """Takes anything."""

    def write_batch(self, items: list[int]) -> None:
        pass

    def snapshot(self) -> None:
        pass


class Topic(FixedPartitionedSource[tuple[str, int], None]):
    """Partitions, and which worker has each."""

    def __init__(self) -> None:
        self.worker_of: dict[int, int] = {}

    def list_parts(self) -> list[str]:
        return [str(partition) for partition in range(PARTITIONS)]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Reader:  # noqa: ARG002
        self.worker_of[int(for_part)] = threading.get_ident()
        return Reader()


class Lanes(FixedPartitionedSink[int, None]):
    """Lanes, and which worker has each."""

    def __init__(self) -> None:
        self.worker_of: dict[int, int] = {}

    def list_parts(self) -> list[str]:
        return [f"lane-{lane:02d}" for lane in range(LANES)]

    def part_fn(self, item_key: str) -> int:
        return int(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Writer:  # noqa: ARG002
        self.worker_of[int(for_part.removeprefix("lane-"))] = threading.get_ident()
        return Writer()


def test_the_parts_of_all_steps_are_dealt_out_in_the_same_order() -> None:
    topic, lanes = Topic(), Lanes()
    flow = Dataflow("dealt")
    op.output("land", op.input("topic", flow, topic), lanes)
    cluster_main(flow, [], 0, worker_count_per_proc=2)
    assert len(set(topic.worker_of.values())) == 2
    assert lanes.worker_of == {lane: topic.worker_of[lane % PARTITIONS] for lane in range(LANES)}
