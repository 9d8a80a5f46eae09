from __future__ import annotations

from support.grouped import described

from dashboard.groups.attributes import attributes_of
from dashboard.groups.filters import Condition, matching, options_of

CELLS = described(
    A={"cell_group": "fast", "mass_g": 45.0, "tags": ["early", "keep"]},
    B={"cell_group": "slow", "mass_g": 46.0, "tags": ["keep"]},
    C={"mass_g": None},
)
ATTRIBUTES = attributes_of(CELLS)
IDS = ["C", "B", "A"]
GROUP, MASS, TAGS = (ATTRIBUTES[name] for name in ("group", "mass", "tags"))


def test_a_filter_by_texts_takes_any_of_them_and_cells_without_one_where_that_is_asked_for() -> None:
    assert options_of(GROUP, IDS) == ["fast", "slow", "no group"]
    assert matching(IDS, [Condition(GROUP, ("fast", "slow"))]) == ["B", "A"]
    assert matching(IDS, [Condition(GROUP, ("no group",))]) == ["C"]
    assert matching(IDS, [Condition(GROUP)]) == IDS


def test_a_filter_by_tags_takes_cells_with_any_of_them() -> None:
    assert options_of(TAGS, IDS) == ["early", "keep", "no tags"]
    assert matching(IDS, [Condition(TAGS, ("early",))]) == ["A"]
    assert matching(IDS, [Condition(TAGS, ("keep", "no tags"))]) == IDS


def test_a_range_holds_its_ends_and_no_cell_whose_number_is_unknown() -> None:
    assert matching(IDS, [Condition(MASS, low=45.0)]) == ["B", "A"]
    assert matching(IDS, [Condition(MASS, low=45.0, high=45.5)]) == ["A"]
    assert matching(IDS, [Condition(MASS, high=44.0)]) == []
    assert matching(IDS, [Condition(MASS)]) == IDS


def test_several_filters_hold_together() -> None:
    assert matching(IDS, [Condition(GROUP, ("fast", "slow")), Condition(MASS, low=45.5)]) == ["B"]


def test_a_filter_reads_as_words() -> None:
    assert str(Condition(GROUP, ("fast", "slow"))) == "group fast or slow"
    assert str(Condition(MASS, low=45.0, high=45.5)) == "mass from 45 to 45.5 g"
    assert str(Condition(TAGS, tuple("abcde"))) == "tags a or b or c or 2 more"
