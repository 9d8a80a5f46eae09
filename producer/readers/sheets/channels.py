"""Which sheets of a workbook are one test, and which channels are cells of their own.

A cycler's channel runs one cell at a time. So channels whose clocks overlap are several cells; those that ran one
after the other, under one file name, are tests of the cell that the file names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from producer.readers.trace import Span, follows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHEET: Final = re.compile(r"^channel[_\- ]*(?P<channel>.+?)(?:_(?P<part>\d+))?$", re.IGNORECASE)

_CHANNEL: Final = re.compile(r"^channel[_\- ]*", re.IGNORECASE)


def channel_of(sheet: str) -> str:
    """The channel that a sheet's name tells: `Channel_1-008_2` is the second sheet of channel 1-008."""
    match = _SHEET.match(sheet.strip())
    return match["channel"] if match else sheet.strip()


def channels_of(sheets: Sequence[str], spans: Sequence[Span]) -> list[str]:
    """The channel of each sheet of a workbook.

    `Channel_1_1` and `Channel_1_2` are two sheets of channel 1 where one continues the other, and the channels 1_1 and
    1_2 where they ran at the same time.

    Args:
        sheets: their names.
        spans: how each sheet begins and ends.
    """
    channels = [channel_of(sheet) for sheet in sheets]
    tests = tests_of(channels, spans)
    of_test = [channels[test[0]] for test in tests]
    extents = [Span(spans[test[0]].first, spans[test[-1]].last) for test in tests]
    together = {
        of_test[one]
        for one in range(len(tests))
        for two in range(one)
        if of_test[one] == of_test[two] and extents[one].overlaps(extents[two])
    }
    return [
        _with_number(sheet) if channel in together else channel for sheet, channel in zip(sheets, channels, strict=True)
    ]


def _with_number(sheet: str) -> str:
    """What stands behind `Channel_` in a sheet's name."""
    return _CHANNEL.sub("", sheet.strip()) or sheet.strip()


def tests_of(channels: Sequence[str], spans: Sequence[Span]) -> list[list[int]]:
    """The sheets that make up each test, in the order of its data points, whatever their order in the workbook.

    A sheet continues another of its channel where data points and Test_Time do. A channel that continues another one is
    one test with it where everything else continues too.

    Args:
        channels: of each sheet.
        spans: how each sheet begins and ends.
    """
    tests: list[list[int]] = []
    by_start = sorted(range(len(spans)), key=lambda sheet: (spans[sheet].first.data_point, sheet))
    for sheet in by_start:
        continued = [test for test in tests if _goes_on(channels, spans, test[-1], sheet)]
        own = [test for test in continued if channels[test[-1]] == channels[sheet]]
        candidates = own or [test for test in continued if channels[test[-1]] != channels[sheet]]
        if candidates:
            max(candidates, key=lambda test: spans[test[-1]].last.data_point).append(sheet)
        else:
            tests.append([sheet])
    return sorted(tests)


def _goes_on(channels: Sequence[str], spans: Sequence[Span], previous: int, sheet: int) -> bool:
    last, first = spans[previous].last, spans[sheet].first
    if channels[previous] == channels[sheet]:
        return first.data_point > last.data_point and first.test_time >= last.test_time
    return follows(last, first)


def run_together(channels: Sequence[str], spans: Sequence[Span]) -> bool:
    """Whether any two channels ran at the same time."""
    return any(
        channels[one] != channels[two] and spans[one].overlaps(spans[two])
        for one in range(len(spans))
        for two in range(one)
    )


def cell_of_channel(channel: str, cell_id: str, named: Mapping[str, str], *, several: bool) -> str:
    """Whose readings a channel holds.

    Args:
        channel: as its sheet names it.
        cell_id: the cell that the user, or else the file, names.
        named: cells by channel, as the user names them.
        several: whether the channels of this workbook are several cells.
    """
    for name, cell in named.items():
        if channel.casefold() in {name.casefold(), channel_of(name).casefold(), _with_number(name).casefold()}:
            return cell
    return f"{cell_id}_{channel}" if several else cell_id
