"""Files of tests in the order of how long they take, so that none of the long ones begins when all else is done.

`durations.json` beside the tests holds the seconds of each file as they were last measured with --write-durations.
Processes take whole files (`--dist loadfile`), as what is dear is made once a file: a broker, a log, a built warehouse.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from support.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEASURED = ROOT / "tests" / "durations.json"
UNKNOWN_SECONDS = 10
"""What a file is taken for that nobody has measured."""


def long_ones_first(files: Sequence[str], seconds: Mapping[str, float]) -> list[str]:
    """Files by how long they take, the longest first; equal ones stay in their order."""
    return sorted(files, key=lambda file: -seconds.get(file, UNKNOWN_SECONDS))


class Durations:
    """What each file took in this run, set-up and teardown included, in seconds."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid.partition("::")[0]] += report.duration  # type: ignore[assignment]  # counts may be floats

    def pytest_sessionfinish(self) -> None:
        known = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
        known |= {file: round(seconds, 1) for file, seconds in self.seconds.items()}
        there = {file: seconds for file, seconds in known.items() if (ROOT / file).exists()}
        MEASURED.write_text(json.dumps(dict(sorted(there.items())), indent=2) + "\n")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-durations", action="store_true", help="Keep how long each file took in tests/durations.json."
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--write-durations") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Durations(), "durations")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not hasattr(config, "workerinput"):
        return  # one process runs them in the order in which they are asked for
    by_file: dict[str, list[pytest.Item]] = {}
    for item in items:
        by_file.setdefault(item.nodeid.partition("::")[0], []).append(item)
    seconds = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    items[:] = [item for file in long_ones_first(list(by_file), seconds) for item in by_file[file]]
