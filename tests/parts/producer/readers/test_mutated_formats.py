"""Files of every format damaged at random: each ends in a table, or in one line that its reader foresaw."""

from __future__ import annotations

import io
import random
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.twins.cell import TwinCell, twin_cell
from support.twins.files import FILES

from kernel.base.settings import Settings
from producer.files import Content, Refusal, WorkbookFile
from producer.readers.registry import ReaderClashError, reader_of
from producer.spool import Job, Readers, spool_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BY_DAY = 8
WORDS = [b"", b"-", b"nan", b"1e400", b"-1", b"99999999999999999999", b"2024-02-30", b"\xff", b"\0", b",", b"\t", b"\n"]


def damaged(content: bytes, chance: random.Random) -> bytes:
    """A file with some bytes changed, a piece lost, moved or put twice, or a word in place of another."""
    raw = bytearray(content)
    match chance.randrange(5):
        case 0:
            for _ in range(chance.choice([1, 4, 64])):
                raw[chance.randrange(len(raw))] = chance.randrange(256)
        case 1:
            del raw[chance.randrange(len(raw)) :]
        case 2:
            first, last = sorted(chance.sample(range(len(raw)), 2))
            piece, place = raw[first:last], chance.randrange(len(raw))
            if chance.random() < 0.5:
                del raw[first:last]
            raw[place:place] = piece
        case 3:
            place = chance.randrange(len(raw))
            del raw[place : place + chance.choice([1, 7, 300])]
        case _:
            place = chance.randrange(len(raw))
            raw[place : place + chance.randrange(12)] = chance.choice(WORDS)
    return bytes(raw)


def damaged_within(content: bytes, chance: random.Random) -> bytes:
    """The same, mostly within a member of a package, which is packed again."""
    if not content.startswith(b"PK") or chance.random() < 0.25:
        return damaged(content, chance)
    with zipfile.ZipFile(io.BytesIO(content)) as package:
        members = {name: package.read(name) for name in package.namelist()}
    name = chance.choice(sorted(members))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as package:
        for member, inner in members.items():
            package.writestr(member, damaged(inner, chance) if member == name and inner else inner)
    return target.getvalue()


@pytest.fixture(scope="module")
def cell() -> TwinCell:
    return twin_cell(1)


@pytest.mark.parametrize("kind", list(FILES))
def test_damaged_files_end_in_a_table_or_in_one_line(
    kind: str, cell: TwinCell, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    good = FILES[kind](tmp_path, cell)
    content, (stem, _, ending) = good.read_bytes(), good.name.partition(".")
    asked = request.config.getoption("--mutated-files")
    count = asked if asked >= 200 else BY_DAY

    def jobs() -> Iterator[Job | Refusal]:
        for seed in range(count):
            folder = tmp_path / str(seed)
            folder.mkdir()
            path = folder / f"{stem}_{seed}.{ending}"
            path.write_bytes(damaged_within(content, random.Random(f"{kind} {seed}")))  # noqa: S311
            try:
                reader = reader_of(path, path.name)
            except ReaderClashError as error:
                pytest.fail(f"{path.name}: {error}")
            if reader is not None:
                file = WorkbookFile(Content.of(path), path.name, path.name)
                yield Job(file, reader.entry_point, folder)

    settings = Settings(reader_timeout_seconds=60.0)
    lines = []
    with Readers(1, settings, tmp_path) as readers, closing(spool_all(jobs(), readers)) as outcomes:
        for job, outcome in outcomes:
            assert job is not None
            if isinstance(outcome, Refusal):
                assert outcome.line.startswith(job.file.name)
                assert "\n" not in outcome.line
                lines.append(outcome.line)
    print(f"{kind}: {len(lines)} of {count} refused")  # noqa: T201
    assert [line for line in lines if "its reader failed over it" in line] == []
