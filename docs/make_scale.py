"""Write the tables of the page on scale: arithmetic over figures that `make bench-scale` has measured.

Nothing is taken from elsewhere: what a fleet needs is its readings a second times a measured figure, or a straight line
through two. `--pictures` also draws the courses of the simulation, which needs Chrome or Chromium.
"""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.fleet.channels import ARROW_60, JSON_1, JSON_10
from benchmarks.fleet.growth import FEW, MANY
from benchmarks.fleet.means import MEANS
from benchmarks.fleet.simulation import CHANNELS, EPOCH_SECONDS, FEWER
from benchmarks.fleet.sizes import COMMITS, FEWER_COMMITS
from benchmarks.fleet.sizes import FLEETS as MEASURED_FLEETS
from sink.care.compact import MAX_ROWS, TARGET_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmarks.fleet.channels import Mix

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "explanation" / "scale.md"
LAST: Final = ROOT / "benchmarks" / "fleet" / "last.jsonl"
COURSES: Final = ROOT / "benchmarks" / "fleet" / "courses.json"
PICTURES: Final = ROOT / "docs" / "pictures"

FLEETS: Final = (100, 1_000, 100_000)
"""Channels that the page answers for."""

YEAR_SECONDS: Final = 365.25 * 86_400
WINDOW_SECONDS: Final = 600
CYCLE_SECONDS: Final = 4 * 3_600
"""How long a cycle takes on average: an assumption of the page."""

RETENTION_SECONDS: Final = 7 * 86_400
"""How long the log keeps messages: an assumption of the page."""

BUSY: Final = 0.5
"""The most that a worker should be at work: the other half catches up after an outage as long as this one lasts."""

HOUR: Final = 3_600

MIXES: Final = (JSON_1, JSON_10, ARROW_60)


@dataclass(frozen=True)
class Figures:
    """Measured figures: each has a value and a reference, both of the same run."""

    rows: Mapping[str, dict[str, Any]]

    def value(self, name: str) -> float:
        """What was measured."""
        return float(self.rows[name]["value"])

    def reference(self, name: str) -> float:
        """What was measured beside it."""
        return float(self.rows[name]["reference"])

    def line(self, name: str, many: float, few: float, at: float) -> float:
        """The straight line through both, where the value is that of `many` and the reference that of `few`.

        >>> Figures({"begin": {"value": 3.0, "reference": 1.0}}).line("begin", many=20, few=10, at=30)
        5.0
        """
        slope = (self.value(name) - self.reference(name)) / (many - few)
        return self.value(name) + slope * (at - many)

    def reaches(self, name: str, many: float, few: float, most: float) -> float:
        """Where that line reaches `most`.

        >>> Figures({"begin": {"value": 3.0, "reference": 1.0}}).reaches("begin", many=20, few=10, most=5)
        30.0
        """
        slope = (self.value(name) - self.reference(name)) / (many - few)
        return many + (most - self.value(name)) / slope if slope > 0 else math.inf


@dataclass(frozen=True)
class Needs:
    """What a fleet of so many channels needs, each measuring once a second."""

    channels: int
    figures: Figures

    @property
    def rows_a_year(self) -> float:
        """Readings."""
        return self.channels * YEAR_SECONDS

    def workers(self, mix: Mix) -> int:
        """Worker processes, each at work for at most `BUSY` of the time."""
        return max(1, math.ceil(self.channels / (BUSY * self.figures.value(f"fleet_{mix.name}"))))

    def partitions(self, mix: Mix) -> int:
        """Partitions: twice the workers, since there cannot be more of these later than partitions."""
        return 2 * self.workers(mix)

    def log_bytes(self, mix: Mix) -> float:
        """Bytes that the log holds."""
        return self.channels * RETENTION_SECONDS * self.figures.value(f"bytes_log_{mix.name}")

    @property
    def object_bytes_a_year(self) -> float:
        """Bytes of the objects of landed rows, once they are merged."""
        return self.rows_a_year * self.figures.reference(self._object)

    @property
    def object_bytes_a_year_unmerged(self) -> float:
        """Bytes of the objects of landed rows, as commits of 10 s left them."""
        return self.rows_a_year * self.figures.value(self._object)

    @property
    def _object(self) -> str:
        """The figure of the objects of about as many channels."""
        nearest = min(MEASURED_FLEETS, key=lambda channels: abs(channels - self.channels))
        return f"bytes_object_{nearest}"

    @property
    def commits_a_year(self) -> float:
        """Commits of one lane, each with an object."""
        return YEAR_SECONDS / EPOCH_SECONDS

    @property
    def merged_a_year(self) -> float:
        """Objects after `battery compact`: as large as it makes them."""
        return max(self.object_bytes_a_year / TARGET_BYTES, self.rows_a_year / MAX_ROWS)

    @property
    def file_bytes_a_year(self) -> float:
        """Bytes of the landed rows in a DuckDB file, as with fewer channels: more of them repeat their courses."""
        return self.rows_a_year * self.figures.reference("bytes_battery_ts_cleaned")

    @property
    def windows_a_year(self) -> float:
        """Rows of `_windows`."""
        return self.channels * YEAR_SECONDS / WINDOW_SECONDS

    @property
    def cycles_a_year(self) -> float:
        """Rows of `_cycles`."""
        return self.channels * YEAR_SECONDS / CYCLE_SECONDS

    @property
    def control_bytes_a_year(self) -> float:
        """Bytes of the control tables of a DuckDB file after a year, with the commits that `battery compact` leaves."""
        size = self.figures.value
        return (
            self.channels * (size("bytes_cell_state") + size("bytes_progress"))
            + self.windows_a_year * size("bytes_windows")
            + self.cycles_a_year * size("bytes_cycles")
            + self.merged_a_year * size("bytes_commits")
        )

    @property
    def judge_bytes_a_year(self) -> float:
        """The same in PostgreSQL: what every commit changes with the room that this takes, the rest packed."""
        changed, packed = self.figures.value, self.figures.reference
        return (
            self.channels * (changed("pg_bytes_cell_state") + changed("pg_bytes_progress"))
            + self.windows_a_year * packed("pg_bytes_windows")
            + self.cycles_a_year * packed("pg_bytes_cycles")
            + self.merged_a_year * packed("pg_bytes_commits")
        )

    @property
    def refresh_seconds(self) -> float:
        """Time of processors for the refresh after an hour."""
        return self.figures.line("refresh_new", MANY, FEW, self.channels * HOUR)


def read(path: Path = LAST) -> Figures:
    """The figures that were kept."""
    return Figures({row["name"]: row for row in map(json.loads, path.read_text().splitlines())})


def tables(figures: Figures) -> dict[str, str]:
    """The tables of the page by name."""
    needs = [Needs(channels, figures) for channels in FLEETS]
    return {"needs": _needs(needs), "limits": _limits(figures), "figures": _figures(figures)}


def page(text: str, figures: Figures) -> str:
    """The page with its tables made again; what is written around them stays.

    Raises:
        ValueError: the page has no place for a table.
    """
    for name, table in tables(figures).items():
        place = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end of {name} -->)", re.DOTALL)
        if not place.search(text):
            raise ValueError(f"the page has no place for a table: <!-- {name} --> … <!-- end of {name} -->")
        text = place.sub(lambda _, table=table: f"\n{table}\n\n", text)  # type: ignore[misc]
    return text


def _needs(needs: Sequence[Needs]) -> str:
    lines: list[tuple[str, Callable[[Needs], str]]] = [
        ("readings a second", lambda need: f"{need.channels:,}"),
        ("readings a year", lambda need: _short(need.rows_a_year)),
        *((f"workers, {mix.words}", lambda need, mix=mix: f"{need.workers(mix):,}") for mix in MIXES),
        (f"partitions, {JSON_10.words}", lambda need: f"{need.partitions(JSON_10):,}"),
        *((f"log of a week, {mix.words}", lambda need, mix=mix: _bytes(need.log_bytes(mix))) for mix in MIXES),
        ("objects in the bucket after a year, merged", lambda need: _short(need.merged_a_year)),
        ("the same, one a lane every 10 s", lambda need: _short(need.commits_a_year)),
        ("bytes of the objects of a year, merged", lambda need: _bytes(need.object_bytes_a_year)),
        ("the same, as commits of 10 s left them", lambda need: _bytes(need.object_bytes_a_year_unmerged)),
        ("rows of a year in a DuckDB file", lambda need: _bytes(need.file_bytes_a_year)),
        ("control tables of a year in a DuckDB file", lambda need: _bytes(need.control_bytes_a_year)),
        ("PostgreSQL after a year", lambda need: _bytes(need.judge_bytes_a_year)),
        ("windows of a year", lambda need: _short(need.windows_a_year)),
        ("refresh after an hour, time of processors", lambda need: _time(need.refresh_seconds)),
    ]
    head = ["", *(f"{need.channels:,} channels" for need in needs)]
    return _table([head, *([name, *(of(need) for need in needs)] for name, of in lines)])


def _limits(figures: Figures) -> str:
    refresh = figures.reaches("refresh_new", MANY, FEW, HOUR) / HOUR
    rows = [
        ["what reaches its end", "measured", "end", "channels"],
        [
            "hourly refresh",
            (
                f"{_time(figures.reference('refresh_new'))} with {FEW:,} new readings, "
                f"{_time(figures.value('refresh_new'))} with {MANY:,}"
            ),
            "an hour of one processor",
            _short(refresh),
        ],
    ]
    for mix in MIXES:
        pace = figures.value(f"fleet_{mix.name}")
        rows.append(
            [f"one worker, {mix.words}", f"{_short(pace)} rows/s", "at work half of the time", _short(BUSY * pace)]
        )
    close = figures.reaches("fleet_close_json_1", CHANNELS, FEWER, EPOCH_SECONDS)
    memory = figures.reaches("fleet_memory_json_1", CHANNELS, FEWER, 8_000)
    commits = figures.reaches("manifest_read", COMMITS, FEWER_COMMITS, 60)
    held = figures.reaches("manifest_memory", COMMITS, FEWER_COMMITS, 8_000)
    rows += [
        [
            "epoch of one worker",
            f"{figures.value('fleet_close_json_1'):.2f} s to close with {CHANNELS:,} channels",
            "10 s",
            _short(close),
        ],
        [
            "memory of one worker",
            (
                f"{figures.value('fleet_memory_json_1'):,.0f} MB with {CHANNELS:,} channels, "
                f"{figures.reference('fleet_memory_json_1'):,.0f} MB with {FEWER:,}"
            ),
            "8 GB",
            _short(memory),
        ],
        [
            "one DuckDB file",
            f"{figures.reference('bytes_battery_ts_cleaned'):.0f} B a reading",
            "1 TB after a year",
            _short(1e12 / (figures.reference("bytes_battery_ts_cleaned") * YEAR_SECONDS)),
        ],
        [
            "PostgreSQL",
            f"{figures.reference('pg_bytes_windows'):.0f} B a window",
            "1 TB after a year",
            _short(1e12 / Needs(1, figures).judge_bytes_a_year),
        ],
        [
            "manifest that is not merged",
            f"{figures.value('manifest_read'):.2f} s for {COMMITS:,} commits",
            "a minute to read it",
            f"any: after {commits * EPOCH_SECONDS / 86_400:,.0f} days of one lane",
        ],
        [
            "the same",
            (
                f"{figures.value('manifest_memory'):,.0f} MB for {COMMITS:,} commits, "
                f"{figures.reference('manifest_memory'):,.0f} MB for {FEWER_COMMITS:,}"
            ),
            "8 GB to read it",
            f"any: after {held * EPOCH_SECONDS / 86_400:,.0f} days of one lane",
        ],
    ]
    return _table(rows)


def _figures(figures: Figures) -> str:
    head = ["figure", "what", "measured", "reference", "ratio", "run"]
    lines = [
        [
            f"`{name}`",
            MEANS[name][0],
            f"{_number(row['value'])} {row['unit']}",
            f"{_number(row['reference'])} {row['unit']}: {MEANS[name][1]}",
            f"{row['ratio']:.3g}",
            f"{row['date']} `{row['commit']}`",
        ]
        for name, row in figures.rows.items()
        if name in MEANS
    ]
    machines = sorted({row["machine"] for row in figures.rows.values()})
    return "\n".join([_table([head, *lines]), "", f"On {'; '.join(machines)}."])


def _table(rows: Iterable[Sequence[str]]) -> str:
    head, *lines = (f"| {' | '.join(row)} |" for row in rows)
    columns = head.count("|") - 1
    return "\n".join([head, f"|{' --- |' * columns}", *lines])


def _number(value: float) -> str:
    return f"{float(f'{value:.3g}'):,.10g}"


def _short(value: float) -> str:
    """Two significant digits, with a word for large numbers.

    >>> _short(3_155_760.0), _short(3.2e12), _short(950)
    ('3.2 million', '3.2e+12', '950')
    """
    for least, word in ((1e12, ""), (1e9, " billion"), (1e6, " million")):
        if value >= least:
            return f"{value:.2g}" if not word else f"{float(f'{value / least:.2g}'):,.10g}{word}"
    return f"{float(f'{value:.2g}'):,.10g}"


def _bytes(value: float) -> str:
    for least, unit in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if value >= least:
            return f"{float(f'{value / least:.2g}'):,.10g} {unit}"
    return f"{value:,.0f} B"


def _time(seconds: float) -> str:
    for least, unit in ((86_400, "days"), (HOUR, "h"), (60, "min")):
        if seconds >= 2 * least:
            return f"{float(f'{seconds / least:.2g}'):,.10g} {unit}"
    return f"{seconds:.0f} s"


def draw(courses: Sequence[Mapping[str, Any]]) -> None:
    """Draw lag and memory of the simulated workers over time."""
    import kaleido  # noqa: PLC0415  # only the pictures need it
    import plotly.graph_objects as go  # noqa: PLC0415
    from plotly.subplots import make_subplots  # noqa: PLC0415

    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for colour, mix in zip(("#4c6ef5", "#e8590c", "#2b8a3e"), MIXES, strict=True):
        for course in (course for course in courses if course["mix"] == mix.name):
            large = course["channels"] == CHANNELS
            line = {"color": colour, "dash": "solid" if large else "dot", "width": 2}
            name = f"{course['words']}, {course['channels']:,} channels"
            seconds = list(range(1, len(course["lag_seconds"]) + 1))
            for row, values in ((1, course["lag_seconds"]), (2, course["memory_mb"])):
                figure.add_trace(
                    go.Scatter(x=seconds, y=values, name=name, line=line, showlegend=row == 1, mode="lines"),
                    row=row,
                    col=1,
                )
    figure.update_yaxes(title_text="lag, s", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title_text="memory, MB", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(title_text="time of the fleet, s", row=2, col=1)
    figure.update_layout(
        template="plotly_white",
        font={"size": 14},
        legend={"orientation": "h", "y": -0.14},
        margin={"t": 20, "r": 20, "l": 70, "b": 40},
    )
    kaleido.write_fig_sync(
        figure,
        path=PICTURES / "scale.svg",
        opts={"format": "svg", "width": 900, "height": 680},
        kopts={"mathjax": False},
    )


def main(arguments: Sequence[str]) -> int:
    """Write docs/explanation/scale.md, and its picture when `--pictures` is given; the exit code."""
    PAGE.write_text(page(PAGE.read_text(), read()))
    sys.stdout.write(f"wrote {PAGE.relative_to(ROOT)}\n")
    if "--pictures" in arguments:
        draw(json.loads(COURSES.read_text()))
        sys.stdout.write("wrote docs/pictures/scale.svg\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
