"""Texts of readings: encodings, delimiters, decimals, and the place of what cannot be read."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from producer.readers.base import BadWorkbookError, UnreadableWorkbookError
from producer.readers.tables.encodings import PREAMBLE_BYTES
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


def stamps(text: Text, names: dict[str, tuple[str, str]], header: int = 0) -> list[object]:
    table, found = read_table(text, header, names | {"date": ("date_time", "")}, needed=())
    column, _ = table.stamps(found["date_time"].title, np.arange(len(table), dtype=np.float64), None)
    return list(column.to_pylist())


def test_dates_of_iso_8601_are_read_whatever_stands_for_no_number_beside_them(tmp_path: Path) -> None:
    content = "U,Date\n3.5,2024-03-14 09:35:15\n--,2024-03-14T09:35:16.25\n"
    expected = [datetime(2024, 3, 14, 9, 35, 15), datetime(2024, 3, 14, 9, 35, 16, 250_000)]  # noqa: DTZ001
    assert stamps(text_of(tmp_path, content), NAMES) == expected


def test_a_date_in_another_way_below_many_of_iso_8601_is_read_as_well(tmp_path: Path) -> None:
    rows = "3.5,2024-03-14 09:35:15\n" * 100
    read = stamps(text_of(tmp_path, f"U,Date\n{rows}3.5,2024/03/14 09:35:16\n3.5,\n"), NAMES)
    assert read[-2:] == [datetime(2024, 3, 14, 9, 35, 16), None]  # noqa: DTZ001


@pytest.mark.parametrize("letter", ["\u00b0", "\u00e9"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_letters_beyond_ascii_are_read_below_the_preamble_too(tmp_path: Path, letter: str, encoding: str) -> None:
    rows = "1;0;0.5;3.5;a\n" * (PREAMBLE_BYTES // 10)
    content = f"Cell {letter}\nn;time;I;U;State\n{rows}2;1;0.5;3.5;{letter}\n"
    table, _ = read_table(
        text_of(tmp_path, content.encode(encoding)), 1, NAMES | {"state": ("state", "")}, needed=NEEDED
    )
    assert table.text("State", 0) == "a"
    assert table.texts("State")[-1].as_py() == letter


def test_a_preamble_beyond_ascii_leaves_the_rows_in_their_place(tmp_path: Path) -> None:
    rows = "".join(f"{at};{at};0.5;{at}\n" for at in range(20_000))
    text = text_of(tmp_path, f"Cell \u00b0\nn;time;I;U\n{rows}".encode("latin-1"))
    assert text.head[0] == "Cell \u00b0"
    table, _ = read_table(text, 1, NAMES, needed=NEEDED)
    assert table.numbers("U").tolist() == list(range(20_000))
    assert text.content.decode().endswith("19999;19999;0.5;19999\n")


def test_a_zero_byte_far_below_is_noticed(tmp_path: Path) -> None:
    content = ROWS.encode() + b"2,1,-0.5,3.25\n" * 100_000
    with pytest.raises(BadWorkbookError, match="has zero bytes"):
        text_of(tmp_path, content + b"\0\n")


def test_a_letter_is_looked_for_from_a_line_of_the_head_to_the_end(tmp_path: Path) -> None:
    text = text_of(tmp_path, "Cell; A\nn,time,I,U\n" + "1,0,0.5,3.5\n" * 300_000 + "1,0,0.5,3.5|\n")
    assert (text.has_below(1, b"|"), text.has_below(1, b";"), text.has_below(0, b";")) == (True, False, True)
