"""The counter rule in each of its renderings: NumPy in the stream, SQL in the marts and on the page, the recount."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import arrow
from support.generated import histories, leaping, logs
from support.landed import WINDOW_SECONDS, differing, fold, landed
from support.profiles import examples

from dashboard.macros import macro
from dataflows.fold.counters import PICO
from dataflows.fold.gains import MOST_FLOW
from kernel.contract.reading import (
    COUNTER_LEAP_CURRENT,
    COUNTER_NOISE,
    COUNTER_ZERO,
    GAP_SECONDS,
    RESET_SHARE,
    STEP_RESET_SHARE,
)

if TYPE_CHECKING:
    import duckdb
    from support.delivered import Delivery

IN_PICO = float(macro("counter_unit")) / PICO
"""How many units of the marts make one of the stream."""

CYCLES = """
    with {numbered}, {gained},
    by_sql as (
        select test_id, cycle_index, sum(charge_aah) as a, sum(discharge_aah) as b, sum(charge_awh) as c,
            sum(discharge_awh) as d, count(*) as readings
        from gained group by all
    )
    select by_sql.*, kept.charge_capacity_pah, kept.discharge_capacity_pah, kept.charge_energy_pwh,
        kept.discharge_energy_pwh
    from by_sql full join internal._cycles as kept using (test_id, cycle_index) order by all
"""


def capacities(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """Of each cycle its readings, and what the counters gained by the macros of the marts and by the stream."""
    sql = CYCLES.format(
        numbered=macro("number_steps", "battery_ts_cleaned"),
        gained=macro("counter_gains", "battery_ts_cleaned", "numbered"),
    )
    return [(row[6], row[2:6], row[7:]) for row in connection.execute(sql).fetchall()]


@given(st.one_of(logs(), leaping(), histories().map(lambda history: [arrow(history)])))
@examples(0.6)
def test_the_marts_and_the_recount_count_what_the_stream_counts(log: list[Delivery]) -> None:
    with landed([fold([log])]) as connection:
        connection.execute(
            "insert into internal._writers values ('x', 1, ?, now(), 0, null, 'worker', null)", [WINDOW_SECONDS]
        )
        for readings, by_sql, by_stream in capacities(connection):
            for one, other in zip(by_sql, by_stream, strict=True):
                assert (one is None) == (other is None)
                # The stream counts in pico-units, and SQL rounds halves another way.
                assert abs((one or 0) / IN_PICO - (other or 0)) <= 2 * readings
        assert differing(connection)[1] == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("noise", COUNTER_NOISE), ("zero", COUNTER_ZERO), ("reset_share", RESET_SHARE),
        ("step_reset_share", STEP_RESET_SHARE), ("gap_seconds", GAP_SECONDS), ("most_flow", MOST_FLOW),
        ("leap_current", COUNTER_LEAP_CURRENT),
    ],
)  # fmt: skip
def test_the_numbers_of_the_rule_in_sql_are_those_of_the_contract(name: str, value: float) -> None:
    assert float(macro("counter_number", name)) == value
