"""The examples of the guides run: each block of shell, Python and SQL, in the order of its page, on a small pipeline.

The pipeline is the one that the first block of "Your own data" makes.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

import pytest
from support.guides import RUN, Block, Desk, activated, blocks_of
from support.places import ROOT

from kernel.base.ports import free_port
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUIDES: Final = ROOT / "docs" / "guides"
PAGES: Final = sorted(GUIDES.glob("*.md"))
BLOCKS: Final = [block for page in PAGES for block in blocks_of(page)]

CELLS: Final = ("CS2_35", "CS2_36", "CS2_37")
TABLE: Final = "Zeit / s;Strom / A;Spannung / V\n" + "".join(f"{10 * at};0,5;{3.5 + at / 100:.2f}\n" for at in range(20))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The folder of somebody who has their files in ~/lab/CS2_35, and has followed the first block."""
    home = tmp_path_factory.mktemp("home")
    folder, workbooks = home / "project", home / "lab" / "CS2_35"
    folder.mkdir()
    workbooks.mkdir(parents=True)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "export.csv").write_text(TABLE.replace(",", "."))
    for seed, cell in enumerate(CELLS):
        simulate_cell(workbooks, cell, cycles=6, seed=seed)
    port = free_port()
    given = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}", "METRICS_PORT": "0", "COMMIT_INTERVAL_SECONDS": "1"}
    replaced = {"battery broker": f"battery broker --port {port}", "/mnt/": f"{home}/mnt/"}
    desk = Desk(folder, activated(folder, **given), replaced)
    try:
        desk.run(next(blocks_of(GUIDES / "your-data.md")))
        yield desk
    finally:
        desk.leave()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.runs for block in blocks_of(page))], ids=lambda page: page.stem
)
def test_the_examples_of_a_guide_run_as_they_stand(desk: Desk, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.folder)
    for name, value in desk.environment.items():
        monkeypatch.setenv(name, value)
    desk.follow(page)
