"""Verify tells readings that came back apart once more, and blames no sound pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.builders import arrow, reading
from support.delivered import together
from support.generated import ORIGIN
from support.landed import WINDOW_SECONDS, fold

from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import DuckDBFile
from sink.care.comeback import COME_BACK, ComeBack
from sink.commit import Landing

if TYPE_CHECKING:
    from pathlib import Path

    from support.delivered import Delivery


def come_back(folder: Path, log: list[Delivery]) -> ComeBack:
    """What verify finds of a log whose messages have landed, a commit each."""
    warehouse = DuckDBFile(folder / "battery.duckdb", 30)
    landing = Landing(FolderStore(folder / "objects"), warehouse, WINDOW_SECONDS)
    landing.begin()
    for seq, result in enumerate(fold([[message] for message in log]), 1):
        landing.commit(0, seq, [result])
    with warehouse.connect("read the quarantine", read_only=True) as connection:
        found = ComeBack(warehouse, connection.execute(COME_BACK).fetchall())
    for message in log:
        found.take(together([message]))
    found.finish()
    return found


@pytest.mark.parametrize("partition", [0, 1])
def test_a_reading_that_landed_by_a_retry_came_out_of_order_before_also_over_another_partition(
    tmp_path: Path, partition: int
) -> None:
    # As where the topic has got more partitions in the meantime: the offsets of two cannot be compared.
    again = arrow([reading(2)], offset=6 - 5 * partition, partition=partition, retry_of=ORIGIN)
    found = come_back(tmp_path, [arrow([reading(1), reading(3)]), arrow([reading(2)], offset=5), again])
    assert (found.rows, found.misjudged) == (1, 0)
