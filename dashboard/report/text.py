"""The text of a cell's report: key figures, sentences and table rows from the published marts, without HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dashboard.figures.ageing import threshold_ah
from dashboard.words.amounts import UNKNOWN, capacity_amount_of, resistance_amount
from dashboard.words.codes import words_of
from dashboard.words.rules import METHODS, end_in_words, end_rule, end_threshold_ah
from dashboard.words.said import assumed_rows, stated_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import pyarrow as pa

    from dashboard.cell.facts import Fact
    from dashboard.cell.pulses import PulseResistance
    from dashboard.words.amounts import Amount

NO_THRESHOLD: Final = "Neither a nominal capacity nor a complete cycle is known: the end of life is still open."

FLAGS: Final = {
    "spike_count": "voltage spikes",
    "temperature_spike_count": "temperature spikes",
    "gap_count": "gaps",
    "counter_reset_count": "counter resets",
    "counter_fell_count": "fallen counters",
    "counter_leap_count": "counters that leaped",
    "clock_jump_count": "clock jumps",
    "cycle_backwards_count": "cycle indices that fell",
    "value_dropped_count": "unusable values",
    "retried_count": "retried readings",
    "counter_integrated_count": "readings with a counter computed from current and time",
}
"""What pre-cleaning notices, by the columns of `battery_tests`."""

COUNTS: Final = {
    "reading_count": "readings that landed",
    "dropped_count": "of these left out of what is computed",
    "flagged_count": "of these with any flag",
    "spike_count": "suspected of a voltage spike",
    "reading_gap_count": "after a gap within a test, or more than an hour",
    "counter_reset_count": "at which a counter was reset",
    "clock_jump_count": "at which the wall clock jumped against the test clock",
    "quarantined_count": "readings quarantined, duplicates included",
}
"""How far the numbers can be trusted, by the columns of `battery_cells`."""


def key_figures(
    cell: Mapping[str, Any], thresholds: Mapping[str, float], pulses: PulseResistance
) -> list[dict[str, str]]:
    """The figures that readers look for first, each with its unit and a note on its basis; none without a value.

    Said even where there is none is whether the end of life has been reached, and that there is no pulse resistance.
    """
    basis, amount = cell["soh_basis"], capacity_amount_of(cell)
    soh, ohm = cell["latest_soh"], cell["latest_internal_resistance_ohm"]
    of_basis = "no basis yet"
    if basis:
        of_basis = f"of the {basis} capacity, {amount.text(cell[f'{basis}_capacity_ah'])} {amount.unit}"
    resistance, pulse = resistance_amount(ohm), resistance_amount(pulses.latest_ohm)

    def scaled(name: str) -> float | None:
        return None if cell[name] is None else amount.factor * cell[name]

    rows = (
        ("State of health", None if soh is None else 100 * soh, 1, "%", of_basis),
        (
            "Discharge capacity",
            scaled("latest_capacity_ah"),
            amount.decimals,
            amount.unit,
            "of the last complete cycle",
        ),
        ("Complete cycles", cell["complete_cycle_count"], 0, "cycles", f"of {cell['cycle_count']:,} cycles in all"),
        ("Equivalent full cycles", cell["equivalent_full_cycles"], 1, "cycles", "charge moved by twice the capacity"),
        (
            "Fade, whole life",
            scaled("fade_ah_per_100_cycles"),
            amount.decimals,
            f"{amount.unit} per 100 cycles",
            "Theil-Sen slope",
        ),
        (
            "Fade, recent",
            scaled("recent_fade_ah_per_100_cycles"),
            amount.decimals,
            f"{amount.unit} per 100 cycles",
            f"last {thresholds['recent_cycles']:.0f} complete cycles",
        ),
        (
            "Internal resistance",
            None if ohm is None else resistance.factor * ohm,
            resistance.decimals,
            resistance.unit,
            "the cycler's, last that was measured",
        ),
        (
            f"Resistance at {pulses.time}",
            None if pulses.latest_ohm is None else pulse.factor * pulses.latest_ohm,
            pulse.decimals,
            pulse.unit,
            f"ΔV / ΔI after a current has set in, last of {pulses.count:,}"
            if pulses.count
            else "no step has readings around that time",
        ),
        ("End of life", cell["eol_cycle"], 0, "cycle", end_rule(cell["eol_rule"])),
        ("Knee", cell["knee_cycle"], 0, "cycle", _range(cell, "knee", "95 % interval")),
        ("Projected end of life", cell["projected_eol_cycle"], 0, "cycle", _range(cell, "projected_eol", "plausible")),
    )
    said = {"End of life": "not reached", f"Resistance at {pulses.time}": "none"}
    return [
        {"label": label, "value": _number(value, digits, said.get(label, "")), "unit": "" if value is None else unit}
        | {"note": note}
        for label, value, digits, unit, note in rows
        if value is not None or label in said
    ]


def _range(cell: Mapping[str, Any], name: str, what: str) -> str:
    """The range of a cycle number; "" where there is none."""
    if cell[f"{name}_cycle"] is None:
        return ""
    return f"{what}: {_number(cell[f'{name}_low_cycle'], 0)} to {_number(cell[f'{name}_high_cycle'], 0, 'open')}"


def end_sentence(cell: Mapping[str, Any]) -> str:
    """Whether the end of life has been reached, by which rule, and at which threshold."""
    level = threshold_ah(cell)
    if level is None:
        return NO_THRESHOLD
    reached = f"was reached at cycle {cell['eol_cycle']}" if cell["eol_cycle"] is not None else "has not been reached"
    amount = capacity_amount_of(cell)
    threshold = f"{amount.text(level)} {amount.unit}"
    return f"The end of life {reached}: {end_rule(cell['eol_rule'])}, which is {threshold}."


def end_rows(cell: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The end of life by each rule, the default first: what it says, the threshold, the cycle, and its identifier."""
    amount = capacity_amount_of(cell)
    return [
        (
            end_in_words(rule) or rule, amount.text(end_threshold_ah(cell, rule)), _number(cycle, 0, "not reached"),
            rule,
        )
        for rule, cycle in ends_of(cell).items()
    ]  # fmt: skip


def ends_of(cell: Mapping[str, Any]) -> dict[str, int | None]:
    """The cycle of the end of life by each rule's name, the default first; None where it has not been reached."""
    others = {other["rule"]: other["cycle_number"] for other in cell["eol_alternatives"] or []}
    return {cell["eol_rule"]: cell["eol_cycle"]} | others


def knee_text(cell: Mapping[str, Any]) -> str:
    """The knee with its interval, method and confidence, or that there is none."""
    if cell["knee_cycle"] is None:
        return "No knee: the data show none so far."
    return (
        f"The fade begins to accelerate at cycle {cell['knee_cycle']:.0f}, with a 95 % interval from cycle "
        f"{cell['knee_low_cycle']:.0f} to {cell['knee_high_cycle']:.0f}. Method: "
        f"{METHODS.get(cell['knee_method'], cell['knee_method'])}. Confidence {cell['knee_confidence']:.2f} of 1, "
        "which says how clear the knee is, not how probable."
    )


def projection_text(cell: Mapping[str, Any]) -> str:
    """The projected end of life with its range, or why there is none."""
    if cell["projected_eol_cycle"] is not None:
        return (
            f"The end of life is projected at cycle {cell['projected_eol_cycle']:.0f}, between "
            f"{cell['projected_eol_low_cycle']:.0f} and {_number(cell['projected_eol_high_cycle'], 0, 'open')}: the "
            "range of the courses that the recent fade makes plausible, and no 95 % interval."
        )
    if cell["eol_cycle"] is not None:
        return "Nothing is projected, since the end of life has come."
    return "Nothing is projected: it is too early, or the fade is too flat."


def recovery_sentence(cell: Mapping[str, Any]) -> str:
    """How often, and by how much, the cell recovered capacity in pauses."""
    amount = capacity_amount_of(cell)
    return (
        f"In {cell['recovery_count']:,} of {cell['gap_count']:,} pauses the cell has recovered capacity, "
        f"{amount.text(cell['recovered_ah'] or 0.0)} {amount.unit} together; the longest pause was "
        f"{_number(cell['longest_gap_h'], 1)} h."
    )


def gap_rows(gaps: pa.Table, amount: Amount) -> list[tuple[str, ...]]:
    """The pauses of a cell, one row each, with how capacities are shown."""
    return [
        (
            _moment(row["started_at"]), _moment(row["ended_at"]), _number(row["gap_h"], 1),
            _number(row["cycle_number"], 0), amount.text(row["capacity_before_ah"]),
            amount.text(row["capacity_after_ah"]),
            amount.text(row["recovered_ah"]), "yes" if row["is_recovery"] else "no",
        )
        for row in gaps.to_pylist()
    ]  # fmt: skip


def test_rows(tests: pa.Table) -> list[tuple[str, ...]]:
    """The tests of a cell, one row each, with the readings that pre-cleaning flagged."""
    return [
        (
            row["test_id"], row["source_file"] or UNKNOWN, _moment(row["started_at"]), _moment(row["ended_at"]),
            _number(row["cycle_count"], 0), _number(row["reading_count"], 0),
            words_of("counter_behaviour", row["counter_behaviour"]),
            ", ".join(f"{row[name]:,} {words}" for name, words in FLAGS.items() if row.get(name)) or "none",
        )
        for row in tests.to_pylist()
    ]  # fmt: skip


def count_rows(cell: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Numbers of readings that say how far the other numbers can be trusted."""
    return [(words, f"{cell[name]:,}") for name, words in COUNTS.items()]


def provenance_rows(
    cell: Mapping[str, Any], facts: Sequence[Fact], tests: pa.Table, published_at: datetime | None, version: str
) -> list[tuple[str, str]]:
    """What the report was made from: the publication, the version of the pipeline, the cell's record, its files."""
    files = dict.fromkeys(name for name in tests["source_file"].to_pylist() if name)
    amount = capacity_amount_of(cell)
    return [
        ("Results published", publication_time(published_at)),
        ("Pipeline", f"Battery Degradation Analytics Pipeline, version {version}"),
        *(
            (fact.about[:1].upper() + fact.about[1:], fact.value + (f" ({fact.basis})" if fact.basis else ""))
            for fact in facts
        ),
        ("Initial capacity", f"{amount.text(cell['initial_capacity_ah'])} {amount.unit}"),
        ("First and last reading", f"{_moment(cell['first_at'])} to {_moment(cell['last_at'])}, cycler's clock"),
        (f"Source files ({len(files)})", ", ".join(files) or "none: live readings"),
        *(("Assumed", f"{row['assumed']} (tests: {row['of tests']})") for row in assumed_rows(tests)),
        *((f"Stated: {row['stated']}", row["value"]) for row in stated_rows(cell)),
    ]


def publication_time(published_at: datetime | None) -> str:
    """When the marts were published, in words."""
    return f"{published_at:%Y-%m-%d %H:%M:%S} UTC" if published_at else "at a time that is not known"


def _number(value: float | None, digits: int, unknown: str = UNKNOWN) -> str:
    return unknown if value is None else f"{value:,.{digits}f}"


def _moment(at: datetime | None) -> str:
    return UNKNOWN if at is None else f"{at:%Y-%m-%d %H:%M}"
