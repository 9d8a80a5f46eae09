from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.aged import traces

from dashboard.figures import stream
from dashboard.figures.style import MUTED, kept_rows
from dashboard.words.amounts import capacity_amount, resistance_amount


@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=300),
    st.integers(10, 40),
)
def test_what_is_left_out_of_a_line_is_never_an_extreme_nor_an_end(values: list[float], most: int) -> None:
    y = np.array(values)
    rows = kept_rows(y, most)
    assert list(rows) == sorted(set(rows))
    assert len(rows) <= most + 2
    there = y[np.isfinite(y)]
    if len(y) <= most:
        assert len(rows) == len(y)
    elif len(there):
        kept = y[rows]
        assert (np.nanmin(kept), np.nanmax(kept)) == (there.min(), there.max())
        assert (kept[0], kept[-1]) == (there[0], there[-1])


def test_a_spike_of_one_reading_among_a_million_is_drawn_where_it_is() -> None:
    y = np.sin(np.linspace(0, 40, 1_000_000))
    y[654_321] = 9.0
    rows = kept_rows(y)
    assert 654_321 in rows
    assert len(rows) <= 4_002


def test_a_line_keeps_its_ends_though_they_are_no_extremes() -> None:
    y = np.random.default_rng(1).random(1_000_000)
    y[0] = y[-1] = 0.5
    assert {0, 999_999} <= set(kept_rows(y))


@pytest.mark.parametrize(
    ("capacity_ah", "shown"),
    [
        (1.138460, "1.1385 Ah"), (100.0, "100.0000 Ah"), (0.1, "0.1000 Ah"), (0.09, "90.000 mAh"),
        (4.751559e-4, "0.47516 mAh"), (1.13846e-5, "11.385 µAh"), (5e-6, "5.0000 µAh"), (11_384.6, "11.3846 kAh"),
    ],
)  # fmt: skip
def test_a_capacity_is_shown_with_the_digits_of_ordinary_cells_whatever_its_size(
    capacity_ah: float, shown: str
) -> None:
    amount = capacity_amount(capacity_ah)
    assert f"{amount.text(capacity_ah)} {amount.unit}" == shown


@pytest.mark.parametrize(
    ("ohm", "shown"),
    [(0.0940, "94.0 mΩ"), (0.0005, "0.500 mΩ"), (9.03e-6, "9.03 µΩ"), (45.0, "45.0 Ω"), (9_030.0, "9.03 kΩ")],
)
def test_a_resistance_is_shown_with_three_digits_whatever_its_size(ohm: float, shown: str) -> None:
    amount = resistance_amount(ohm)
    assert f"{amount.text(ohm)} {amount.unit}" == shown


def commits_table(count: int) -> pa.Table:
    at = np.datetime64("2026-01-01T00:00:00", "us") + np.arange(count) * np.timedelta64(10_000_000, "us")
    return pa.table(
        {
            "commit": [str(number) for number in range(count)], "committed_at": pa.array(at),
            "landed": [1000 * (number + 1) for number in range(count)], "quarantined": [0] * count,
            "bytes": [2_000_000] * count,
        }
    )  # fmt: skip


def test_a_rate_is_the_rows_of_a_commit_by_the_seconds_since_the_one_before() -> None:
    drawn = traces(stream.rates(commits_table(3)))
    assert list(drawn["landed"].y) == [200.0, 300.0]
    assert list(drawn["quarantined"].y) == [0.0, 0.0]
    assert list(stream.objects(commits_table(3)).data[0].y) == [2.0, 2.0, 2.0]


def test_refusals_are_drawn_by_reason_and_duplicates_muted() -> None:
    figure = stream.refused(pa.table({"reason": ["duplicate", "missing_value"], "rows": [500, 2]}))
    words = ["landed before with<br>the same values", "a required value is<br>missing"]  # a phone has room for the bar
    assert (list(figure.data[0].y), list(figure.data[0].x)) == (words, [500, 2])
    assert figure.data[0].marker.color[0] == MUTED != figure.data[0].marker.color[1]
