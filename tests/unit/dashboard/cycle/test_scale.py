from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from dashboard.cycle.scale import (
    AREA,
    INITIAL,
    MASS,
    MEASURED,
    NOMINAL,
    OWN,
    offered_bases,
    plain_scale,
    relative_scale,
    stated_mass_g,
)


def cell(name: str = "A", **columns: Any) -> dict[str, Any]:
    return {
        "cell_id": name, "nominal_capacity_ah": 2.0, "initial_capacity_ah": 2.2, "complete_cycle_count": 3,
        "stated": '{"mass_g":"0.5"}',
    } | columns  # fmt: skip


CYCLES = {"A": pa.table({"cycle_number": [1, 2, 3], "discharge_capacity_ah": [2.0, 0.0, None]})}


def test_charge_is_shown_in_the_unit_that_suits_its_size() -> None:
    scale = plain_scale(4e-4)
    assert (scale.axis, scale.per_volt, scale.volts_per) == ("charge (mAh)", "mAh/V", "V/mAh")
    assert scale.of("A", 7) == 1e3
    assert plain_scale(1.1).of("A", 7) == 1.0


def test_charge_is_shown_as_a_share_of_a_capacity_or_by_mass() -> None:
    assert relative_scale(NOMINAL, [cell()], CYCLES).of("A", 9) == 50.0
    assert relative_scale(INITIAL, [cell()], CYCLES).of("A", 9) == pytest.approx(100 / 2.2)
    by_mass = relative_scale(MASS, [cell()], CYCLES)
    assert by_mass.of("A", 1) == 2000.0  # 1 Ah of 0.5 g is 2000 mAh/g
    assert by_mass.axis == "charge by mass (mAh/g)"
    assert relative_scale(NOMINAL, [cell()], CYCLES).axis == "charge (% of nominal capacity)"


def test_a_cycle_without_a_discharge_has_no_capacity_of_its_own_to_be_shown_by() -> None:
    own = relative_scale(OWN, [cell()], CYCLES)
    assert own.of("A", 1) == 50.0
    assert math.isnan(own.of("A", 2))
    assert math.isnan(own.of("A", 3))
    assert math.isnan(own.of("B", 1))


def test_a_basis_that_is_unknown_of_one_of_the_cells_is_not_offered_and_the_reason_said() -> None:
    assert offered_bases([cell()]) == ([MEASURED, NOMINAL, INITIAL, OWN, MASS], [])
    offered, refused = offered_bases([cell(), cell("B", nominal_capacity_ah=None, stated=None)])
    assert offered == [MEASURED, INITIAL, OWN]
    assert refused == [
        "% of nominal: of B no nominal capacity is known",
        "mAh/g: of B no mass is told, or stated in a file",
    ]
    assert offered_bases([cell(initial_capacity_ah=None, complete_cycle_count=0)])[0] == [MEASURED, NOMINAL, MASS]


def test_a_mass_that_the_lab_has_told_holds_over_that_of_a_file() -> None:
    assert relative_scale(MASS, [cell(mass_g=4.0)], CYCLES).of("A", 1) == 250.0
    assert MASS in offered_bases([cell(stated=None, mass_g=4.0)])[0]


def test_charge_is_shown_by_area_where_it_is_told_of_every_cell() -> None:
    by_area = relative_scale(AREA, [cell(area_cm2=2.0)], CYCLES)
    assert (by_area.of("A", 1), by_area.axis) == (500.0, "charge by area (mAh/cm²)")
    assert AREA in offered_bases([cell(area_cm2=2.0)])[0]
    offered, refused = offered_bases([cell(area_cm2=2.0), cell("B")])
    assert AREA not in offered
    assert refused == ["mAh/cm²: of B no area is told"]


@pytest.mark.parametrize(
    "stated", [None, "", "{}", '{"mass_g":""}', '{"mass_g":"0"}', '{"mass_g":"4 g"}', '{"mass_g":"nan"}', "[]", "{"]
)
def test_a_mass_that_no_file_states_as_a_number_above_zero_is_none(stated: str | None) -> None:
    assert stated_mass_g(cell(stated=stated)) is None
