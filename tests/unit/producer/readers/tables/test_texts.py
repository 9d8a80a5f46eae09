"""Texts of readings: encodings, delimiters, decimals, and the place of what cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.readers.base import BadWorkbookError, UnreadableWorkbookError
from producer.readers.tables.texts import Text, read_table, titles_in

if TYPE_CHECKING:
    from pathlib import Path

NAMES = {
    "n": ("data_point", ""),
    "time": ("test_time", "s"),
    "i": ("current", "A"),
    "u": ("voltage", "V"),
    "t": ("temperature", "C"),
}
NEEDED = ("test_time", "current", "voltage")
ROWS = "n,time,I,U\n1,0,0.5,3.5\n2,1,-0.5,3.25\n"


def text_of(tmp_path: Path, content: str | bytes) -> Text:
    path = tmp_path / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Text.of(path, "a.csv")


def currents(text: Text, header: int = 0) -> list[float]:
    table, found = read_table(text, header, NAMES, needed=NEEDED)
    column = found["current"]
    return [float(value) for value in table.numbers(column.title, column.unit)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_text_is_read_in_any_encoding_with_any_ending_and_mark(
    tmp_path: Path, encoding: str, ending: str, mark: str
) -> None:
    content = ROWS.replace("U\n", "U,T[\u00b0C]\n").replace(",", mark).replace("3.5\n", f"3.5{mark}25\n")
    content = content.replace("3.25\n", f"3.25{mark}25\n").replace("\n", ending)
    assert currents(text_of(tmp_path, content.encode(encoding))) == [0.5, -0.5]


def test_a_comma_is_the_decimal_mark_where_it_is_not_between_cells(tmp_path: Path) -> None:
    content = ROWS.replace(",", ";").replace(".", ",")
    assert currents(text_of(tmp_path, content)) == [0.5, -0.5]


def test_preamble_before_the_header_is_passed_over(tmp_path: Path) -> None:
    text = text_of(tmp_path, "Cell: A, of the lab\n\n" + ROWS)
    assert text.find("^n,time") == 2
    assert currents(text, 2) == [0.5, -0.5]


def test_a_word_in_a_column_of_numbers_is_named_with_column_and_row(tmp_path: Path) -> None:
    with pytest.raises(BadWorkbookError, match=r"^a.csv, column I, row 3: 'high' is not a number"):
        currents(text_of(tmp_path, ROWS.replace("-0.5", "high")))


def test_an_empty_cell_that_every_reading_needs_is_named(tmp_path: Path) -> None:
    table, _ = read_table(text_of(tmp_path, ROWS.replace("-0.5", "")), 0, NAMES, needed=NEEDED)
    with pytest.raises(BadWorkbookError, match=r"^a.csv, column I, row 3: the cell is empty"):
        table.numbers("I", required=True)


def test_a_row_that_was_cut_off_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadWorkbookError, match=r"^a.csv, row 3: has 2 cells, and the header has 4; export"):
        currents(text_of(tmp_path, ROWS[:-11]))


def test_a_column_that_is_missing_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(BadWorkbookError, match=r"^a.csv, row 1: has no column for voltage, only n, time, I, V; "):
        currents(text_of(tmp_path, ROWS.replace("U", "V")))


def test_a_header_without_rows_is_no_test(tmp_path: Path) -> None:
    with pytest.raises(BadWorkbookError, match="has a header but no readings"):
        currents(text_of(tmp_path, "n,time,I,U\n"))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"n,time\0,I"])
def test_a_file_that_is_empty_or_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadWorkbookError):
        text_of(tmp_path, content)


def test_a_file_that_the_disk_does_not_give_may_be_read_later(tmp_path: Path) -> None:
    with pytest.raises(UnreadableWorkbookError):
        Text.of(tmp_path / "none.csv", "none.csv")


def test_titles_that_come_twice_are_told_apart() -> None:
    assert titles_in("Aux #1\t Units\tAux #2\t Units", "\t") == ["Aux #1", "Units", "Aux #2", "Units_4"]


@pytest.mark.parametrize(("head_ends", "row_ends"), [("\t", ""), ("", "\t"), ("\t", "\t")])
def test_a_delimiter_at_the_end_of_header_or_rows_alone_is_no_cell(
    tmp_path: Path, head_ends: str, row_ends: str
) -> None:
    content = f"t/s\tI/A\tU/V{head_ends}\n0\t1\t3.5{row_ends}\n1\t1\t3.6{row_ends}\n"
    (tmp_path / "a.txt").write_text(content)
    names = {"t": ("test_time", "s"), "i": ("current", "A"), "u": ("voltage", "V")}
    table, _ = read_table(Text.of(tmp_path / "a.txt", "a.txt"), 0, names, needed=("current", "voltage"))
    assert table.numbers("U/V").tolist() == [3.5, 3.6]


def test_a_decimal_comma_is_seen_in_numbers_with_exponents_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("t/s\tI/A\tU/V\n1,5E+001\t-2,5E-001\t3,5E+000\n")
    names = {"t": ("test_time", "s"), "i": ("current", "A"), "u": ("voltage", "V")}
    table, _ = read_table(Text.of(tmp_path / "a.txt", "a.txt"), 0, names, needed=("current", "voltage"))
    assert [table.numbers(title).tolist() for title in ("t/s", "I/A", "U/V")] == [[15.0], [-0.25], [3.5]]


def test_a_lone_carriage_return_ends_a_line_as_it_does_for_the_rows(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"made\rby\rhand\nt/s\tI/A\tU/V\r\n0\t1\t3.5\r1\t1\thigh\n")
    names = {"t": ("test_time", "s"), "i": ("current", "A"), "u": ("voltage", "V")}
    text = Text.of(tmp_path / "a.txt", "a.txt")
    table, _ = read_table(text, text.find("^t/s") or 0, names, needed=("current", "voltage"))
    with pytest.raises(BadWorkbookError, match="column U/V, row 6: 'high'"):
        table.numbers("U/V")


def test_a_time_that_no_test_takes_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("t/h\tI/A\tU/V\n0\t1\t3.5\n1e9\t1\t3.6\n")
    names = {"t": ("test_time", "s"), "i": ("current", "A"), "u": ("voltage", "V")}
    table, found = read_table(Text.of(tmp_path / "a.txt", "a.txt"), 0, names, needed=("current", "voltage"))
    with pytest.raises(BadWorkbookError, match=r"column t/h, row 3: 3\.6e\+12 s is no time of a test"):
        table.seconds("t/h", found["test_time"].unit)
