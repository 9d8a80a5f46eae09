from __future__ import annotations

from typing import Any

import pyarrow as pa

from dashboard.ranking import ALL, ENDED, KNEE, OUTLIERS, chosen_cells, outliers_first


def cells(**fades: tuple[float | None, float | None]) -> pa.Table:
    """Rows of battery_cells by id: what 100 cycles cost in Ah, and the state of health."""
    return pa.Table.from_pylist(
        [
            {
                "cell_id": cell, "nominal_capacity_ah": 1.0, "initial_capacity_ah": 1.1, "chemistry": chemistry,
                "fade_ah_per_100_cycles": fade, "recent_fade_ah_per_100_cycles": fade,
                "latest_internal_resistance_ohm": 0.09, "latest_soh": health,
                "eol_cycle": 7 if health is not None and health < 0.8 else None,
                "knee_cycle": 5.0 if cell == "C" else None,
            }
            for (cell, (fade, health)), chemistry in zip(fades.items(), ["LCO", "NMC"] * 9, strict=False)
        ],
        schema=pa.schema(
            [
                ("cell_id", pa.string()), ("nominal_capacity_ah", pa.float64()), ("initial_capacity_ah", pa.float64()),
                ("chemistry", pa.string()), ("fade_ah_per_100_cycles", pa.float64()),
                ("recent_fade_ah_per_100_cycles", pa.float64()), ("latest_internal_resistance_ohm", pa.float64()),
                ("latest_soh", pa.float64()), ("eol_cycle", pa.int32()), ("knee_cycle", pa.float64()),
            ]
        ),
    )  # fmt: skip


FLEET = cells(
    A=(0.030, 0.95), B=(0.031, 0.75), C=(0.029, 0.90), D=(0.032, None), E=(0.030, 0.85), F=(0.150, 0.94)
)  # fmt: skip


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["cell_id"] for row in rows]


def test_cells_that_stand_out_come_first_then_the_least_healthy_and_those_unknown_last() -> None:
    assert ids(outliers_first(FLEET)) == ["F", "B", "E", "C", "A", "D"]


def test_a_cell_that_stands_out_says_by_what_and_how_far() -> None:
    first, *others = outliers_first(FLEET)
    assert first["stands_out"] == "faster fade (z 80.6)"
    assert all(row["stands_out"] is None for row in others)


def test_a_fade_is_judged_by_the_cell_s_own_capacity() -> None:
    large = FLEET.to_pylist()
    large[5]["nominal_capacity_ah"] = 5.0  # five times the cell, five times the fade
    assert outliers_first(pa.Table.from_pylist(large, schema=FLEET.schema))[0]["stands_out"] is None


def test_a_few_cells_do_not_stand_out() -> None:
    assert ids(outliers_first(cells(A=(0.03, 0.9), B=(0.3, 0.95)))) == ["A", "B"]


def test_the_visitor_chooses_cells_by_what_has_become_of_them() -> None:
    rows = outliers_first(FLEET)
    assert ids(chosen_cells(rows, ALL)) == ids(rows)
    assert ids(chosen_cells(rows, ENDED)) == ["B"]
    assert ids(chosen_cells(rows, KNEE)) == ["C"]
    assert ids(chosen_cells(rows, OUTLIERS)) == ["F"]
