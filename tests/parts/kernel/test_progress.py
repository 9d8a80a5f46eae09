"""What long work shows of itself: a bar on a terminal, lines elsewhere, and what it came to in the end."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from support.pipeline import Pipeline, run_battery
from support.terminal import on_terminal

import dataflows.summary
from dataflows.summary import Tally
from kernel.base.progress import Progress
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from support.terminal import Seen

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\S+Z \[\w+ *\] \S.*")
CELL_CYCLES = 4


@pytest.fixture(scope="module")
def workbooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workbooks")
    simulate_cell(folder, "BAR_1", cycles=CELL_CYCLES, seed=1, cycles_per_file=2)
    return folder


@pytest.fixture
def place(broker: int, tmp_path: Path, request: pytest.FixtureRequest) -> Pipeline:
    """A pipeline with a topic of its own."""
    topic = re.sub(r"\W", "_", request.node.name)[:200]
    return Pipeline(tmp_path, broker, {"BATTERY_TOPIC": topic})


def require_whole_lines(seen: Seen, *bars: str) -> None:
    """The terminal shows whole log lines and, of the bars, what they came to; nothing else."""
    rest = [line for line in seen.screen if not LOG_LINE.fullmatch(line)]
    assert [line.split()[0] for line in rest] == list(bars), seen.screen


def separately(place: Pipeline, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command to its end without a terminal, its output and its errors apart."""
    return run_battery(place.folder, place.environment | environment, *arguments)


def test_on_a_terminal_bars_show_rate_and_time_left_and_log_lines_stay_whole(place: Pipeline, workbooks: Path) -> None:
    seen = on_terminal(place.folder, place.environment, "produce", str(workbooks), "--speed", "5000")
    assert seen.code == 0, seen.drawn
    reading, publishing = [line for line in seen.screen if not LOG_LINE.fullmatch(line)]
    assert re.fullmatch(r"reading ━+ 3/3 [\d.,]+ workbooks/s 0:00:00 left", reading), reading
    assert re.fullmatch(r"publishing ━+ (\d+)/\1 [\d.,]+ rows/s 0:00:00 left", publishing), publishing
    on_the_way = re.findall(r"publishing \S+ (\d+)/(\d+) [1-9][\d.,]* rows/s \d:\d\d:\d\d left", seen.plain)
    assert any(done != total for done, total in on_the_way), seen.plain  # and not only once all is done
    assert seen.stdout.startswith("published ")

    again = on_terminal(place.folder, place.environment, "produce", str(workbooks))
    assert sum("skipped: this log already has it" in line for line in again.screen) == 3
    require_whole_lines(again, "reading", "publishing")

    streamed = on_terminal(place.folder, place.environment, "stream", "--until-end")
    assert streamed.code == 0, streamed.drawn
    (bar,) = [line for line in streamed.screen if not LOG_LINE.fullmatch(line)]
    assert re.fullmatch(r"streaming ━+ (\d+)/\1 [\d.,]+ messages/s 0:00:00 left", bar), bar
    assert any(" committed " in line and " rows=" in line for line in streamed.screen)
    require_whole_lines(streamed, "streaming")

    replayed = on_terminal(place.folder, place.environment, "replay", "--from-beginning")
    assert re.search(r"replaying ━+ (\d+)/\1 [\d.,]+ rows/s 0:00:00 left", "\n".join(replayed.screen)), replayed.drawn
    assert "identical" in replayed.stdout


def test_without_a_terminal_nothing_is_drawn_and_lines_tell_the_rate(place: Pipeline, workbooks: Path) -> None:
    produced = separately(place, "produce", str(workbooks))
    streamed = separately(place, "stream", "--until-end")
    for done, unit in ((produced, "rows"), (streamed, "messages")):
        assert done.returncode == 0
        assert "\x1b" not in done.stdout + done.stderr
        assert "━" not in done.stderr
        assert re.search(rf"done=\d+ +per_second=\d+ +total=\d+ +unit={unit}", done.stderr), done.stderr


def test_a_stream_that_ends_says_what_it_came_to_and_it_is_what_landed(place: Pipeline, workbooks: Path) -> None:
    separately(place, "produce", str(workbooks))
    said = separately(place, "stream", "--until-end").stdout.splitlines()
    ((rows,),) = place.query("select count(*) from battery_ts_cleaned")
    ((commits,),) = place.query('select count(distinct "commit") from internal._commits')
    reasons = place.query("select reason, sum(row_count)::int from battery_quarantine group by reason")
    assert reasons, "the simulated lab exports a test twice"
    refused = sum(count for _, count in reasons)
    assert re.fullmatch(
        rf"landed {rows} rows and quarantined {refused} of 3 messages in {commits} commits; [\d.]+ s, \d+ rows/s",
        said[0],
    ), said
    assert said[1:] == [f"  quarantined as {reason}: {count}" for reason, count in reasons]
    nothing = separately(place, "stream", "--until-end").stdout
    assert nothing.startswith("landed 0 rows and quarantined 0 of 0 messages in 0 commits; ")


def test_with_logs_as_json_every_line_on_stderr_is_json_even_on_a_terminal(place: Pipeline, workbooks: Path) -> None:
    (workbooks.parent / "bad.xlsx").write_bytes(b"no workbook" * 100)
    environment = place.environment | {"LOG_FORMAT": "json"}
    for arguments, code in (
        (["produce", str(workbooks), str(workbooks.parent / "bad.xlsx")], 1),
        (["stream", "--until-end"], 0),
        (["replay"], 2),
        (["stream", "--sideways"], 2),
    ):
        seen = on_terminal(place.folder, environment, *arguments)
        assert seen.code == code, seen.drawn
        for line in seen.drawn.splitlines():
            assert isinstance(json.loads(line), dict)
        assert ('"complaint": true' in seen.drawn) == (code != 0)


def test_the_bar_learns_its_total_once_every_partition_has_been_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int | None]] = []

    class Recorded(Progress):
        def expect(self, total: int | None) -> None:
            told.append(("expect", total))

        def advance(self, count: int) -> None:
            told.append(("advance", count))

    monkeypatch.setattr(dataflows.summary, "Progress", Recorded)
    tally = Tally()
    tally.expect(0)
    tally.expect(1)
    with tally.shown(until_end=True, lines=False):
        tally.read(0, 10, 90)
        tally.read(1, 0, None)
        tally.read(1, 5, 20)
        tally.read(0, 90, 3)  # three more have been written meanwhile
        tally.read(1, 0, 0)
    assert told == [
        ("advance", 10),
        ("expect", 125), ("advance", 5),
        ("expect", 128), ("advance", 90),
        ("expect", 108),
    ]  # fmt: skip
