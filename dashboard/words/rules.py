"""The rules behind the numbers of a cell, in words and with their sources, and how its data is cited."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ageing.incremental_capacity import GRID_V, ORDER, PROMINENCE, WINDOW
from ageing.knee import LEAST_CYCLES, METHOD, STEEPER
from ageing.projection import LEAST_FOR_PROJECTION, LEAST_FOR_SLOPE
from dashboard.words.thresholds import seeded_limits

if TYPE_CHECKING:
    from collections.abc import Mapping

CALCE_CELLS: Final = ("CS2_", "CX2_")
"""How the ids of CALCE's cells begin."""

SIMULATED_CELLS: Final = "SIM_"
"""How the ids of simulated cells begin."""

METHODS: Final = {METHOD: "two straight lines with a smooth passage between them (Bacon and Watts)"}
"""The methods of `knee_method` in words."""

_END: Final = re.compile(
    r"(?P<kind>first_below|median_(?P<median>\d+)_below|mean_(?P<mean>\d+)_below|last_above)"
    r"_(?P<percent>\d+)_percent_of_(?P<basis>\w+)"
)
"""The name of a rule for the end of life, which carries the thresholds that it was computed with."""

_ENDS: Final = {
    "first_below": "first single complete cycle below {level}",
    "median_below": "first complete cycle at which the median of the {median} complete cycles around it is below "
    "{level}",
    "mean_below": "first complete cycle at which the mean of the last {mean} complete ones is below {level}",
    "last_above": "last complete cycle that is not below {level}, once the cell has fallen below it",
}

_SHORT: Final = {
    "first_below": "first cycle below {level}",
    "median_below": "median of {median} cycles below {level}",
    "mean_below": "mean of {mean} cycles below {level}",
    "last_above": "last cycle above {level}",
}

_FULL_CYCLE: Final = seeded_limits("CS2_*")

_THEIL_SEN: Final = (
    (
        "H. Theil: A rank-invariant method of linear and polynomial regression analysis. Proc. Kon. Ned. Akad. Wet. A "
        "53, 1950"
    ),
    "P. K. Sen: Estimates of the regression coefficient based on Kendall's tau. JASA 63(324), 1379-1389, 1968.",
)


@dataclass(frozen=True)
class Rule:
    """What a number goes by: its name, the rule in words, and the literature that it is taken from."""

    name: str
    text: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Citation:
    """How the data of a cell is cited: what to say, the works to name, and where the data is published."""

    text: str
    works: tuple[str, ...] = ()
    link: str | None = None


_RULES: Final = (
    Rule(
        "Complete cycle",
        "A cycle is complete when it discharged more than a least capacity and in discharging went down to a voltage "
        f"that is set for the cell (for CALCE's cells {_FULL_CYCLE[0]:g} Ah and {_FULL_CYCLE[1]:g} V). Where nothing "
        "is set, that is {full_cycle_share_percent:g} % of the nominal (else of the largest) capacity, and "
        "{full_cycle_margin_v:g} V ({full_cycle_margin_share_percent:g} % where that is more, as of a "
        "pack) above the discharge limit (else above the median of the voltages that the cycles discharge to). "
        "Capacities are differences of the cycler's counters. Never complete is the rest of a discharge, with which "
        "a test begins: one that begins lower than those that follow a charge, by more than "
        "{rest_of_discharge_share_percent:g} % of the voltage between there and where they end.",
    ),
    Rule(
        "Rest",
        "A current counts as zero when it is at most {rest_current_share_percent:g} % of the current at which the test "
        "moved half of its charge, by its counters: a coin cell at 10 µA is judged as a pack at 10 kA is. A test whose "
        "counters gain nothing is at rest.",
    ),
    Rule(
        "Reference test",
        "A complete cycle that was discharged at {reference_rate_share:g} times the cell's median rate "
        "or slower. Its capacity is not comparable with the others' and does not count for fade and end of life.",
    ),
    Rule(
        "State of health",
        "Discharged capacity of a complete cycle divided by the nominal capacity; where that is unknown, by the "
        "initial one, which is the median of the first {initial_cycles:.0f} complete cycles.",
    ),
    Rule(
        "Equivalent full cycles",
        "Charge moved in either direction, divided by twice the nominal capacity (else the initial one).",
    ),
    Rule(
        "End of life",
        "Rules differ by more than a hundred cycles on the same cell, so each number carries the name of its rule. The "
        "default is the first complete cycle at which the median of the {median_cycles:.0f} complete "
        "cycles around it is below {end_of_life_percent:.0f} % of the nominal capacity (of the initial "
        "one where no nominal is known): one cycle that was disturbed must not end a life, and capacity recovers "
        "after a pause. Reference tests do not count.",
    ),
    Rule(
        "Fade",
        f"Theil-Sen slope of capacity over complete cycles, of which there must be {LEAST_FOR_SLOPE}: of the whole "
        "life, and of the last {recent_cycles:.0f} of them.",
        _THEIL_SEN,
    ),
    Rule(
        "Coulombic and energy efficiency",
        "Discharged divided by charged, counted between the ends of two complete discharges, so that a cycle whose "
        "charge lies in the test before is judged with that charge. There is none for a cycle that does not end "
        "discharged, nor where the charge is not known.",
    ),
    Rule(
        "Resistance",
        "The cycler's own is the mean of its internal resistance over the discharging readings. That of a pulse is "
        "ΔV / ΔI at a stated time after the discharge has set in ({pulse_time_s:g} s by default), "
        "against the last reading of the rest before it. Voltage and current at that time are interpolated between "
        "readings that are no further apart than that, or of which one is within {pulse_tolerance_percent:g} % of "
        "it. There is none where the cycler has no such readings, where the current has strayed by more than "
        "{pulse_tolerance_percent:g} % by then, or where the rest was not read in its last "
        "{pulse_time_s:g} s: a cycler that logs whenever the voltage has moved by a set step would only repeat that "
        "step.",
        (
            (
                "IEC 62660-1: Secondary lithium-ion cells for the propulsion of electric road vehicles. Part 1: "
                "Performance testing."
            ),
            (
                "J. P. Christophersen: Battery Test Manual For Electric Vehicles, revision 3. Idaho National "
                "Laboratory, INL/EXT-15-34184, 2015."
            ),
        ),
    ),
    Rule(
        "Knee",
        "Where slow fading turns into fast fading: two straight lines with a smooth passage, fitted to the capacity "
        f"over {LEAST_CYCLES} or more complete cycles, and reported only where the second line is at least "
        f"{STEEPER:.0f} times as steep as the first. Its 95 % interval is that of resampled blocks of residuals. Its "
        "confidence says how clear the knee is, not how probable: the share of the squared misfit of a straight line "
        "that the bend explains, times one minus the ratio of the slopes before and after.",
        (
            (
                "D. W. Bacon, D. G. Watts: Estimating the transition between two intersecting straight lines. "
                "Biometrika 58(3), 525-534, 1971."
            ),
            (
                "P. Fermín-Cueto, E. McTurk, M. Allerhand, E. Medina-Lopez, M. F. Anjos, J. Sylvester, G. dos Reis: "
                "Identification and machine learning prediction of knee-point and knee-onset in capacity degradation "
                "curves of lithium-ion cells. Energy and AI 1, 100006, 2020."
            ),
            (
                "H. R. Künsch: The jackknife and the bootstrap for general stationary observations. Annals of "
                "Statistics 17(3), 1217-1241, 1989"
            ),
        ),
    ),
    Rule(
        "Projected end of life",
        "Where the recent course meets the threshold of the default rule. The range is that of the courses which the "
        "recent fade makes plausible, from a knee that begins tomorrow to a fade that goes on to slow down; it is no "
        f"95 % interval. There is none before {LEAST_FOR_PROJECTION} complete cycles, nor once the end has come.",
        (
            *_THEIL_SEN,
            (
                'P. M. Attia et al.: Review - "knees" in lithium-ion battery aging trajectories. J. Electrochem. Soc. '
                "169(6), 060517, 2022."
            ),
        ),
    ),
    Rule(
        "Incremental capacity and differential voltage",
        "Of the charge and the discharge at constant current. The voltage is made monotone by isotonic regression, the "
        f"capacity interpolated on a grid of {1000 * GRID_V:.0f} mV (ten or a hundred times that for a pack whose "
        "voltage spans more than 100 V) and differentiated by a Savitzky-Golay filter "
        f"(degree {ORDER} over {WINDOW} points, {1000 * GRID_V * (WINDOW - 1):.0f} mV). Peaks stand out by at least "
        f"{100 * PROMINENCE:.0f} % of the highest value of the curve.",
        (
            (
                "M. Dubarry, G. Baure: Perspective on commercial Li-ion battery testing, best practices for simple and "
                "effective protocols. Electronics 9(1), 152, 2020."
            ),
            (
                "A. Savitzky, M. J. E. Golay: Smoothing and differentiation of data by simplified least squares "
                "procedures. Analytical Chemistry 36(8), 1627-1639, 1964."
            ),
        ),
    ),
    Rule(
        "Pause and recovery",
        "A pause is more than {pause_h:g} h between two tests. The cell has recovered capacity in it "
        "when the first complete cycle after it has a state of health more than {recovery_soh:g} above "
        "the median of the {recovery_cycles:.0f} complete cycles before.",
    ),
    Rule(
        "Readings",
        "A reading lands, flagged where something was noticed, or is quarantined with the reason; nothing disappears. "
        "Duplicates, such as a second export of the same test, are quarantined too, and so is a reading that conflicts "
        "with one that has landed. Left out of what is computed are readings that were suspected of a voltage spike "
        "and proved to be one.",
    ),
)
"""The rules; the fields in their texts are thresholds by name, those that end in `_percent` a hundred times as much."""


def rules(thresholds: Mapping[str, float]) -> tuple[Rule, ...]:
    """The rules behind the numbers of a cell.

    Args:
        thresholds: those that the marts were built with, by name (`dashboard.words.thresholds`).
    """
    figures = {**thresholds, **{f"{name}_percent": 100 * value for name, value in thresholds.items()}}
    return tuple(replace(rule, text=rule.text.format(**figures)) for rule in _RULES)


def end_in_words(rule: str) -> str | None:
    """What a rule of `battery_cells` for the end of life says, by its name; None for a name that is no such rule."""
    return _worded(rule, _ENDS, "the ")


def end_rule(rule: str) -> str:
    """What such a rule is called where there is little room; the name itself where it is no such rule.

    >>> end_rule("median_11_below_80_percent_of_nominal")
    'median of 11 cycles below 80 % of nominal capacity'
    """
    return _worded(rule, _SHORT, "") or rule


def _worded(rule: str, forms: Mapping[str, str], article: str) -> str | None:
    name = _END.fullmatch(rule)
    if name is None:
        return None
    level = f"{name['percent']} % of {article}{name['basis']} capacity"
    return forms[re.sub(r"_\d+", "", name["kind"])].format(level=level, median=name["median"], mean=name["mean"])


def end_threshold_ah(cell: Mapping[str, Any], rule: str) -> float | None:
    """The capacity in Ah that a rule for the end of life compares with; None where its basis is not known."""
    basis = cell.get(f"{rule.rpartition('_of_')[2]}_capacity_ah")
    return None if basis is None else rule_percent(rule) / 100 * float(basis)


def rule_percent(rule: str) -> int:
    """The percent of the basis that a rule for the end of life compares with, from its name.

    Raises:
        ValueError: it is the name of no such rule.
    """
    return int(_named(rule)["percent"])


def rule_median_cycles(rule: str) -> int:
    """The complete cycles that a rule for the end of life takes the median of, from its name; 1 where it takes none.

    Raises:
        ValueError: it is the name of no such rule.
    """
    return int(_named(rule)["median"] or 1)


def _named(rule: str) -> re.Match[str]:
    name = _END.fullmatch(rule)
    if name is None:
        raise ValueError(f"{rule} is no rule for the end of life")
    return name


def citation_of(cell: str) -> Citation:
    """How the data of a cell is cited, as its id tells where it comes from."""
    if cell.startswith(CALCE_CELLS):
        return Citation(
            "Data: CALCE Battery Research Group, University of Maryland. CALCE asks that these works be cited wherever "
            "its data is shown:",
            (
                (
                    'W. He, N. Williard, M. Osterman, M. Pecht, "Prognostics of lithium-ion batteries based on '
                    'Dempster-Shafer theory and the Bayesian Monte Carlo method", Journal of Power Sources 196(23), '
                    "10314-10321, 2011."
                ),
                (
                    'Y. Xing, E. W. M. Ma, K.-L. Tsui, M. Pecht, "An ensemble model for predicting the remaining '
                    'useful performance of lithium-ion batteries", Microelectronics Reliability 53(6), 811-820, 2013.'
                ),
            ),
            "https://calce.umd.edu/battery-data",
        )
    if cell.startswith(SIMULATED_CELLS):
        return Citation("This cell is simulated: its data shows how the pipeline works, and nothing about a real cell.")
    return Citation("Cite the source of the data as your lab does: the pipeline knows the files, not who made them.")
