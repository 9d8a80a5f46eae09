"""What is said of a test: as the text of a header, as the columns of a row, and what becomes of any other text."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import as_json, reading
from support.profiles import examples

from kernel.contract.about import HEADER_BYTES, LINE_BYTES, About, TestAbout, protocol_name
from kernel.contract.message import Head, headers
from kernel.contract.reading import ABOUT, COUNTERS, JSON

TURNED = "current is positive while discharging in this file; its sign was turned"
SAID = TestAbout(
    "2024-03-01T09:00:00",
    About("neware", (TURNED, "no steps: told by current"), {"channel": "3", "mass_g": "4.5"}, COUNTERS[:2]),
)


def test_a_header_says_what_was_written_into_it() -> None:
    assert TestAbout.from_text(SAID.to_text()) == SAID
    head = Head.of([(name, str(value).encode()) for name, value in headers(JSON, "a", about_test=SAID.to_text())])
    assert head.about == SAID
    assert Head.of([("About-Test", SAID.to_text().encode())]).about == SAID


def test_a_test_protocol_is_named_without_its_folders_whoever_sends_it() -> None:
    path = "C:\\Users\\A. Person\\1C cycles.mps"
    ours = TestAbout("A", About("", (), {"schedule": path, "item": path})).to_text()
    assert json.loads(ours)["metadata"] == {"schedule": "1C cycles.mps", "item": path}
    theirs = TestAbout.from_text(as_json({"test_id": "A", "metadata": {"schedule": path}}))
    assert theirs is not None
    assert theirs.about.metadata == {"schedule": "1C cycles.mps"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CS2_1C.sdu", "CS2_1C.sdu"),
        ("P 1C.000 20mA/g", "P 1C.000 20mA/g"),
        ("charge C/3, discharge 1C/0.5", "charge C/3, discharge 1C/0.5"),
        ("\\\\server\\A. Person\\C 3.000", "C 3.000"),
        ('"D:/A. Person/cycles"', "cycles"),
        ("file:///home/person/cycles", "cycles"),
        ("~/person/cycles", "cycles"),
        ("A. Person/formation.pro4", "formation.pro4"),
        ("C:\\Users\\A. Person\\", ""),
        ("", ""),
    ],
)
def test_folders_are_told_from_slashes_in_the_name_of_a_protocol(text: str, name: str) -> None:
    assert protocol_name(text) == name


def test_a_message_without_the_header_says_nothing() -> None:
    assert Head.of([(name, str(value).encode()) for name, value in headers(JSON, "a")]).about is None


def test_a_row_says_what_was_written_into_it() -> None:
    row = SAID.to_row()
    assert set(row) < set(ABOUT.names)
    assert TestAbout.from_row(row) == SAID
    assert row["assumptions"] == f"{TURNED}\nno steps: told by current"


def test_what_is_not_said_is_null_in_a_row() -> None:
    row = TestAbout("A", About("csv")).to_row()
    assert row == {"test_id": "A", "reader": "csv", "assumptions": None, "metadata": None, "integrated": None}


def test_the_order_of_the_keys_does_not_change_a_row() -> None:
    one, other = (
        TestAbout("A", About("", (), {"b": "1", "a": "2"})),
        TestAbout("A", About("", (), {"a": "2", "b": "1"})),
    )
    assert one.to_row() == other.to_row()


@pytest.mark.parametrize(
    "text",
    [
        *(None, b"", b"\xff", b"[", b"null", b'"text"', b"[1]", b"[" * 7_000, b'{"reader": "no test"}'),
        *(b'{"test_id": ""}', b'{"test_id": "A"}', b'{"test_id": 7, "reader": "csv"}'),
        *(b'{"test_id": "A", "assumptions": "no list"}', b'{"test_id": "A", "metadata": {"a": ["deep"]}}'),
        *(b'{"test_id": "A", "reader": "\\ud800"}', b'{"test_id": "A", "metadata": {"a": 1e999}}'),
        as_json({"test_id": "x" * 1_001, "reader": "csv"}),
        as_json({"test_id": "A", "assumptions": ["x" * HEADER_BYTES]}),
        as_json(reading(1)),
    ],
)
def test_a_text_that_is_no_such_json_or_too_long_says_nothing(text: bytes | None) -> None:
    assert TestAbout.from_text(text) is None


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
@examples(0.5)
def test_no_text_raises(text: bytes) -> None:
    TestAbout.from_text(text)
    Head.of([("about-test", text)])


TEXTS = st.text(max_size=1_500) | st.integers(1, 3_000).map("ü".__mul__)


@given(
    st.builds(
        About,
        TEXTS,
        st.lists(TEXTS, max_size=40).map(tuple),
        st.dictionaries(TEXTS, TEXTS, max_size=40),
        st.lists(st.sampled_from([*COUNTERS, "a column that no file has"])).map(tuple),
    )
)
@examples(0.5)
def test_whatever_is_said_makes_a_header_that_is_read_back_and_a_row_of_lines(about: About) -> None:
    text = TestAbout("A", about).to_text()
    assert len(text.encode()) <= HEADER_BYTES
    assert "\n" not in text
    found = TestAbout.from_text(text)
    if found is None:
        return  # nothing but blanks was said
    assert TestAbout.from_text(found.to_text()) == found
    assert TestAbout.from_row(found.to_row()) == found
    assert all(len(line.encode()) <= LINE_BYTES and len(line.splitlines()) == 1 for line in found.about.assumptions)
    assert set(found.about.integrated) <= set(COUNTERS)


def test_a_long_line_is_cut_and_shows_it() -> None:
    found = TestAbout.from_text(TestAbout("A", About("", ("ü" * 900,))).to_text())
    assert found is not None
    (line,) = found.about.assumptions
    assert line.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert LINE_BYTES - 3 <= len(line.encode()) <= LINE_BYTES


def test_more_than_a_header_holds_loses_metadata_first_and_says_so() -> None:
    about = About("csv", (TURNED,), {f"key_{number}": "x" * 400 for number in range(50)}, COUNTERS)
    text = TestAbout("A", about).to_text()
    found = TestAbout.from_text(text)
    assert found is not None
    stated = len(found.about.metadata)
    assert 10 < stated < 50
    assert found.about.assumptions == (
        TURNED,
        f"more was said than a message can carry: {50 - stated} values and 0 lines are left out",
    )
    assert found.about.integrated == COUNTERS


def test_a_number_that_a_live_sender_states_is_kept_as_text() -> None:
    text = json.dumps({"test_id": "A", "metadata": {"mass_g": 4.5, "channel": 3, "empty": " "}})
    found = TestAbout.from_text(text)
    assert found is not None
    assert found.about.metadata == {"mass_g": "4.5", "channel": "3"}


def test_it_goes_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(SAID)) == SAID  # noqa: S301  # our own


def test_nothing_said_is_false() -> None:
    assert not About()
    assert all([About("csv"), About(assumptions=("a",)), About(metadata={"a": "b"}), About(integrated=COUNTERS)])
