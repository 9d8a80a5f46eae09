"""The aggregates, counted again from the landed rows, in SQL that shares no code with the fold.

Sums may differ by one unit for each reading, since SQL rounds halves differently. All that is counted of some cells is
one query, so rows and aggregates are those of one moment. `sink.care.pieces` takes all cells, some at a time.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Final

from kernel.contract.reading import (
    COUNTER_LEAP_CURRENT,
    COUNTER_NOISE,
    COUNTER_ZERO,
    COUNTERS,
    GAP_SECONDS,
    LEAPS,
    NO_DOUBT,
    RESET_SHARE,
    STEP_RESET_SHARE,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb


def _whole(value: str, unit: str) -> str:
    return f"round({value} * {unit})::hugeint"


def _gain(index: int) -> str:
    """What a counter has gained with a reading, in pico-units; NULL if it was not measured."""
    now, before = f'"{COUNTERS[index]}"', f"before_{index}"
    since = (
        f'case when {before} is null then if("test_time(s)" <= {GAP_SECONDS}, 0, {now}) '
        f"when {now} < {before} - {COUNTER_NOISE} * largest and abs({now}) < {before} * "
        f"if(begun > begun_{index}, {STEP_RESET_SHARE!r}, {RESET_SHARE!r}) then 0 else {before} end"
    )
    return f"{_whole(now, '1e12')} - {_whole(since, '1e12')}"


def _each(text: str) -> str:
    """SQL for each counter: `{n}` is its number, `{name}` its column, `{bit}` its flag, `{flow}` its current."""
    flows = (
        'greatest("current(a)", 0)',
        'greatest(-1 * "current(a)", 0)',
        'greatest("current(a)", 0) * abs("voltage(v)")',
        'greatest(-1 * "current(a)", 0) * abs("voltage(v)")',
    )
    return ", ".join(
        text.format(n=n, name=f'"{name}"', bit=int(LEAPS[n]), flow=flows[n]) for n, name in enumerate(COUNTERS)
    )


def _leap_gain(index: int) -> str:
    """What a counter has gained with a reading, in a test in which it leaps.

    At a leap the gain is computed from the current, and the next reading makes up for the difference. A counter that
    returns to its value before it fell to zero has gained the difference since then.
    """
    now, before, left = f'"{COUNTERS[index]}"', f"before_{index}", f"left_{index}"
    has_leapt = f"quality & {int(LEAPS[index])} <> 0"
    is_back = (
        f"abs({before}) <= {COUNTER_NOISE} * largest and {left} > {COUNTER_ZERO} * largest "
        f"and {now} >= {left} - {COUNTER_NOISE} * largest and {now} <= {left} * 2"
    )
    back = " - ".join(_whole(value, "1e12") for value in (now, left, before))
    return (
        f"case when {now} is null then if({has_leapt}, flow_{index}, null) "
        f"when {has_leapt} and coalesce({is_back}, false) then {back} - given_{index} "
        f"when {has_leapt} then if({before} is null, 0, flow_{index}) else {_gain(index)} - given_{index} end"
    )


_GAINED: Final = f"""
    stepped as (
        select *, coalesce(
            step_index <> lag(step_index) over test or cycle_index <> lag(cycle_index) over test
            or "step_time(s)" < lag("step_time(s)") over test, false
        ) as begins, data_point = lag(data_point) over test as is_repeated
        from chosen
        window test as (partition by cell_id, test_id order by data_point)
    ),
    numbered as (
        select *, count(case when begins then 1 end) over test as begun
        from stepped
        window test as (partition by cell_id, test_id order by data_point)
    ),
    followed as (
        select *,
            {_each("lag({name} ignore nulls) over test as before_{n}")},
            {_each("lag(if({name} is null, null, begun) ignore nulls) over test as begun_{n}")},
            coalesce(nullif(max(abs("current(a)")) over earlier, 0), {COUNTER_LEAP_CURRENT}) as largest
        from numbered
        window test as (partition by cell_id, test_id order by data_point), earlier as (
            partition by cell_id, test_id order by data_point rows between unbounded preceding and 1 preceding
        )
    ),
    leaping as (
        select distinct cell_id, test_id from chosen where quality & {sum(LEAPS)} <> 0
    ),
    timed as (
        select *, begins or lag(data_point) over test is null as is_first,
            "test_time(s)" - coalesce(lag("test_time(s)") over test, 0) as since,
            if(is_first, least(since, "step_time(s)"), since) as lasted,
            {_each("{flow} as power_{n}, lag(power_{n}) over test as power_before_{n}")}
        from followed semi join leaping using (cell_id, test_id)
        window test as (partition by cell_id, test_id order by data_point)
    ),
    flowing as (
        select *, {
    _each(
        "round(least((if(is_first, power_{n}, power_before_{n}) + power_{n}) / 2"
        f" * if(lasted > {GAP_SECONDS}, 0, lasted) / 3600, 4e6) * 1e12)::hugeint as flow_{{n}}"
    )
}
        from timed
    ),
    told as (
        select *,
            {_each("sum(if({name} is null and quality & {bit} <> 0, flow_{n}, 0)) over test as told_{n}")},
            {
    _each(f"lag(if(abs({{name}}) > {COUNTER_NOISE} * largest, {{name}}, null) ignore nulls) over test as left_{{n}}")
}
        from flowing
        window test as (partition by cell_id, test_id order by data_point)
    ),
    given as (
        select *, {
    _each("told_{n} - coalesce(lag(if({name} is null, null, told_{n}) ignore nulls) over test, 0) as given_{n}")
}
        from told
        window test as (partition by cell_id, test_id order by data_point)
    ),
    leaps as (
        select cell_id, test_id, data_point, true as is_leaping,
            {", ".join(f"{_leap_gain(n)} as leap_gain_{n}" for n in range(len(COUNTERS)))}
        from given
    ),
    gained as materialized (
        select followed.*,
            {", ".join(f"if(is_leaping, leap_gain_{n}, {_gain(n)}) as gain_{n}" for n in range(len(COUNTERS)))}
        from followed left join leaps using (cell_id, test_id, data_point)
    )
"""  # noqa: S608  # names come from this module alone

_WINDOWS: Final = """
    windowed as (
        select *, time_bucket(to_seconds(width), date_time, timestamp '1970-01-01') as window_start
        from gained cross join (select coalesce(max(window_seconds), 1) as width from {schema}._writers)
        where date_time is not null
    ),
    recounted_windows as (
        select
            cell_id, window_start,
            count(*) as reading_count, count(*) filter (quality & ~{no_doubt} <> 0) as flagged_count,
            count("temperature(c)") as temperature_count,
            {sums}, {extremes}, {lasts},
            sum(coalesce(gain_0, 0) + coalesce(gain_1, 0)) as charge_throughput_pah,
            sum(coalesce(gain_2, 0) + coalesce(gain_3, 0)) as energy_throughput_pwh
        from windowed
        left join (select cell_id, window_start, {last_names} from kept_windows) using (cell_id, window_start)
        group by cell_id, window_start
    )
"""

_CYCLES: Final = """
    recounted_cycles as (
        select
            cell_id, test_id, cycle_index, count(*) as reading_count,
            {gains}, {extremes},
            count("internal_resistance(ohm)") filter (gain_1 > 0) as resistance_count,
            coalesce(sum({resistance}) filter (gain_1 > 0), 0) as resistance_sum_no,
            min(date_time) as started_at, max(date_time) as ended_at
        from gained group by cell_id, test_id, cycle_index
    )
"""

_COUNTS: Final = """
    select
        (select count(*) from chosen), (select count(*) from gained where is_repeated),
        (select count(*) from kept_windows),
        (select count(*) from recounted_windows as recounted
            full join kept_windows as kept using (cell_id, window_start) where {windows}),
        (select count(*) from kept_cycles),
        (select count(*) from recounted_cycles as recounted
            full join kept_cycles as kept using (cell_id, test_id, cycle_index) where {cycles})
"""

_CHANNELS: Final = (
    ("voltage(v)", "voltage", "v"),
    ("current(a)", "current", "a"),
    ("temperature(c)", "temperature", "c"),
)
_COLUMNS: Final = (
    "cell_id", "test_id", "data_point", "date_time", "cycle_index", "step_index", "quality",
    *(f'"{name}"' for name in (
        "test_time(s)", "step_time(s)", "current(a)", "voltage(v)", "temperature(c)", "internal_resistance(ohm)",
        *COUNTERS,
    )),
)  # fmt: skip
"""What of a landed row is read."""

_CAPACITIES: Final = ("charge_capacity_pah", "discharge_capacity_pah", "charge_energy_pwh", "discharge_energy_pwh")


def _extremes(channels: tuple[tuple[str, str, str], ...]) -> dict[str, str]:
    return {
        f"{name}_{which}_{unit}": f'{which}("{column}")' for column, name, unit in channels for which in ("min", "max")
    }


def _named(columns: dict[str, str]) -> str:
    return ", ".join(f"{value} as {name}" for name, value in columns.items())


def _differs(equal: list[str], close: list[str]) -> list[str]:
    return [f"recounted.{name} is distinct from kept.{name}" for name in equal] + [
        f"(recounted.{name} is null) <> (kept.{name} is null) "
        f"or abs(recounted.{name} - kept.{name}) > 2 * recounted.reading_count"
        for name in close
    ]


def _window_sql(schema: str) -> tuple[str, str]:
    """What counts windows again, and where a window differs."""
    extremes = _extremes(_CHANNELS)
    sums = {
        f"{name}_sum_n{unit}": f"coalesce(sum({_whole(chr(34) + column + chr(34), '1e9')}), 0)"
        for column, name, unit in _CHANNELS
    }
    lasts = {f"{name}_has_last": f'bool_or("{column}" = {name}_last_{unit})' for column, name, unit in _CHANNELS}
    sql = _WINDOWS.format(
        schema=schema,
        no_doubt=int(NO_DOUBT),
        sums=_named(sums),
        extremes=_named(extremes),
        lasts=_named(lasts),
        last_names=", ".join(f"{name}_last_{unit}" for _, name, unit in _CHANNELS),
    )
    differs = _differs(
        ["reading_count", "flagged_count", "temperature_count", *extremes],
        [*sums, "charge_throughput_pah", "energy_throughput_pwh"],
    ) + [
        f"if(kept.{name}_last_{unit} is null, recounted.{name}_min_{unit} is not null, "
        f"not coalesce(recounted.{name}_has_last, false))"
        for _, name, unit in _CHANNELS
    ]
    return sql, " or ".join(differs)


def _cycle_sql() -> tuple[str, str]:
    """What counts cycles again, and where a cycle differs."""
    extremes = _extremes((_CHANNELS[0], _CHANNELS[2]))
    sql = _CYCLES.format(
        gains=_named({name: f"sum(gain_{n})" for n, name in enumerate(_CAPACITIES)}),
        extremes=_named(extremes),
        resistance=_whole('"internal_resistance(ohm)"', "1e9"),
    )
    differs = _differs(
        ["reading_count", "started_at", "ended_at", "resistance_count", *extremes], [*_CAPACITIES, "resistance_sum_no"]
    )
    return sql, " or ".join(differs)


@dataclass(frozen=True)
class Recount:
    """What was counted of some cells.

    `readings` are the landed ones, `repeated` how many of them have landed before. `windows` and `cycles` are those in
    the warehouse. So many of either differ from their readings, are missing, or have no readings.
    """

    readings: int = 0
    repeated: int = 0
    windows: int = 0
    differing_windows: int = 0
    cycles: int = 0
    differing_cycles: int = 0

    def __add__(self, other: Recount) -> Recount:
        """The same of the cells of both."""
        return Recount(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


def recount(
    connection: duckdb.DuckDBPyConnection, cells: Sequence[str] | None = None, schema: str = "internal"
) -> Recount:
    """Count the windows and cycles of some cells again, in one query.

    Args:
        connection: to the warehouse.
        cells: their ids, in ascending order; None for all cells.
        schema: where `_windows`, `_cycles` and `_writers` are.
    """
    windows, differing_windows = _window_sql(schema)
    cycles, differing_cycles = _cycle_sql()
    of_cells, within, values = "", "", {}
    if cells is not None:
        values = {"cells": list(cells), "first": cells[0], "last": cells[-1]}
        of_cells = "where cell_id in (select unnest($cells::varchar[]))"
        within = f"{of_cells} and cell_id between $first and $last"  # by which parts of the table are passed over
    row = connection.execute(
        f"""
        with chosen as (select {", ".join(_COLUMNS)} from battery_ts_cleaned {within}),
        kept_windows as (from {schema}._windows {of_cells}),
        kept_cycles as (from {schema}._cycles {of_cells}),
        {_GAINED}, {windows}, {cycles} {_COUNTS.format(windows=differing_windows, cycles=differing_cycles)}
        """,  # noqa: S608  # names come from this module alone
        values,
    ).fetchone()
    return Recount(*row) if row else Recount()
