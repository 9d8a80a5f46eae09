"""The rules that the report prints state the thresholds that the marts were built with."""

from __future__ import annotations

import pyarrow as pa
import pytest

from dashboard.words.rules import rules
from dashboard.words.thresholds import thresholds_of

SCHEMA = pa.schema([("name", pa.string()), ("value", pa.float64()), ("unit", pa.string())])


def said(published: pa.Table | None) -> dict[str, str]:
    """The rules in words, by name."""
    return {rule.name: rule.text for rule in rules(thresholds_of(published))}


@pytest.mark.parametrize(
    ("name", "value", "rule", "words"),
    [
        ("pause_h", 7.0, "Pause and recovery", "A pause is more than 7 h between two tests."),
        ("recent_cycles", 33.0, "Fade", "and of the last 33 of them."),
        ("full_cycle_share", 0.375, "Complete cycle", "that is 37.5 % of the nominal"),
    ],
)
def test_a_rule_states_the_threshold_that_was_published(name: str, value: float, rule: str, words: str) -> None:
    published = pa.Table.from_pylist([{"name": name, "value": value, "unit": "1"}], schema=SCHEMA)
    assert words in said(published)[rule]
    changed = {other for other, text in said(None).items() if text != said(published)[other]}
    assert changed == {rule}


def test_a_publication_without_thresholds_gets_those_of_the_installed_project() -> None:
    found = said(None)
    assert "the median of the first 5 complete cycles" in found["State of health"]
    assert found == said(SCHEMA.empty_table())
    assert [text for text in found.values() if "{" in text] == []
