"""The readings that benchmarks stream: those of one simulated cell, under as many names as are asked for."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from kernel.contract.message import encode_arrow, encode_json, headers
from kernel.contract.reading import ARROW, JSON
from kernel.edges.kafka import MESSAGE_BYTES
from producer.simulate import simulate_tests

if TYPE_CHECKING:
    from collections.abc import Iterator

CELL: Final = "BENCH"
SEED: Final = 3
CYCLES: Final = 850
TESTS: Final = 20
"""With this seed, 850 cycles are 256,000 readings in 20 tests."""


@dataclass(frozen=True)
class Sent:
    """A message to publish."""

    key: bytes
    headers: list[tuple[str, str | bytes | None]]
    value: bytes


@cache
def exports_of_a_life(cycles: int = CYCLES) -> tuple[tuple[str, pa.Table], ...]:
    """The tests of a simulated cell, `TESTS` of them, each with the name of its export.

    Args:
        cycles: its number of cycles, at least as many as tests.
    """
    exports = simulate_tests(CELL, cycles=cycles, seed=SEED, cycles_per_file=-(-cycles // TESTS))
    # The last is a second export of the test before.
    return tuple((export.name, export.test.readings) for export in exports[:-1])


def arrow_messages(rows: int, cells: int = 1) -> Iterator[Sent]:
    """Messages as the producer sends them, of at least so many readings and cells; those of the cells alternate."""
    tests = exports_of_a_life()
    cells = max(cells, -(-rows // sum(readings.num_rows for _, readings in tests)))
    left = rows
    for name, readings in tests:
        for number in range(cells):
            if left <= 0:
                return
            cell_id = f"{CELL}_{number:03d}"
            named = readings.set_column(0, readings.schema.field(0), pa.repeat(cell_id, readings.num_rows))
            for count, value in encode_arrow(named, MESSAGE_BYTES):
                left -= count
                yield Sent(cell_id.encode(), headers(ARROW, name), value)


def json_messages(cells: int, readings_each: int) -> Iterator[Sent]:
    """Shuffled readings of many cells, one a message; those of a cell keep their order."""
    name, readings = exports_of_a_life()[0]
    values = list(encode_json(readings.slice(0, readings_each)))
    order = list(range(cells)) * readings_each
    random.Random(SEED).shuffle(order)  # noqa: S311  # no secret
    sent = [0] * cells
    for cell in order:
        cell_id = b"%s_%06d" % (CELL.encode(), cell)
        value = values[sent[cell]].replace(b'"%s"' % CELL.encode(), b'"%s"' % cell_id, 1)
        sent[cell] += 1
        yield Sent(cell_id, headers(JSON, name), value)
