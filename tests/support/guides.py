"""The examples of the documentation: the fenced blocks of a page, and a shell, a Python and a database to run them in.

A block of shell, Python or SQL runs as it stands. Where it cannot, a comment in the line above says so, and why:

    <!-- not run: it needs Docker -->
    <!-- run by tests/parts/test_demo.py -->
    <!-- file: cells.csv -->

The last names the file that a block shows, which lies there when the blocks of its page run.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import chdir, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
from markdown_it import MarkdownIt
from support.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RUN: Final = ("sh", "console", "python", "sql")
"""The languages of the blocks that run; `console` shows a command behind a `$`, and below it what it prints."""

_MARK: Final = re.compile(r"<!-- (not run: .+|run by \S+|file: \S+) -->")
_PROMPT: Final = "$ "
SECONDS: Final = 240


@dataclass(frozen=True)
class Block:
    """One fenced block: where it begins, its language, what it holds, and the mark above it."""

    page: Path
    line: int
    language: str
    content: str
    mark: str

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def runs(self) -> bool:
        return self.language in RUN and not self.mark


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page in their order."""
    mark, marked_at = "", -1
    for token in MarkdownIt().parse(page.read_text()):
        if token.map is None:
            continue
        begins, ends = token.map
        if token.type == "html_block":
            found = _MARK.fullmatch(token.content.strip())
            mark, marked_at = (found[1], ends) if found else ("", -1)
        elif token.type == "fence":
            yield Block(page, begins + 1, token.info.strip(), token.content, mark if begins == marked_at else "")


@dataclass
class Desk:
    """A folder with a pipeline in its default places, as somebody who follows a page has it before them.

    Attributes:
        folder: where they are.
        environment: of all commands.
        replaced: what of the blocks is another's, and what stands for it here.
        done: what the blocks that ran have printed.
    """

    folder: Path
    environment: Mapping[str, str]
    replaced: dict[str, str] = field(default_factory=dict)
    done: dict[Block, str] = field(default_factory=dict)
    groups: list[int] = field(default_factory=list)

    def follow(self, page: Path) -> list[Block]:
        """Run the blocks of a page in their order, each once however often it is called.

        Returns:
            Those that run.
        """
        blocks = list(blocks_of(page))
        for block in blocks:
            if block.mark.startswith("file: "):
                (self.folder / block.mark.removeprefix("file: ")).write_text(block.content)
        names: dict[str, Any] = {}
        for block in blocks:
            if block.runs:
                self.run(block, names)
        return [block for block in blocks if block.runs]

    def run(self, block: Block, names: dict[str, Any] | None = None) -> str:
        """Run a block that has not run yet; what it printed.

        Args:
            block: of any page.
            names: what the Python of the page has defined so far.
        """
        if block not in self.done:
            self.done[block] = self._run(block, {} if names is None else names)
        return self.done[block]

    def _run(self, block: Block, names: dict[str, Any]) -> str:
        content = block.content
        for theirs, ours in self.replaced.items():
            content = content.replace(theirs, ours)
        if block.language == "python":
            exec(compile(content, block.place, "exec"), names)  # noqa: S102  # it is what the page tells to type
            return ""
        if block.language == "sql":
            return self._ask(content)
        if block.language == "console":
            commands = [line.removeprefix(_PROMPT) for line in content.splitlines() if line.startswith(_PROMPT)]
            return self.shell("\n".join(commands), block.place, may_fail=True)
        return self.shell(content, block.place)

    def shell(self, script: str, place: str, *, may_fail: bool = False) -> str:
        """Run commands; what they print, while what they leave in the background goes on."""
        said = self.folder.parent / f"{place.replace(':', '_')}.txt"
        with said.open("w") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"set -eu -o pipefail\n{script}"],
                cwd=self.folder, env=self.environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            self.groups.append(process.pid)
            code = process.wait(SECONDS)
        assert may_fail or code == 0, f"{place} exits with {code}:\n{said.read_text()}"
        return said.read_text()

    def _ask(self, queries: str) -> str:
        with chdir(self.folder), duckdb.connect("data/battery.duckdb", read_only=True) as connection:
            statements = duckdb.extract_statements(queries)
            return "\n".join(str(connection.sql(statement.query).fetchall()) for statement in statements)

    def leave(self) -> None:
        """End what still runs in the background."""
        for group in self.groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)


def activated(folder: Path, **given: str) -> dict[str, str]:
    """The environment of a shell in that folder: the `battery` of this Python on its path, and a home of its own."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    path = os.pathsep.join([str(Path(sys.prefix) / "bin"), os.environ["PATH"]])
    return {**kept, "HOME": str(folder.parent), "PATH": path, "PYTHONPATH": str(ROOT), **given}
