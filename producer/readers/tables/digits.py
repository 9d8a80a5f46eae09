"""Numbers out of texts of few shapes, such as dates and durations, many times faster than by regular expressions.

Texts of a column mostly have their digits at the same places. One of them is matched with the pattern; all of the same
shape are taken as a matrix of bytes, whose digits at those places are the numbers. Then come those of the next shape.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

MOST_SHAPES: Final = 40
"""Texts of more shapes than these are no dates or durations of one column."""

_LONGEST: Final = 255
"""So many bytes a date or a duration has at most, with blanks around it."""

_ZERO: Final = np.uint8(ord("0"))
_WIDTHS: Final = ((2, np.uint8), (4, np.uint16), (9, np.uint32))
"""Types that hold any number of so many digits: the narrower one is, the quicker are sums of a column of it."""


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
    found = {name: np.zeros(len(texts), np.int64) for name in re.compile(pattern).groupindex}
    for at, numbers in _shapes(texts, pattern, decimals or {}):
        if at is None:
            return None
        for name, values in numbers.items():
            _place(found[name], at, values)
    return found


def sums_in(
    texts: pa.Array,
    pattern: str,
    *weights: Mapping[str, int],
    limits: Mapping[str, int],
    decimals: Mapping[str, int] | None = None,
) -> list[Integers] | None:
    r"""Sums of the numbers of a pattern's groups, each times its weight, shape (n,).

    Args:
        texts: as `numbers_in` takes them.
        pattern: the same.
        weights: of groups, for each sum; those without one do not count.
        limits: the largest number that groups may have.
        decimals: as `numbers_in` takes them.

    Returns:
        The sums; None where the texts have no such shape, or a number is beyond its limit.

    >>> sums_in(pa.array(["1:05", "10:30"]), r"(?P<m>\d+):(?P<s>\d\d)", {"m": 60, "s": 1}, limits={"s": 59})
    [array([ 65, 630])]
    """
    sums = [np.zeros(len(texts), np.int64) for _ in weights]
    for at, numbers in _shapes(texts, pattern, decimals or {}):
        if at is None or any(numbers[name].max() > limit for name, limit in limits.items() if name in numbers):
            return None
        for found, weight in zip(sums, weights, strict=True):
            parts = {name: values for name, values in numbers.items() if name in weight}
            if parts:
                _place(found, at, _sum(parts, weight))
    return sums


def _sum(parts: Mapping[str, npt.NDArray[Any]], weights: Mapping[str, int]) -> npt.NDArray[Any]:
    """The sum of numbers, each times its weight, in the narrowest type that holds it, which is the quickest."""
    most = sum(int(values.max()) * weights[name] for name, values in parts.items())
    kind: type[np.signedinteger[Any]] = np.int32 if most <= np.iinfo(np.int32).max else np.int64
    weighed = (np.multiply(values, weights[name], dtype=kind) for name, values in parts.items())
    return functools.reduce(lambda total, more: np.add(total, more, out=total), weighed)


def _shapes(
    texts: pa.Array, pattern: str, decimals: Mapping[str, int]
) -> Iterator[tuple[Integers | None, dict[str, npt.NDArray[Any]]]]:
    """For texts of each shape their indices, which rise, and their numbers; None and nothing where one has none."""
    compiled = re.compile(rf"(?:{pattern})\Z")
    lengths = np.diff(_offsets(texts))
    if lengths.max(initial=0) > _LONGEST:
        yield None, {}
        return
    shapes = 0
    for length in np.flatnonzero(np.bincount(lengths)).tolist():
        left = np.flatnonzero(lengths == length)
        while len(left):
            shapes += 1
            taken = _taken(texts, left)
            match = compiled.match(taken[0].as_py())
            if match is None or not length or shapes > MOST_SHAPES:
                yield None, {}
                return
            numbers, is_other = _numbers(_bytes(taken, length), match)
            at, left = (left[~is_other], left[is_other]) if is_other.any() else (left, left[:0])
            if len(left):
                numbers = {name: values[~is_other] for name, values in numbers.items()}
            for name in numbers.keys() & decimals.keys():
                start, end = match.span(name)
                if end - start < decimals[name]:
                    numbers[name] = numbers[name].astype(np.int64) * 10 ** (decimals[name] - (end - start))
            if len(at):
                yield at, numbers


def _offsets(texts: pa.Array) -> npt.NDArray[np.int32]:
    """Where each text begins among the bytes of all, and where the last one ends, shape (n + 1,)."""
    _, offsets, _ = texts.buffers()
    if offsets is None:
        return np.zeros(1, np.int32)
    return np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]


def _is_run(at: Integers) -> bool:
    """Whether indices, which rise, are all those from the first to the last of them."""
    return int(at[-1] - at[0]) == len(at) - 1


def _taken(texts: pa.Array, at: Integers) -> pa.Array:
    return texts.slice(int(at[0]), len(at)) if _is_run(at) else texts.take(pa.array(at))


def _place(column: Integers, at: Integers, values: npt.NDArray[Any]) -> None:
    """Put values at indices, which rise."""
    if _is_run(at):
        column[at[0] : at[-1] + 1] = values
    else:
        column[at] = values


def _bytes(texts: pa.Array, length: int) -> npt.NDArray[np.uint8]:
    """Texts of one length as a matrix, shape (n, length)."""
    _, _, content = texts.buffers()
    first = int(_offsets(texts)[0])
    return np.frombuffer(content, np.uint8)[first : first + length * len(texts)].reshape(len(texts), length)


def _numbers(
    matrix: npt.NDArray[np.uint8], match: re.Match[str]
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.bool_]]:
    """The numbers at the places that a match of the first text has, and which texts have another shape.

    Those have no digits there, or differ from the first one elsewhere; what they have as numbers is nothing.
    """
    groups = {place: name for name in match.re.groupindex for place in range(*match.span(name))}
    numbers: dict[str, npt.NDArray[Any]] = {}
    is_other = np.zeros(len(matrix), np.bool_)
    for place in range(matrix.shape[1]):
        name = groups.get(place)
        if name is None:
            is_other |= matrix[:, place] != matrix[0, place]
            continue
        digit = matrix[:, place] - _ZERO
        is_other |= digit > 9  # noqa: PLR2004  # a byte below that of 0 becomes a large one
        if name in numbers:
            numbers[name] *= 10
            numbers[name] += digit
        else:
            start, end = match.span(name)
            width = next((width for digits, width in _WIDTHS if end - start <= digits), np.int64)
            numbers[name] = digit.astype(width)
    return numbers, is_other
