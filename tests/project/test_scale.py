"""The page on scale: its tables are what the measured figures make, by arithmetic that can be checked by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.fleet.channels import JSON_1
from benchmarks.fleet.growth import FEW, MANY
from benchmarks.fleet.means import MEANS

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_scale", ROOT / "docs" / "make_scale.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_page_on_scale_are_what_the_kept_figures_make() -> None:
    module = generator()
    shown = module.PAGE.read_text()
    assert module.page(shown, module.read()) == shown, "benchmarks/fleet/last.jsonl has other figures: run `make docs`"
    assert set(module.read().rows) == set(MEANS), "a figure of the page was not measured, or has no meaning"


def test_needs_are_rows_times_measured_figures() -> None:
    module = generator()
    figures = module.Figures(
        {
            "fleet_json_1": {"value": 100_000.0, "reference": 90_000.0},
            "bytes_log_json_1": {"value": 350.0, "reference": 32.0},
            "bytes_object_6000": {"value": 25.0, "reference": 20.0},
            "refresh_new": {"value": 22.0, "reference": 12.0},
        }
    )
    need = module.Needs(100_000, figures)
    assert need.rows_a_year == 100_000 * 31_557_600
    assert need.workers(JSON_1) == 2, "half of 100,000 rows/s each"
    assert need.partitions(JSON_1) == 4
    assert need.log_bytes(JSON_1) == 100_000 * 7 * 86_400 * 350
    assert need.object_bytes_a_year == need.rows_a_year * 20
    assert need.merged_a_year == need.rows_a_year / 1_000_000, "a merged object has a million rows at most"
    assert module.Needs(FEW / 3_600, figures).refresh_seconds == pytest.approx(12)
    assert module.Needs(MANY / 3_600, figures).refresh_seconds == pytest.approx(22)


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    module = generator()
    with pytest.raises(ValueError, match="no place for a table: <!-- needs -->"):
        module.page("# Scale", module.read())
