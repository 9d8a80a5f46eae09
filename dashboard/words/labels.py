"""What pages call the columns of the marts: one table of words with their units; the identifier is for the tooltip.

What a column means is said once, in dbt's YAML, and shown from there. A column without words is called by its
identifier, never left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import yaml

from dashboard.words.thresholds import PROJECT

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Label:
    """What a column is called on a page: its words, its unit, and how its numbers are written.

    Attributes:
        words: without a unit.
        unit: of the column in the mart; "" where it has none, "%" for a share of 1, which is shown in percent.
        decimals: of the number in that unit; None for as many as give five significant digits.
    """

    words: str
    unit: str = ""
    decimals: int | None = None

    def __str__(self) -> str:
        """The words with the unit in parentheses."""
        return f"{self.words} ({self.unit})" if self.unit else self.words


COLUMNS: Final[dict[str, Label]] = {
    # cells
    "cell_id": Label("cell"),
    "cell_group": Label("group"),
    "cell_format": Label("format"),
    "mass_g": Label("mass", "g"),
    "area_cm2": Label("area", "cm²"),
    "protocol": Label("protocol"),
    "charge_limit_v": Label("upper voltage limit", "V"),
    "discharge_limit_v": Label("lower voltage limit", "V"),
    "full_cycle_min_ah": Label("full cycle from", "Ah"),
    "full_cycle_max_v": Label("full cycle down to", "V"),
    "tags": Label("tags"),
    "notes": Label("notes"),
    "metadata": Label("other columns of the lab"),
    "chemistry": Label("chemistry"),
    "nominal_capacity_ah": Label("nominal capacity", "Ah"),
    "initial_capacity_ah": Label("initial capacity", "Ah"),
    "test_count": Label("tests", "", 0),
    "cycle_count": Label("cycles", "", 0),
    "complete_cycle_count": Label("complete cycles", "", 0),
    "reference_test_count": Label("reference tests", "", 0),
    "first_at": Label("first reading (cycler's clock)"),
    "last_at": Label("last reading (cycler's clock)"),
    "equivalent_full_cycles": Label("equivalent full cycles", "", 1),
    "latest_capacity_ah": Label("latest capacity", "Ah"),
    "latest_soh": Label("SOH", "%", 1),
    "soh_basis": Label("SOH relative to"),
    "latest_internal_resistance_ohm": Label("internal resistance", "Ω"),
    "fade_ah_per_100_cycles": Label("fade", "Ah per 100 cycles"),
    "recent_fade_ah_per_100_cycles": Label("recent fade", "Ah per 100 cycles"),
    "eol_rule": Label("rule for the end of life"),
    "eol_cycle": Label("end of life (cycle)", "", 0),
    "eol_alternatives": Label("end of life by other rules"),
    "knee_cycle": Label("knee (cycle)", "", 0),
    "knee_low_cycle": Label("knee, earliest (cycle)", "", 0),
    "knee_high_cycle": Label("knee, latest (cycle)", "", 0),
    "knee_confidence": Label("clearness of the knee", "", 2),
    "knee_method": Label("how the knee was found"),
    "projected_eol_cycle": Label("projected end of life (cycle)", "", 0),
    "projected_eol_low_cycle": Label("projected end, earliest (cycle)", "", 0),
    "projected_eol_high_cycle": Label("projected end, latest (cycle)", "", 0),
    "recovery_count": Label("pauses with recovery", "", 0),
    "recovered_ah": Label("recovered", "Ah"),
    "gap_count": Label("pauses", "", 0),
    "longest_gap_h": Label("longest pause", "h", 1),
    "reading_count": Label("readings", "", 0),
    "dropped_count": Label("readings left out", "", 0),
    "flagged_count": Label("flagged readings", "", 0),
    "spike_count": Label("voltage spikes", "", 0),
    "reading_gap_count": Label("gaps in the readings", "", 0),
    "counter_reset_count": Label("counter restarts", "", 0),
    "clock_jump_count": Label("clock jumps", "", 0),
    "quarantined_count": Label("readings quarantined", "", 0),
    "stated": Label("stated in the files"),
    # cycles
    "test_id": Label("test"),
    "source_file": Label("file"),
    "cycle_index": Label("cycle in the test", "", 0),
    "cycle_number": Label("cycle", "", 0),
    "started_at": Label("start (cycler's clock)"),
    "ended_at": Label("end (cycler's clock)"),
    "charge_capacity_ah": Label("charge capacity", "Ah"),
    "discharge_capacity_ah": Label("discharge capacity", "Ah"),
    "charge_energy_wh": Label("charge energy", "Wh"),
    "discharge_energy_wh": Label("discharge energy", "Wh"),
    "coulombic_efficiency": Label("coulombic efficiency", "%", 2),
    "energy_efficiency": Label("energy efficiency", "%", 2),
    "internal_resistance_ohm": Label("internal resistance", "Ω"),
    "cc_charge_time_s": Label("constant-current charge time", "s", 0),
    "cv_charge_time_s": Label("constant-voltage charge time", "s", 0),
    "voltage_min_v": Label("lowest voltage", "V", 3),
    "voltage_max_v": Label("highest voltage", "V", 3),
    "mean_discharge_voltage_v": Label("mean discharge voltage", "V", 3),
    "temperature_mean_c": Label("mean temperature", "°C", 1),
    "temperature_max_c": Label("highest temperature", "°C", 1),
    "soh": Label("SOH", "%", 1),
    "cycle_kind": Label("kind of cycle"),
    "is_complete": Label("complete"),
    "is_reference_test": Label("reference test"),
    "row_count": Label("readings", "", 0),
    # steps
    "step_number": Label("step", "", 0),
    "step_index": Label("step of the schedule", "", 0),
    "kind": Label("kind of step"),
    "first_data_point": Label("first data point", "", 0),
    "last_data_point": Label("last data point", "", 0),
    "test_time_start_s": Label("start in the test", "s", 0),
    "duration_s": Label("duration", "s", 0),
    "current_min_a": Label("lowest current", "A"),
    "current_median_a": Label("median current", "A"),
    "current_max_a": Label("highest current", "A"),
    "voltage_start_v": Label("first voltage", "V", 3),
    "voltage_end_v": Label("last voltage", "V", 3),
    "cc_time_s": Label("time at constant current", "s", 0),
    "cv_time_s": Label("time at constant voltage", "s", 0),
    "internal_resistance_count": Label("readings with a resistance", "", 0),
    "temperature_count": Label("readings with a temperature", "", 0),
    "pulse_resistance_ohm": Label("pulse resistance", "Ω"),
    "pulse_time_s": Label("time of the pulse resistance", "s", 0),
    "is_reset_at_start": Label("counter restarts at its start"),
    # tests and the pauses between them
    "ordered_at": Label("place in the order of tests"),
    "cleaned_count": Label("readings kept", "", 0),
    "step_count": Label("steps", "", 0),
    "counter_behaviour": Label("counters count from"),
    "temperature_spike_count": Label("temperature spikes", "", 0),
    "counter_fell_count": Label("falls of a counter", "", 0),
    "counter_leap_count": Label("leaps of a counter", "", 0),
    "cycle_backwards_count": Label("falls of the cycle index", "", 0),
    "value_dropped_count": Label("unusable values", "", 0),
    "retried_count": Label("retried readings", "", 0),
    "counter_integrated_count": Label("computed counters", "", 0),
    "reader": Label("format"),
    "assumptions": Label("assumed of the file"),
    "test_id_before": Label("test before the pause"),
    "gap_h": Label("length", "h", 1),
    "capacity_before_ah": Label("capacity before", "Ah"),
    "capacity_after_ah": Label("capacity after", "Ah"),
    "is_recovery": Label("recovery"),
    # curves
    "direction": Label("direction"),
    "voltage_v": Label("voltage", "V", 3),
    "capacity_ah": Label("charge moved", "Ah"),
    "dqdv_ah_per_v": Label("dQ/dV", "Ah/V"),
    "dvdq_v_per_ah": Label("dV/dQ", "V/Ah"),
    "is_peak": Label("peak"),
    "peak_voltage_v": Label("peak voltage", "V", 3),
    "peak_height_ah_per_v": Label("peak height", "Ah/V"),
    "peak_prominence_ah_per_v": Label("peak prominence", "Ah/V"),
    # readings, as a page looks at them
    "data_point": Label("data point", "", 0),
    "test_time_s": Label("time in the test", "s", 1),
    "step_time_s": Label("time in the step", "s", 1),
    "current_a": Label("current", "A"),
    "charge_counter_ah": Label("charge counter", "Ah"),
    "discharge_counter_ah": Label("discharge counter", "Ah"),
    "temperature_c": Label("temperature", "°C", 1),
    "quality": Label("flags", "", 0),
    "is_kept": Label("used in what is computed"),
    # the stream, its quarantine and the runs of the models
    "commit": Label("commit"),
    "committed_at": Label("committed (UTC)"),
    "landed": Label("rows landed", "", 0),
    "quarantined": Label("rows quarantined", "", 0),
    "objects": Label("objects", "", 0),
    "bytes": Label("size", "bytes", 0),
    "reason": Label("reason"),
    "rows": Label("rows", "", 0),
    "entries": Label("entries", "", 0),
    "cells": Label("cells", "", 0),
    "detail": Label("what was wrong"),
    "payload": Label("what was sent"),
    "id": Label("number of the entry"),
    "state": Label("state"),
    "file": Label("file"),
    "first_at_utc": Label("first seen (UTC)"),
    "last_at_utc": Label("last seen (UTC)"),
    "count": Label("times", "", 0),
    "run": Label("run"),
    "seconds": Label("duration", "s", 1),
    "command": Label("command"),
    "outcome": Label("outcome"),
    "models": Label("tables", "", 0),
    "tests": Label("checks", "", 0),
    "failed": Label("failed", "", 0),
    "failure": Label("what failed"),
    "status": Label("outcome"),
    "node": Label("table or check"),
    "failures": Label("rows that failed", "", 0),
    "message": Label("message"),
}
"""By the name of the column, which means the same in every table that has it."""


def label_of(column: str) -> Label:
    """What a column is called on pages; the identifier with blanks where there are no words for it."""
    return COLUMNS.get(column, Label(column.replace("_", " ")))


def meaning_of(table: str, column: str) -> str:
    """What a column of a mart means, as dbt's YAML says it; "" where it says nothing."""
    return _meanings().get(table, {}).get(column, "")


def tooltip_of(table: str, column: str) -> str:
    """The meaning of a column, and its identifier for those who query it."""
    return f"{meaning_of(table, column)} `{table}.{column}`".strip()


@cache
def _meanings() -> Mapping[str, Mapping[str, str]]:
    """The descriptions of the columns, by mart and column."""
    folder = PROJECT / "models"
    texts = dict(re.findall(r"{% docs (\w+) %}(.*?){% enddocs %}", (folder / "columns.md").read_text(), re.DOTALL))
    variables: Mapping[str, Any] = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]

    def plain(description: str) -> str:
        said = re.sub(r"{{ *doc\('(\w+)'\) *}}", lambda found: texts[found[1]], description)
        said = re.sub(r"{{ *var\('(\w+)'\) *}}", lambda found: str(variables[str(found[1])]), said)
        return " ".join(said.replace("No unit.", "").replace(". NULL", ". Empty").replace("NULL", "empty").split())

    return {
        model["name"]: {one["name"]: plain(one.get("description", "")) for one in model["columns"]}
        for file in sorted((folder / "marts").glob("*.yml"))
        # The unit tests behind the columns are most of such a file, and are not wanted.
        for model in yaml.load(file.read_text().partition("\nunit_tests:")[0], _LOADER)["models"]  # noqa: S506
    }


_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""A safe loader; that in C takes a tenth of the time."""
