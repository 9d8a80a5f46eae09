"""Every benchmark on next to no rows: whether it runs and what it prints, not how long that takes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

import pytest
from support.twins.files import FILES

import benchmarks.__main__
from benchmarks.__main__ import BENCHMARKS
from benchmarks.__main__ import main as run
from benchmarks.figures import Figure
from benchmarks.goals import GOALS, Goal
from benchmarks.worker import log_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

PRINTED: Final = {
    "command": ("cli_start",),
    "commits": ("commit_small",),
    "drop": ("drop_to_page", "refresh_one_test", "refresh_idle"),
    "formats": tuple(f"read_{kind}" for kind in FILES),
    "interleaved": ("stream_json_interleaved",),
    "latency": ("latency_p99",),
    "looks": ("readers",),
    "memory": ("memory_peak",),
    "producing": ("produce",),
    "refresh": ("refresh",),
    "scale": ("scale_2",),
    "shared": ("stream_postgres", "stream_postgres_2", "scale_2_postgres", "scan_one_cell"),
    "state": ("state_per_cell", "epoch_close"),
    "streaming": ("stream_arrow", "replay", "stream_vs_rowwise"),
    "workbooks": ("workbook_read", "workbook_read_2"),
}
ELSEWHERE: Final = {"drop", "producing", "refresh", "workbooks"}
"""Those that have tests of their own, which run them."""
SLOW: Final = {"commits", "interleaved", "looks", "scale", "shared", "state"}
"""Those that start much and share what they measure by with the others."""


def test_every_claim_is_measured() -> None:
    assert PRINTED.keys() == BENCHMARKS.keys()
    assert sorted(name for names in PRINTED.values() for name in names) == sorted(GOALS)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.nightly) if name in SLOW else name
        for name in sorted(PRINTED.keys() - ELSEWHERE)
    ],
)
def test_a_benchmark_measures_what_it_claims(name: str, tmp_path: Path) -> None:
    figures: list[Figure] = []
    BENCHMARKS[name](figures.append, tmp_path, tiny=True)
    assert tuple(figure.name for figure in figures) == PRINTED[name]
    assert all(figure.value > 0 and figure.reference > 0 for figure in figures)


@pytest.mark.parametrize(
    ("goal", "value", "missed"),
    [
        (Goal("a", "b", ratio_least=2), 4.0, []),
        (Goal("a", "b", ratio_least=2), 3.8, ["stream_arrow: ratio 1.9 is less than 2"]),
        (Goal("a", "b", ratio_most=2), 4.2, ["stream_arrow: ratio 2.1 is more than 2"]),
        (Goal("a", "b", least=5, ratio_least=1), 4.0, ["stream_arrow: rows/s 4 is less than 5"]),
        (Goal("a", "b", most=3), 4.0, ["stream_arrow: rows/s 4 is more than 3"]),
    ],
)
def test_a_goal_tells_what_a_figure_misses(goal: Goal, value: float, missed: list[str]) -> None:
    assert list(goal.missed(Figure("stream_arrow", value, "rows/s", reference=2.0))) == missed


@pytest.mark.parametrize(("value", "code"), [(1.5, 0), (1.51, 1)])
def test_a_goal_that_is_missed_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], value: float, code: int
) -> None:
    def measure(show: object, _folder: Path, *, tiny: bool) -> None:
        assert not tiny
        assert callable(show)
        show(Figure("refresh", value, "s", reference=1.0))

    monkeypatch.setitem(BENCHMARKS, "refresh", measure)
    assert _code(["refresh"]) == code
    assert ("missed: refresh: ratio 1.51 is more than 1.5" in capfd.readouterr().err) == bool(code)


@pytest.mark.parametrize(("arguments", "kept"), [([], True), (["refresh"], False), (["--tiny"], False)])
def test_a_whole_run_alone_is_kept_with_its_date_commit_and_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], kept: bool
) -> None:
    def measure(show: Callable[[Figure], None], _folder: Path, *, tiny: bool) -> None:
        assert tiny == ("--tiny" in arguments)
        show(Figure("refresh", 3.0, "s", reference=2.0))

    monkeypatch.setattr(benchmarks.__main__, "BENCHMARKS", {"refresh": measure})
    monkeypatch.setattr(benchmarks.__main__, "LAST", tmp_path / "last.jsonl")
    assert _code(arguments) == 0
    assert (tmp_path / "last.jsonl").exists() == kept
    if kept:
        (line,) = (tmp_path / "last.jsonl").read_text().splitlines()
        row = json.loads(line)
        assert row == row | {"name": "refresh", "value": 3.0, "unit": "s", "reference": 2.0, "ratio": 1.5}
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["date"])
        assert re.fullmatch(r"[0-9a-f]{7,}(-dirty)?", row["commit"])
        assert re.match(r"\d+ processors \(.+\), \d+ GiB, Python 3\.", row["machine"])


def test_a_worker_that_fails_has_no_figure(tmp_path: Path) -> None:
    with log_of(tmp_path, ()) as log, pytest.raises(RuntimeError, match="LANES"):
        log.stream("worker", LANES="none")


def _code(arguments: Sequence[str]) -> object:
    return run(list(arguments), standalone_mode=False) or 0
