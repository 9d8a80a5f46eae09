"""The documents name what the code has: a column, flag, reason or test that they miss fails here."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from battery.reading import Quality, Reason
from sink.tables import create_tables

ROOT = Path(__file__).parents[1]
DICTIONARY = (ROOT / "docs" / "data-dictionary.md").read_text()


@pytest.mark.parametrize(
    "table",
    [
        "battery_ts_cleaned", "battery_quarantine", "battery_cell_windows", "battery_cell_cycles",
        "battery_retries", "_commits", "_progress", "_cell_state", "_writers", "_retired",
    ],
)  # fmt: skip
def test_the_data_dictionary_has_every_column_of_a_landing_table(table: str) -> None:
    connection = duckdb.connect()
    create_tables(connection)
    columns = [name for name, *_ in connection.execute(f"describe {table}").fetchall()]
    assert [name for name in columns if f"`{name}`" not in DICTIONARY] == []


@pytest.mark.parametrize("reason", Reason)
def test_the_documents_explain_every_reason(reason: Reason) -> None:
    assert f"`{reason}`" in DICTIONARY
    assert f"`{reason}`" in (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("flag", Quality)
def test_the_data_dictionary_has_every_flag_with_its_bit(flag: Quality) -> None:
    assert f"| `{flag.name}` | {flag.value} |" in DICTIONARY


def test_every_test_that_the_architecture_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "architecture.md").read_text()))
    written = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert named - written == set()


def test_every_link_between_the_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
