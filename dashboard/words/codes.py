"""The plain words for the codes of the marts and the pipeline: rules, kinds of steps, reasons, outcomes, formats.

Pages and the report show these words. A code without words is shown as it is. `dashboard/words/labels.py` has the words
for columns.
"""

from __future__ import annotations

import re
from typing import Final

from dashboard.words.rules import end_rule

UNKNOWN: Final = "-"
"""Shown where there is no value."""

STEP_KINDS: Final = {
    "rest": "rest",
    "cc_charge": "charge at constant current",
    "cv_charge": "charge at constant voltage",
    "cccv_charge": "charge at constant current, then voltage",
    "cc_discharge": "discharge at constant current",
    "cv_discharge": "discharge at constant voltage",
    "pulse": "pulse",
    "dynamic": "changing current",
}
"""Kinds of steps, by `battery_steps.kind`."""

COUNTERS: Final = {
    "per_test": "start of the test",
    "per_cycle": "start of the cycle",
    "per_step": "start of the step",
    "irregular": "irregular points",
    "none": "no counters",
}
"""What a cycler's counters count from, by `battery_tests.counter_behaviour`."""

REASONS: Final = {
    "undecodable": "cannot be decoded",
    "too_large": "message too large",
    "unknown_schema": "of an unknown schema, or of another cell",
    "missing_value": "a required value is missing",
    "not_a_number": "a value is no number",
    "not_finite": "a value is infinite or not a number",
    "out_of_range": "beyond what the instrument can report",
    "duplicate": "landed before with the same values",
    "conflict": "landed before with other values",
    "out_of_order": "comes after later readings of its test",
    "time_backwards": "time runs backwards in its test",
}
"""Why a reading is in the quarantine, by `battery_quarantine.reason`."""

FORMATS: Final = {
    "arbin": "Arbin",
    "arbin-res": "Arbin",
    "neware": "Neware",
    "neware-binary": "Neware",
    "maccor": "Maccor",
    "biologic": "BioLogic",
    "biologic-binary": "BioLogic",
    "landt": "LANDT",
    "pec": "PEC",
    "basytec": "Basytec",
    "novonix": "Novonix",
    "bdf": "Battery Data Format",
    "table": "table with a mapping file",
}
"""Whose files a reader reads, by its name."""

OUTCOMES: Final = {
    "passed": "passed",
    "failed": "failed",
    "running": "running",
    "success": "built",
    "pass": "passed",
    "warn": "passed with a warning",
    "fail": "failed",
    "error": "failed",
    "runtime error": "failed",
    "partial success": "built in part",
    "skipped": "skipped after another failure",
    "no-op": "nothing to do",
    "reused": "as before",
}
"""How a run of the models, or a part of it, ended."""

NODES: Final = {
    "model": "table",
    "seed": "table of the project",
    "snapshot": "snapshot",
    "test": "check of the data",
    "unit_test": "check of the rules",
    "source": "landing table",
}
"""What a part of a run is, by dbt's word for it."""

DIRECTIONS: Final = {"charge": "charge", "discharge": "discharge"}

BASES: Final = {"nominal": "nominal capacity", "initial": "initial capacity"}
"""What the state of health is relative to, by `battery_cells.soh_basis`."""

STATED: Final = {
    "area_cm2": "area (cm²)",
    "capacity_ah": "capacity (Ah)",
    "item": "item",
    "mass_g": "active mass (g)",
    "nominal_capacity_ah": "nominal capacity (Ah)",
    "schedule": "schedule",
    "started_at": "started at",
    "test_name": "name of the test",
    "time_zone": "time zone",
}
"""What files state, by the keys that readers use; other keys are words by themselves."""

_CODES: Final = {
    "kind": STEP_KINDS,
    "counter_behaviour": COUNTERS,
    "reason": REASONS,
    "outcome": OUTCOMES,
    "status": OUTCOMES,
    "soh_basis": BASES,
    "direction": DIRECTIONS,
}


def words_of(column: str, code: str | None) -> str:
    """What a value of a column of codes says: a kind of step, a reason, an outcome, a rule.

    A code without words is shown as it is; None as `UNKNOWN`.
    """
    if code is None:
        return UNKNOWN
    if column in {"eol_rule", "rule"}:
        return end_rule(code)
    if column == "reader":
        return format_of(code)
    return _CODES.get(column, {}).get(code, code)


def format_of(reader: str | None, file: str | None = None) -> str:
    """Whose format a file has, with its ending where it is known: "Neware .ndax".

    Args:
        reader: the reader's name; several are joined by a comma. None where it said nothing.
        file: the file's name.
    """
    names = dict.fromkeys(FORMATS.get(name.strip(), name.strip()) for name in (reader or "").split(",") if name.strip())
    if not names:
        return UNKNOWN
    ending = re.search(r"\.[A-Za-z0-9]{1,8}$", file or "")
    return ", ".join(names) + (f" {ending[0].lower()}" if ending else "")


def stated_words(key: str) -> str:
    """What a key of what the files state is called."""
    return STATED.get(key, key.replace("_", " "))
