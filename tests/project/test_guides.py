"""The examples of the guides run: each block of shell, Python and SQL, in the order of its page, on a small pipeline.

The pipeline is the one that the first block of "Your own data" makes, of three simulated cells.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.guides import RUN, Desk, activated, blocks_of
from support.pipeline import take_unit_tests_as_passed
from support.places import ROOT

import battery
from kernel.base.ports import free_port
from kernel.base.settings import Settings
from producer.readers.mapping import mapping_of
from producer.readers.mapping_file import MappingFile
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUIDES: Final = ROOT / "docs" / "guides"
PAGES: Final = sorted(GUIDES.glob("*.md"))
BLOCKS: Final = [block for page in PAGES for block in blocks_of(page)]

NOT_RUN: Final = {
    "it needs Docker": 3,
    "it needs a package index": 1,
    "it needs a package index and an MQTT broker": 1,
    "it needs a PostgreSQL server": 2,
    "it needs Trino": 1,
    "it needs two hosts": 2,
    "it serves until it is stopped": 4,
}
"""How many blocks do not run anywhere, by why; one that is left out by accident changes the figures."""

SHOWN: Final = ("text", "json", "toml", "yaml", "{literalinclude}")
"""The languages of blocks that are no commands."""

CELLS: Final = ("CS2_35", "CS2_36", "CS2_37")
TABLE: Final = "Zeit / s;Strom / A;Spannung / V\n" + "".join(
    f"{10 * at};0.5;{3.5 + at / 100:.2f}\n" for at in range(20)
)
"""What the pages call export.csv."""

EXPORTED: Final = "2010-08-16T134457"
"""The test of CS2_35 that a page names, in the name of a file."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The folder of somebody who has their files in ~/lab/CS2_35, and has followed the first block."""
    home, port = tmp_path_factory.mktemp("home"), free_port()
    folder, workbooks = home / "project", home / "lab" / "CS2_35"
    folder.mkdir()
    workbooks.mkdir(parents=True)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "export.csv").write_text(TABLE)
    for seed, cell in enumerate(CELLS):
        simulate_cell(workbooks, cell, cycles=6, seed=seed)
    take_unit_tests_as_passed(Settings(warehouse=str(folder / "data" / "battery.duckdb")))
    given = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}", "METRICS_PORT": "0", "COMMIT_INTERVAL_SECONDS": "1"}
    replaced = {"battery broker": f"battery broker --port {port}", "/mnt/": f"{home}/mnt/"}
    desk = Desk(folder, activated(folder, **given), replaced)
    try:
        assert "everything adds up" in desk.run(next(blocks_of(GUIDES / "your-data.md")))
        tests = battery.open(folder / "data").tests("CS2_35")["test_id"]
        desk.replaced[EXPORTED] = min(tests).replace(":", "")
        yield desk
    finally:
        desk.leave()


@pytest.fixture
def seated(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The same, with this process in its folder, as Python of a page runs in it."""
    monkeypatch.chdir(desk.folder)
    for name, value in desk.environment.items():
        monkeypatch.setenv(name, value)
    return desk


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.runs for block in blocks_of(page))], ids=lambda page: page.stem
)
def test_the_examples_of_a_guide_run_as_they_stand(seated: Desk, page: Path) -> None:
    assert seated.follow(page)


def test_every_line_of_the_doctor_that_the_guide_shows_is_one_that_it_prints(seated: Desk) -> None:
    (block,) = seated.follow(GUIDES / "doctor.md")
    shown, printed = (
        {line.split()[1] for line in text.splitlines() if re.match(r"(ok|warning|fault) ", line)}
        for text in (block.content, seated.done[block])
    )
    assert len(shown) > 3
    assert shown - printed == set()


def test_every_line_of_status_that_the_guide_of_storage_shows_is_one_that_it_prints(seated: Desk) -> None:
    status, *_ = seated.follow(GUIDES / "storage.md")
    shown, printed = (
        {line.split()[0] for line in text.splitlines() if line.strip()}
        for text in (status.content.partition("\n")[2], seated.done[status])
    )
    assert shown == {"storage", "growth"}
    assert shown - printed == set()


def test_every_question_that_the_guide_of_the_notebook_lists_is_answered(seated: Desk) -> None:
    table = [
        line.split("|")[1] for line in (GUIDES / "notebook.md").read_text().splitlines() if line.startswith("| `lab.")
    ]
    questions = [question for cell in table for question in re.findall(r"`(lab\.[^`]+)`", cell) if "…" not in question]
    assert len(questions) > 8
    names: dict[str, Any] = {"lab": battery.open(seated.folder / "data")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cells have fewer cycles than those that are asked for
        for question in questions:
            assert eval(question, names) is not None, question  # noqa: S307  # it is what the page tells to type


def test_the_mapping_that_the_guide_shows_is_one_that_is_read() -> None:
    (block,) = [block for block in blocks_of(GUIDES / "your-data.md") if block.language == "yaml"]
    assert mapping_of(MappingFile("export.csv.mapping.yaml", block.content)).columns


def test_every_block_says_its_language_and_one_that_does_not_run_here_says_why() -> None:
    assert {block.language.split()[0] for block in BLOCKS if block.language} <= {*RUN, *SHOWN}
    assert [block.place for block in BLOCKS if not block.language] == []
    marked = Counter(block.mark.removeprefix("not run: ") for block in BLOCKS if block.mark.startswith("not run: "))
    assert marked == NOT_RUN
    elsewhere = [block.mark.removeprefix("run by ") for block in BLOCKS if block.mark.startswith("run by ")]
    assert [path for path in elsewhere if not (ROOT / path).is_file()] == []
    assert sum(block.runs for block in BLOCKS) + sum(marked.values()) + len(elsewhere) == sum(
        block.language in RUN for block in BLOCKS
    )
