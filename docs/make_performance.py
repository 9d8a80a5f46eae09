"""Write the table of the performance page from the last whole run of the benchmarks."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.figures import Figure
from benchmarks.goals import GOALS

if TYPE_CHECKING:
    from benchmarks.goals import Goal

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "explanation" / "performance.md"
LAST: Final = ROOT / "benchmarks" / "last.jsonl"

_TABLE: Final = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)

Row = dict[str, Any]
"""A figure as `benchmarks/record.py` keeps it."""


def page(text: str, rows: list[Row]) -> str:
    """The page with its table made again; what is written around the table stays.

    Raises:
        ValueError: the page has no place for the table.
    """
    if not _TABLE.search(text):
        raise ValueError("the page has no place for the table: <!-- figures --> … <!-- end of figures -->")
    return _TABLE.sub(lambda _: table(rows), text)


def table(rows: list[Row]) -> str:
    """The runs with their machines, and one line a figure in the order of the goals."""
    by_name = {row["name"]: row for row in rows}
    runs = sorted({(row["date"], row["commit"], row["machine"]) for row in rows}, reverse=True)
    number = {run: index for index, run in enumerate(runs, start=1)}
    lines = [
        "| run | date | commit | machine |",
        "| --- | --- | --- | --- |",
        *(f"| {number[run]} | {run[0]} | `{run[1]}` | {run[2]} |" for run in runs),
        "",
        "| figure | what | measured | reference | ratio | goal | run |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, goal in GOALS.items():
        if (row := by_name.get(name)) is None:
            lines.append(f"| `{name}` | {goal.measures} | not measured | {goal.reference} | | {_bounds(goal, '')} | |")
            continue
        unit = row["unit"]
        cells = (
            f"`{name}`",
            goal.measures,
            f"{_value(row['value'])} {unit}",
            f"{_value(row['reference'])} {unit}: {goal.reference}",
            f"{row['ratio']:.4g}",
            _bounds(goal, unit) + (": **missed**" if _misses(goal, row) else ""),
            str(number[row["date"], row["commit"], row["machine"]]),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(["", *lines, "", ""])


def _value(value: float) -> str:
    """Four significant digits, with separators."""
    return f"{float(f'{value:.4g}'):,.10g}"


def _bounds(goal: Goal, unit: str) -> str:
    bounds = (
        ("ratio at least", goal.ratio_least, ""),
        ("ratio at most", goal.ratio_most, ""),
        ("at least", goal.least, f" {unit}"),
        ("at most", goal.most, f" {unit}"),
    )
    return ", ".join(f"{word} {bound:,g}{of}".rstrip() for word, bound, of in bounds if bound is not None)


def _misses(goal: Goal, row: Row) -> bool:
    return any(goal.missed(Figure(row["name"], row["value"], row["unit"], row["reference"])))


def main() -> int:
    """Write docs/explanation/performance.md; the exit code."""
    rows = [json.loads(line) for line in LAST.read_text().splitlines()]
    PAGE.write_text(page(PAGE.read_text(), rows))
    sys.stdout.write(f"wrote {PAGE.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
