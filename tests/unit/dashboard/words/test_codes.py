"""What pages show has plain words: every column of a mart, every rule, reason, kind of step and format."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from dashboard.words.amounts import capacity_amount
from dashboard.words.codes import COUNTERS, FORMATS, REASONS, STEP_KINDS, UNKNOWN, format_of, stated_words, words_of
from dashboard.words.labels import COLUMNS, label_of, meaning_of, tooltip_of
from dashboard.words.rules import end_in_words, end_rule
from dashboard.words.tables import as_shown, column_config_of
from kernel.contract.reading import Reason
from producer.readers.registry import registered_readers

PROJECT = Path(__file__).resolve().parents[4] / "dbt_project"

SHOWN = ("battery_cells", "battery_cycles", "battery_steps", "battery_tests", "battery_gaps", "battery_ica")
"""The marts whose columns pages show."""


def columns_of(mart: str) -> dict[str, dict[str, str]]:
    text = (PROJECT / "models" / "marts" / f"{mart}.yml").read_text().partition("\nunit_tests:")[0]
    return {column["name"]: column for column in yaml.safe_load(text)["models"][0]["columns"]}


@pytest.mark.parametrize("mart", SHOWN)
def test_every_column_that_pages_show_has_words_and_a_meaning(mart: str) -> None:
    columns = columns_of(mart)
    assert [name for name in columns if name not in COLUMNS] == []
    assert [name for name in columns if not meaning_of(mart, name)] == []
    assert [name for name in columns if "{{" in tooltip_of(mart, name) or "NULL" in tooltip_of(mart, name)] == []


@pytest.mark.parametrize("mart", SHOWN)
def test_a_label_of_a_column_with_a_unit_says_it(mart: str) -> None:
    units = {"_ah": "Ah", "_wh": "Wh", "_v": "V", "_a": "A", "_ohm": "Ω", "_s": "s", "_h": "h", "_c": "°C"}
    said = {
        name: label_of(name).unit
        for name in columns_of(mart)
        for ending in units
        if re.search(rf"[a-z]{ending}$", name)
    }
    per_volt = {"dqdv_ah_per_v": "Ah/V", "peak_height_ah_per_v": "Ah/V", "peak_prominence_ah_per_v": "Ah/V"}
    derived = {**per_volt, "dvdq_v_per_ah": "V/Ah"}
    expected = {name: derived.get(name) or units[f"_{name.rpartition('_')[2]}"] for name in said}
    assert said == expected


def test_every_rule_that_sql_can_give_has_words() -> None:
    sql = (PROJECT / "models" / "marts" / "battery_cells.sql").read_text()
    variables = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    numbers = {
        "percent": variables["end_of_life_percent"], "median_cycles": variables["median_cycles"],
        "mean_cycles": variables["mean_cycles"],
    }  # fmt: skip
    rules = {
        re.sub(r"{{ (\w+) }}", lambda found: str(numbers[str(found[1])]), rule)
        for rule in re.findall(r"'([^']*_percent_of_\w+)'", sql)
    }
    assert len(rules) == 5
    assert [rule for rule in rules if end_in_words(rule) is None or "_" in end_rule(rule)] == []
    assert len({end_rule(rule) for rule in rules}) == len(rules)


def test_every_reason_of_the_quarantine_has_words() -> None:
    assert set(REASONS) == {str(reason) for reason in Reason}


def test_every_code_of_steps_and_counters_has_words() -> None:
    (accepted,) = (test["accepted_values"] for test in columns_of("battery_steps")["kind"]["data_tests"])  # type: ignore[index]
    assert set(STEP_KINDS) == set(accepted["arguments"]["values"])  # type: ignore[index]
    said = columns_of("battery_tests")["counter_behaviour"]["description"]
    assert set(COUNTERS) == set(re.findall(r"\w+", said.partition(". ")[0])) - {"or"}


def test_every_reader_has_the_name_of_its_maker() -> None:
    ours = {one.reader.name for one in registered_readers() if one.package.startswith("battery-pipeline ")}
    assert len(ours) > 10
    assert ours <= set(FORMATS)


@pytest.mark.parametrize(
    ("reader", "file", "name"),
    [
        ("neware-binary", "cell 7.NDAX", "Neware .ndax"),
        ("arbin, arbin-res", None, "Arbin"),
        ("of-a-plugin", "x", "of-a-plugin"),
        (None, "x.csv", UNKNOWN),
    ],
)
def test_a_format_is_named_with_its_ending(reader: str | None, file: str | None, name: str) -> None:
    assert format_of(reader, file) == name


def test_what_has_no_words_is_shown_as_it_is() -> None:
    assert str(label_of("of_a_later_version")) == "of a later version"
    assert words_of("reason", "of_a_later_version") == "of_a_later_version"
    assert words_of("rule", "of_a_later_version") == "of_a_later_version"
    assert words_of("reason", None) == UNKNOWN
    assert stated_words("rack_number") == "rack number"


def test_a_table_is_shown_in_percent_words_and_the_unit_of_its_cell() -> None:
    rows = pa.table({
        "soh": [0.5, None], "discharge_capacity_ah": [0.0005, 0.0004], "kind": ["cc_charge", None],
        "started_at": pa.nulls(2, pa.timestamp("us")), "source_file": ["=1+1", "b"],
    })  # fmt: skip
    units = {"Ah": capacity_amount(0.0005)}
    shown = as_shown(rows, ["source_file", "kind", "soh", "discharge_capacity_ah", "started_at", "missing"], units)
    assert shown.to_pydict() == {
        "source_file": ["'=1+1", "b"], "kind": ["charge at constant current", None], "soh": [50.0, None],
        "discharge_capacity_ah": [0.5, 0.4],
    }  # fmt: skip
    config = column_config_of("battery_cycles", shown.column_names, units)
    assert [column["label"] for column in config.values()] == [
        "file",
        "kind of step",
        "SOH (%)",
        "discharge capacity (mAh)",
    ]
    assert all("battery_cycles." in (column["help"] or "") for column in config.values())
