"""The reading contract: columns, types, flags and reasons that every part of the pipeline shares.

A *reading* is one row that a cycler recorded. Names keep the cycler's own, lower-cased, so that
the published queries run verbatim. This module knows no Kafka, no Bytewax and no storage.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import Final

import pyarrow as pa

SCHEMA_VERSION: Final = "1"
"""Value of the `schema-version` header of every message."""

ARROW: Final = "application/vnd.apache.arrow.stream"
"""`content-type` of many readings of one cell as one Arrow IPC stream."""

JSON: Final = "application/json"
"""`content-type` of one reading as an object, or of an array of them."""

ARROW_START: Final = b"\xff\xff\xff\xff"
"""How an Arrow IPC stream begins, since version 0.15 of 2019; no text does."""

_TIMESTAMP: Final = pa.timestamp("us")

READING: Final = pa.schema(
    [
        pa.field("cell_id", pa.string(), nullable=False),
        pa.field("test_id", pa.string(), nullable=False),
        pa.field("source_file", pa.string()),
        pa.field("data_point", pa.int64(), nullable=False),
        pa.field("test_time(s)", pa.float64(), nullable=False),
        pa.field("date_time", _TIMESTAMP),
        pa.field("step_time(s)", pa.float64()),
        pa.field("step_index", pa.int32(), nullable=False),
        pa.field("cycle_index", pa.int32(), nullable=False),
        pa.field("current(a)", pa.float64(), nullable=False),
        pa.field("voltage(v)", pa.float64(), nullable=False),
        pa.field("charge_capacity(ah)", pa.float64()),
        pa.field("discharge_capacity(ah)", pa.float64()),
        pa.field("charge_energy(wh)", pa.float64()),
        pa.field("discharge_energy(wh)", pa.float64()),
        pa.field("dv/dt(v/s)", pa.float64()),
        pa.field("internal_resistance(ohm)", pa.float64()),
        pa.field("is_fc_data", pa.int32()),
        pa.field("ac_impedance(ohm)", pa.float64()),
        pa.field("aci_phase_angle(deg)", pa.float64()),
        pa.field("temperature(c)", pa.float64()),
    ]
)
"""One reading as a producer sends it. Charge current is positive; `date_time` is the cycler's wall
clock in its own zone; the four counters accumulate over a test. A field that is not nullable is
required of every reading."""

READING_NULLABLE: Final = pa.schema([field.with_nullable(True) for field in READING])
"""`READING` before validation: same names and types, anything may be null."""

REQUIRED: Final = tuple(field.name for field in READING if not field.nullable)
"""Columns without which a reading is quarantined as `missing_value`."""

OPTIONAL: Final = (
    "dv/dt(v/s)",
    "internal_resistance(ohm)",
    "is_fc_data",
    "ac_impedance(ohm)",
    "aci_phase_angle(deg)",
    "temperature(c)",
)
"""Auxiliary channels: an unusable value there costs the value (it lands as NULL, flagged), not the
reading. A dead thermocouple must not destroy a good voltage."""

COUNTERS: Final = (
    "charge_capacity(ah)",
    "discharge_capacity(ah)",
    "charge_energy(wh)",
    "discharge_energy(wh)",
)
"""The accumulating counters of the cycler, in ampere-hours and watt-hours."""

COUNTER_NOISE: Final = 1e-9
"""Ah or Wh by which a counter may fall as noise, without a reset or a correction, for each ampere of the largest
current that its test has had before: a coin cell's counter is as exact, for its size, as that of a pack."""

COUNTER_LEAP: Final = 100.0
"""A counter leaps where it moves more than so many times what the largest current of its test could move it in the time
since it was last measured and one second more; for energy, at the voltage of the reading or at 1 V. Its gain then comes
from the current."""

COUNTER_LEAP_CURRENT: Final = 1.0
"""The current in A that stands for the largest of a test before any has flowed: nothing tells its size yet."""

COUNTER_RETURN: Final = 2.0
"""A counter that fell to zero, or leaped, and is back at its earlier value was not reset if a move from zero to there
would be more than so many times what the largest current could move it; within one step, if the earlier value agrees
better with the current."""

COUNTER_ZERO: Final = 1e-8
"""Ah or Wh above which a counter that is back at its earlier value differs from one that has just begun, for each
ampere of the largest current that its test has had before."""

RESET_SHARE: Final = 0.5
"""A counter that was reset starts again near zero: below this share of its last value. One that falls by less was
corrected, or has lost digits, and continues from its new value."""

STEP_RESET_SHARE: Final = 1 - 1e-5
"""The same share if a step has begun since the counter was last measured. Cyclers reset counters then, and a test with
one reading a step may have a large value again. Lost digits are less than 1e-5 of a counter."""

GAP_SECONDS: Final = 3_600.0
"""A pause longer than this is a gap; charging at constant voltage logs nothing for up to 20 minutes."""

LANDED: Final = pa.schema(
    [
        *READING,
        pa.field("quality", pa.int32(), nullable=False),
        pa.field("streamed_at", _TIMESTAMP, nullable=False),
        pa.field("kafka_partition", pa.int32(), nullable=False),
        pa.field("kafka_offset", pa.int64(), nullable=False),
        pa.field("kafka_row", pa.int32(), nullable=False),
    ]
)
"""A row of `battery_ts_cleaned`: a reading, its quality flags, the broker's time stamp (UTC) and its
lineage; (topic, partition, offset, row) identifies a reading."""

QUARANTINED: Final = pa.schema(
    [
        pa.field("topic_id", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("row_count", pa.int32(), nullable=False),
        pa.field("cell_id", pa.string()),
        pa.field("source_file", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("payload", pa.string()),
    ]
)
"""A row of `battery_quarantine`: `row_count` readings from `row` on that were refused for one `reason`."""

REPEATED: Final = pa.schema(
    [
        pa.field("topic_id", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        *(READING_NULLABLE.field(name) for name in READING_NULLABLE.names),
        pa.field("sent", pa.string()),
    ]
)
"""A reading at or below the last one of its test, until what has landed tells its reason.

`sent` is the JSON text of all that was sent in its place, where that may be more than the columns."""

RETRIED: Final = pa.schema(
    [
        pa.field("topic_id", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("cell_id", pa.string()),
        pa.field("origin_topic_id", pa.string(), nullable=False),
        pa.field("origin_partition", pa.int32(), nullable=False),
        pa.field("origin_offset", pa.int64(), nullable=False),
        pa.field("origin_row", pa.int32(), nullable=False),
    ]
)
"""A row of `battery_retries`: a message that published a quarantined row again, and the place that it had first."""

ABOUT: Final = pa.schema(
    [
        pa.field("topic_id", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("cell_id", pa.string()),
        pa.field("test_id", pa.string(), nullable=False),
        pa.field("source_file", pa.string()),
        pa.field("streamed_at", _TIMESTAMP),
        pa.field("reader", pa.string()),
        pa.field("assumptions", pa.string()),
        pa.field("metadata", pa.string()),
        pa.field("integrated", pa.string()),
    ]
)
"""A row of `battery_about`: a message that says something of its test (`kernel/contract/about.py`).

`assumptions` has one a line, `metadata` is a JSON object of texts, `integrated` has one of `COUNTERS` a line; NULL
where nothing is said."""


class Reason(StrEnum):
    """Why a reading is in `battery_quarantine` and not in `battery_ts_cleaned`."""

    UNDECODABLE = "undecodable"
    TOO_LARGE = "too_large"
    UNKNOWN_SCHEMA = "unknown_schema"
    MISSING_VALUE = "missing_value"
    NOT_A_NUMBER = "not_a_number"
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    DUPLICATE = "duplicate"
    """It has landed already: every value that it brings."""
    CONFLICT = "conflict"
    """Another reading of this cell, test and data point has landed, with other values."""
    OUT_OF_ORDER = "out_of_order"
    """It comes after readings that follow it in its test, and has not landed."""
    TIME_BACKWARDS = "time_backwards"


COMES_BACK: Final = frozenset({Reason.DUPLICATE, Reason.CONFLICT, Reason.OUT_OF_ORDER})
"""Reasons of readings at or below the last one of their test. What has landed tells these apart, so that a test keeps
no record of all its readings."""


class Quality(IntFlag):
    """What pre-cleaning noticed about a reading it kept; 0 = nothing."""

    SPIKE = 1
    """The voltage leaves the course of its step; a suspicion until the next sample has come back."""
    TEMPERATURE_SPIKE = 2
    """The temperature does."""
    GAP = 4
    """Readings are missing before this one: data points skipped, or more than an hour without any."""
    COUNTER_RESET = 8
    """A capacity or energy counter fell within the test and was restarted; see `RESET_SHARE`."""
    CLOCK_JUMP = 16
    """The wall clock moved more than a minute differently from the test clock since the row before."""
    CYCLE_BACKWARDS = 32
    """The cycle index fell within the test."""
    VALUE_DROPPED = 64
    """An auxiliary channel held no usable number, or a counter leaped away; that value landed as NULL."""
    COUNTER_FELL = 128
    """A capacity or energy counter fell by less than a reset would; its gain here is negative."""
    RETRIED = 256
    """The reading was quarantined at first and came again by `battery quarantine retry`; see `battery_retries`."""
    COUNTER_LEAP = 512
    """A capacity or energy counter moved further than the current can have moved it, or came back from there. Its gain
    here comes from the current. Where the value is NULL it leaped away; a value has stayed, or come back."""
    LATE = 1024
    """The reading came after some that follow it in its test, by a message whose header says so."""
    CHARGE_CAPACITY_LEAP = 2048
    """The charge capacity was the one that leaped, or among them."""
    DISCHARGE_CAPACITY_LEAP = 4096
    """The discharge capacity was."""
    CHARGE_ENERGY_LEAP = 8192
    """The charge energy was."""
    DISCHARGE_ENERGY_LEAP = 16_384
    """The discharge energy was."""
    COUNTER_INTEGRATED = 32_768
    """A counter of this reading was computed from current and time, since its file has none; `battery_about` says
    which. That is no doubt about the reading, so it is not counted as flagged for this alone."""


LEAPS: Final = (
    Quality.CHARGE_CAPACITY_LEAP,
    Quality.DISCHARGE_CAPACITY_LEAP,
    Quality.CHARGE_ENERGY_LEAP,
    Quality.DISCHARGE_ENERGY_LEAP,
)
"""The flags that tell which of `COUNTERS` leaped."""

NO_DOUBT: Final = Quality.COUNTER_INTEGRATED
"""Flags that say where a value comes from, and not that something may be wrong with the reading."""


TEXT_BYTES: Final = 1_000
"""Most bytes of a cell's id, a test's or a file's name: each cell's state keeps them, and each row repeats them."""


@dataclass(frozen=True)
class Range:
    """Closed interval of values that an instrument can report at all."""

    low: float
    high: float


INSTRUMENT_RANGE: Final = {
    "data_point": Range(0, 2**53 - 1),
    "test_time(s)": Range(0, 1e9),
    "step_time(s)": Range(0, 1e9),
    "step_index": Range(0, 1e6),
    "cycle_index": Range(0, 1e7),
    "current(a)": Range(-10_000, 10_000),
    "voltage(v)": Range(-10, 10),
    "charge_capacity(ah)": Range(-1e9, 1e9),
    "discharge_capacity(ah)": Range(-1e9, 1e9),
    "charge_energy(wh)": Range(-1e12, 1e12),
    "discharge_energy(wh)": Range(-1e12, 1e12),
    "dv/dt(v/s)": Range(-1e6, 1e6),
    "internal_resistance(ohm)": Range(0, 1e5),
    "is_fc_data": Range(0, 1),
    "ac_impedance(ohm)": Range(0, 1e5),
    "aci_phase_angle(deg)": Range(-360, 360),
    "temperature(c)": Range(-200, 1_400),
}
"""Limits of the instrument, never of the protocol: a single-cell channel ends at 10 V whichever way
it is wired, a type K thermocouple at 1,372 degC. Over 4.2 V or under 2.7 V is ordinary data. Cells are of any size, so
10 kA are ordinary too, counters go as far as that current does in eleven years, energy at 1,500 V, and resistances as
far as 10 µA take a volt. Voltage and current are settings, and these their defaults."""

RANGE_SETTINGS: Final = {
    "voltage(v)": "INSTRUMENT_MAX_VOLTAGE_V",
    "current(a)": "INSTRUMENT_MAX_CURRENT_A",
}
"""The settings that say how far a column may go, either way."""


def instrument_range(max_voltage_v: float, max_current_a: float) -> dict[str, Range]:
    """The limits of an instrument that measures up to so many volts and amperes, either way."""
    return INSTRUMENT_RANGE | {
        "voltage(v)": Range(-max_voltage_v, max_voltage_v),
        "current(a)": Range(-max_current_a, max_current_a),
    }
