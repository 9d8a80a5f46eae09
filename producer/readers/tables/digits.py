"""Numbers out of texts of few shapes, such as dates and durations, many times faster than by regular expressions.

Texts of a column mostly have their digits at the same places. One of them is matched with the pattern; all of the same
shape are taken as a matrix of bytes, whose digits at those places are the numbers. Then come those of the next shape.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

MOST_SHAPES: Final = 40
"""Texts of more shapes than these are no dates or durations of one column."""

_ZERO: Final = ord("0")
_NINE: Final = ord("9")


def numbers_in(texts: pa.Array, pattern: str, decimals: Mapping[str, int] | None = None) -> dict[str, Integers] | None:
    r"""The numbers of the named groups of a pattern, shape (n,) each; None where the texts have no such shape.

    Args:
        texts: n texts without nulls.
        pattern: matches a whole text; each of its groups holds digits alone. One that matches nothing is 0.
        decimals: for groups that stand behind a decimal point how many digits they are to have: `5` is 500 of three.

    >>> numbers_in(pa.array(["1:05", "1:20", "10:30"]), r"(?P<m>\d+):(?P<s>\d\d)")
    {'m': array([ 1,  1, 10]), 's': array([ 5, 20, 30])}
    >>> numbers_in(pa.array(["1:05", "a:20"]), r"(?P<m>\d+):(?P<s>\d\d)") is None
    True
    """
    compiled = re.compile(rf"(?:{pattern})\Z")
    found = {name: np.zeros(len(texts), np.int64) for name in compiled.groupindex}
    lengths = pc.binary_length(texts).to_numpy()
    shapes = 0
    for length in np.unique(lengths).tolist():
        left = np.flatnonzero(lengths == length)
        while len(left):
            shapes += 1
            taken = texts if len(left) == len(texts) else texts.take(pa.array(left))
            match = compiled.match(taken[0].as_py())
            if match is None or not length or shapes > MOST_SHAPES:
                return None
            matrix = _bytes(taken, length)
            alike = _alike(matrix, match)
            for name, values in _numbers(matrix[alike], match, decimals or {}).items():
                found[name][left[alike]] = values
            left = left[~alike]
    return found


def _bytes(texts: pa.Array, length: int) -> npt.NDArray[np.uint8]:
    """Texts of one length as a matrix, shape (n, length)."""
    _, offsets, content = texts.buffers()
    first = np.frombuffer(offsets, np.int32)[texts.offset]
    return np.frombuffer(content, np.uint8)[first : first + length * len(texts)].reshape(len(texts), length)


def _alike(matrix: npt.NDArray[np.uint8], match: re.Match[str]) -> npt.NDArray[np.bool_]:
    """Which texts have digits where a match of the first one has its groups, and are equal to it elsewhere."""
    is_digit = np.zeros(matrix.shape[1], np.bool_)
    for name in match.re.groupindex:
        start, end = match.span(name)
        is_digit[max(start, 0) : max(end, 0)] = True
    digits = matrix[:, is_digit]
    are_digits = ((digits >= _ZERO) & (digits <= _NINE)).all(axis=1)
    are_equal = (matrix[:, ~is_digit] == matrix[0, ~is_digit]).all(axis=1)
    return np.asarray(are_digits & are_equal, np.bool_)


def _numbers(matrix: npt.NDArray[np.uint8], match: re.Match[str], decimals: Mapping[str, int]) -> dict[str, Integers]:
    """The numbers at the places that a match of the first text has."""
    found = {}
    for name in match.re.groupindex:
        start, end = match.span(name)
        values = np.zeros(len(matrix), np.int64)
        for place in range(max(start, 0), max(end, 0)):
            values = values * 10 + (matrix[:, place] - np.uint8(_ZERO))
        if name in decimals and end >= start >= 0:
            values *= 10 ** max(0, decimals[name] - (end - start))
        found[name] = values
    return found
