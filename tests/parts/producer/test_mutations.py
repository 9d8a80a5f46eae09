"""Workbooks and ZIPs mutated at random, all published in one batch: whatever they are, each ends in one of two ways."""

from __future__ import annotations

import io
import random
import re
import tempfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from support.bombs import MEMORY_BYTES, xls, xlsx
from support.children import Largest, most_allowed
from support.delivered import decode
from support.pipeline import Pipeline

from kernel.edges.consumer import read_log
from kernel.edges.kafka import open_topic
from producer.publish import Options, publish
from producer.readers.sheets.titles import HEADER
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Bases = dict[str, bytes]

ROW = (1.0, 30.0, 45000.0, 30.0, 1.0, 1.0, 0.5, 3.7, 0.01, 0.0, 0.03, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
NUMBER = re.compile(rb"\d+")
LETTERS = re.compile(rb"(?<=r=\")[A-Z]+")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    """Small good files, by the ending of each kind."""
    folder = tmp_path_factory.mktemp("bases")
    (simulated, *_) = simulate_cell(folder, "BASE", cycles=1, seed=1, cycles_per_file=1)
    cells = "".join(f'<c r="{chr(65 + column)}2"><v>{value}</v></c>' for column, value in enumerate(ROW))
    plain = xlsx(folder / "plain.xlsx", f'<row r="2">{cells}</row>', texts="<si><t>a text</t></si>")
    old = xls(folder / "old.xls", {(1, column): value for column, value in enumerate(ROW)})
    assert len(HEADER) == len(ROW)
    return {
        "simulated.xlsx": simulated.read_bytes(),
        "plain.xlsx": plain.read_bytes(),
        "old.xls": old.read_bytes(),
        "set.zip": zipped({"a.xlsx": plain.read_bytes(), "b.xls": old.read_bytes(), "c.xlsx": simulated.read_bytes()}),
    }


def zipped(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def with_other_bytes(content: bytes, chance: random.Random) -> bytes:
    raw = bytearray(content)
    for _ in range(chance.choice([1, 4, 64])):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(raw)


def with_other_numbers(content: bytes, chance: random.Random) -> bytes:
    """Numbers and columns that are far larger than they were, as a stray cell or a wrong count has."""
    pattern, others = chance.choice(
        [(NUMBER, [b"0", b"7", b"1048576", b"99999999999", b"9" * 400]), (LETTERS, [b"A", b"XFD", b"ZZZZ"])]
    )
    found = list(pattern.finditer(content))
    for place in sorted(chance.sample(found, min(len(found), 3)), key=lambda match: -match.start()):
        content = content[: place.start()] + chance.choice(others) + content[place.end() :]
    return content


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def with_a_piece_moved(content: bytes, chance: random.Random) -> bytes:
    first, last = sorted(chance.sample(range(len(content)), 2))
    piece, place = content[first:last], chance.randrange(len(content))
    rest = content[:first] + content[last:] if chance.random() < 0.5 else content
    return rest[:place] + piece * chance.choice([1, 2]) + rest[place:]


CHANGES: list[Callable[[bytes, random.Random], bytes]] = [
    with_other_bytes, with_other_numbers, cut, with_a_piece_moved,
]  # fmt: skip


def mutated(content: bytes, chance: random.Random) -> bytes:
    """A file with something changed in it, or in a member of it that is packed again, as deep as there are any."""
    if content.startswith(b"PK") and chance.random() < 0.75:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = chance.choice(list(members))
        return zipped(members | {name: mutated(members[name], chance)})
    return chance.choice(CHANGES)(content, chance)


def test_mutated_files_are_published_or_refused_in_one_line(
    bases: Bases, broker: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    scratch, inbox = tmp_path / "tmp", tmp_path / "inbox"
    for folder in (scratch, inbox):
        folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    names = []
    for seed in range(request.config.getoption("--mutated-files")):
        chance = random.Random(seed)  # noqa: S311  # the same for every run
        kind = chance.choice(list(bases))
        names.append(f"MUT{seed}_{kind}")
        (inbox / names[-1]).write_bytes(mutated(bases[kind], chance))
    settings = Pipeline(tmp_path / "pipeline", broker, {"BATTERY_TOPIC": "mutated"}).settings
    settings = settings.model_copy(update={"reader_memory_bytes": MEMORY_BYTES, "reader_timeout_seconds": 60.0})
    with Largest() as largest:
        summary = publish(settings, [str(inbox)], Options(processes=2))
    topic = open_topic(settings)
    published = {decode(message).source_file for poll in read_log(settings, topic, 0) for message in poll}
    in_zips = {"a.xlsx", "b.xls", "c.xlsx"}
    refused = [re.split(r"[!:,]| is (?:no|refused)| holds", line)[0] for line in summary.failed]
    for name in names:
        lines = refused.count(name)
        if name.endswith("set.zip"):
            assert lines <= len(in_zips)
        else:
            # Some are alike: the bytes of the second one are another cell's by then.
            copies = sum(remark.startswith(f"{name}: skipped, its bytes were published") for remark in summary.remarks)
            assert lines + copies + (name in published) == 1, name
    assert {name for name in refused if name not in names} == set()
    assert published <= {*names, *in_zips}
    assert all("\n" not in line and "Traceback" not in line for line in summary.failed)
    assert list(scratch.iterdir()) == []
    allowed = most_allowed(tmp_path, MEMORY_BYTES)
    assert largest.bytes <= allowed
    print(f"{summary.workbooks} of {len(names)} files' workbooks published, {len(refused)} refused")  # noqa: T201
    print(f"at most {largest.bytes / 2**20:.0f} of {allowed / 2**20:.0f} MiB of addresses a child")  # noqa: T201
    for line in summary.failed:
        print(line)  # noqa: T201
