"""Publishing against an embedded broker: what reaches the log, what is kept, what is skipped."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import openpyxl
import pytest
import structlog
from support.bombs import BOMBS, MEMORY_BYTES
from support.delivered import decode
from support.pipeline import Pipeline
from support.places import ROOT

from kernel.base.errors import BatteryError
from kernel.base.ports import free_port
from kernel.edges.consumer import read_log
from kernel.edges.kafka import open_topic
from producer.files import Content, Refusal, checksum
from producer.publish import Options, publish
from producer.readers.sheets.titles import HEADER
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from support.delivered import Delivery

    from kernel.base.settings import Settings
    from producer.notes import LandedOffsets


@pytest.fixture(scope="module")
def workbooks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two cells in six workbooks."""
    folder = tmp_path_factory.mktemp("workbooks")
    return [
        path
        for number in (1, 2)
        for path in simulate_cell(folder, f"PUB_{number}", cycles=4, seed=number, cycles_per_file=2)
    ]


def log(settings: Settings) -> list[Delivery]:
    topic = open_topic(settings)
    return [decode(message) for poll in read_log(settings, topic, 0) for message in poll]


def kept(settings: Settings, prefix: str = "raw") -> list[str]:
    root = Path(settings.object_store.removeprefix("file://"))
    return sorted(path.relative_to(root).as_posix() for path in (root / prefix).rglob("*") if path.is_file())


def test_tests_of_a_cell_go_out_by_their_start_whatever_the_order_of_files(
    settings: Settings, workbooks: list[Path]
) -> None:
    summary = publish(settings, [str(path) for path in reversed(workbooks)], Options())
    deliveries = log(settings)
    assert (summary.workbooks, summary.messages, summary.failed) == (6, 6, [])
    starts = [(d.cell_id, d.body.readings.column("test_id")[0].as_py()) for d in deliveries]
    assert starts == sorted(starts)
    assert summary.rows == sum(delivery.body.row_count for delivery in deliveries)
    assert not any(delivery.body.faults for delivery in deliveries)


def test_the_raw_workbooks_and_their_zip_are_kept_once_by_content(
    settings: Settings, workbooks: list[Path], tmp_path: Path
) -> None:
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(workbooks[0], "PUB_1/" + workbooks[0].name)
    publish(settings, [str(archive)], Options())
    publish(settings, [str(archive), str(workbooks[0])], Options(again=True))
    sums = [(hashlib.sha256(path.read_bytes()).hexdigest(), path.name) for path in (archive, workbooks[0])]
    assert kept(settings) == sorted(f"raw/sha256={digest}/{name}" for digest, name in sums)


def test_what_is_to_be_said_of_how_a_workbook_was_read_is_logged(settings: Settings, workbooks: list[Path]) -> None:
    hidden = openpyxl.load_workbook(workbooks[0])
    hidden["Channel_1-008"].sheet_state = "hidden"
    path = workbooks[0].with_name("HIDDEN.xlsx")
    hidden.save(path)
    with structlog.testing.capture_logs() as said:
        publish(settings, [str(path)], Options())
    path.unlink()
    assert {
        "event": "sheet Channel_1-008: is hidden, and was read",
        "workbook": "HIDDEN.xlsx",
        "log_level": "info",
    } in said


def test_the_workbooks_of_a_zip_that_several_processes_read_go_out_as_those_that_one_reads(
    settings: Settings, workbooks: list[Path], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in reversed(workbooks):
            archive.write(path, path.name)
        archive.writestr("PUB_1_bad.xlsx", b"hello " * 200)
    (tmp_path / "empty.zip").write_bytes(b"")
    sources = [str(tmp_path / name) for name in ("set.zip", "empty.zip", "gone.xlsx")]
    summaries = [publish(settings, sources, Options(again=True, processes=processes)) for processes in (1, 2)]
    assert summaries[0] == summaries[1]
    assert summaries[0].workbooks == len(workbooks)
    bad, empty, gone = summaries[0].failed
    assert bad.startswith("set.zip!PUB_1_bad.xlsx: is not a workbook")
    assert ("empty.zip" in empty, "gone.xlsx" in gone) == (True, True)
    bodies = [delivery.body.readings for delivery in log(settings)]
    assert bodies[: len(bodies) // 2] == bodies[len(bodies) // 2 :]


def test_the_command_reads_with_as_many_processes_as_it_is_told(
    broker: int, workbooks: list[Path], tmp_path: Path
) -> None:
    pipeline = Pipeline(tmp_path / "pipeline", broker, {"BATTERY_TOPIC": "told"})
    said = pipeline.battery("produce", *map(str, workbooks), "--processes", "2")
    assert f"of {len(workbooks)} workbooks in {len(workbooks)} messages; 0 skipped, 0 refused" in said
    assert "0 is not in the range x>=1" in pipeline.battery("produce", str(workbooks[0]), "--processes", "0", code=2)


def test_a_workbook_that_this_log_has_is_skipped_unless_it_is_wanted_again(
    settings: Settings, workbooks: list[Path]
) -> None:
    one = [str(workbooks[0])]
    assert publish(settings, one, Options()).workbooks == 1
    again = publish(settings, one, Options())
    assert (again.workbooks, again.skipped, again.rows) == (0, 1, 0)
    assert publish(settings, one, Options(again=True)).workbooks == 1
    assert publish(settings, one, Options(cell_id="OTHER")).workbooks == 1
    assert len(log(settings)) == 3


def earlier_log(settings: Settings, workbooks: list[Path]) -> Settings:
    """Publish to a log; the settings for one that has taken its place since."""
    assert publish(settings, [str(path) for path in workbooks], Options()).workbooks == len(workbooks)
    return settings.model_copy(update={"battery_topic": f"{settings.battery_topic}_anew"})


def test_what_went_to_an_earlier_log_is_skipped_where_all_of_it_has_landed_and_only_there(
    settings: Settings, workbooks: list[Path]
) -> None:
    now = earlier_log(settings, workbooks[:3])
    topic_id = open_topic(settings).topic_id
    looks = 0

    def landed(upto: int) -> LandedOffsets:
        nonlocal looks
        looks += 1
        return {("PUB_1", topic_id, 0): upto}

    some = publish(now, [str(path) for path in workbooks[:3]], Options(landed=partial(landed, 1)))
    assert (some.skipped, some.landed, some.workbooks) == (2, 2, 1)
    assert {delivery.source_file for delivery in log(now)} == {workbooks[2].name}
    assert looks == 1, "the warehouse is asked once a batch"
    all_of_it = publish(now, [str(path) for path in workbooks[:3]], Options(landed=partial(landed, 2)))
    assert (all_of_it.skipped, all_of_it.landed, all_of_it.workbooks) == (3, 2, 0), "this log has one by now"


@pytest.mark.parametrize(
    "landed",
    [
        {},
        {("PUB_1", "another log", 0): 9},
        {("PUB_2", "", 0): 9},
        {("PUB_1", "", 1): 9},
    ],
    ids=["nothing", "of another log", "of another cell", "of another partition"],
)
def test_what_has_landed_of_something_else_has_nothing_skipped(
    settings: Settings, workbooks: list[Path], landed: dict[tuple[str, str, int], int]
) -> None:
    now = earlier_log(settings, workbooks[:1])
    topic_id = open_topic(settings).topic_id
    told = {(cell, topic or topic_id, partition): offset for (cell, topic, partition), offset in landed.items()}
    assert publish(now, [str(workbooks[0])], Options(landed=lambda: told)).workbooks == 1


def test_a_note_of_an_earlier_version_has_its_workbook_published_to_a_new_log_and_skipped_for_its_own(
    settings: Settings, workbooks: list[Path]
) -> None:
    now = earlier_log(settings, workbooks[:1])
    (note,) = kept(settings, "published")
    (Path(settings.object_store.removeprefix("file://")) / note).write_text("PUB_1_8_19_10.xlsx as PUB_1\n")
    landed = {("PUB_1", open_topic(settings).topic_id, 0): 9}
    assert publish(settings, [str(workbooks[0])], Options()).skipped == 1
    place = Path(settings.object_store.removeprefix("file://")) / note
    sha256 = hashlib.sha256(workbooks[0].read_bytes()).hexdigest()
    place.rename(place.with_name(hashlib.sha256(f"{sha256} PUB_1".encode()).hexdigest()))  # what they were called
    assert publish(settings, [str(workbooks[0])], Options()).skipped == 1
    assert publish(now, [str(workbooks[0])], Options(landed=lambda: landed)).workbooks == 1


def test_a_file_that_is_written_to_while_it_is_read_is_not_kept_under_a_checksum_that_it_has_no_more(
    settings: Settings, workbooks: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(workbooks[0], tmp_path))

    def growing(path: Path) -> Content:
        content = content_of(path)
        with path.open("ab") as file:
            file.write(b"\0")
        return content

    content_of = Content.of
    monkeypatch.setattr("producer.batch.Content.of", growing)
    summary = publish(settings, [str(path)], Options())
    assert summary.failed == [f"{path.name}: it was written to while it was being read; produce it again"]
    assert (kept(settings), log(settings)) == ([], [])


def zip_with_a_damaged_member(path: Path, good: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bad_1_1_10.xlsx", b"hello " * 2000)
        archive.write(good, good.name)
    path.write_bytes(path.read_bytes().replace(b"hello", b"hullo", 1))
    return path


def test_what_was_refused_is_left_alone_until_its_content_or_its_reader_changes_or_it_is_wanted_again(
    settings: Settings, workbooks: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "bad.xlsx").write_bytes(b"hello " * 200)
    (folder / "broken.zip").write_bytes(b"PK\x03\x04 no more")
    zip_with_a_damaged_member(folder / "half.zip", workbooks[0])
    inbox, leaving = [str(folder)], Options(leave_refused=True)
    first = publish(settings, inbox, leaving)
    assert (first.workbooks, first.left_alone) == (1, [])
    assert [line.split(":")[0].split(" is")[0] for line in first.failed] == [
        "bad.xlsx", "broken.zip", "half.zip!bad_1_1_10.xlsx",
    ]  # fmt: skip

    (folder / "bad.xlsx").touch()
    (folder / "copy.xlsx").write_bytes((folder / "bad.xlsx").read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr("producer.spool.Readers.submit", lambda *_: pytest.fail("it was read"))
        second = publish(settings, inbox, leaving)
    assert (second.failed, second.skipped) == ([], 1)
    assert sorted(second.left_alone) == sorted([first.failed[0], *first.failed])

    (folder / "bad.xlsx").write_bytes(b"hello again " * 200)
    assert len(publish(settings, inbox, leaving).failed) == 1, "its content has changed"
    assert len(publish(settings, inbox, replace(leaving, again=True)).failed) == 4, "it is wanted"
    assert len(publish(settings, inbox, Options()).failed) == 4, "whoever names a file wants it read"
    monkeypatch.setattr("producer.notes._code", lambda: "of another version")
    assert len(publish(settings, inbox, leaving).failed) == 4, "another version may take it"
    more = settings.model_copy(update={"reader_memory_bytes": settings.reader_memory_bytes + 1})
    assert len(publish(more, inbox, leaving).failed) == 4, "another limit may let it"


def undated(path: Path, sound: Path) -> Path:
    """A workbook whose dates are texts of which nothing says which number is the day."""
    book = openpyxl.load_workbook(sound)
    for name in book.sheetnames[1:]:
        del book[name]
    sheet = book.create_sheet("Channel_1-001")
    sheet.append(HEADER)
    for number in (1, 2):
        sheet.append([number, number * 30, f"10/03/2024 20:0{number}:00", 30, 1, 1, *([0] * (len(HEADER) - 6))])
    book.save(path)
    return path


def test_dates_that_nothing_decides_are_refused_until_somebody_or_the_name_says_it(
    settings: Settings, workbooks: list[Path], tmp_path: Path
) -> None:
    path, leaving = undated(tmp_path / "CELL.xlsx", workbooks[0]), Options(leave_refused=True)
    (refused,) = publish(settings, [str(path)], leaving).failed
    assert "row 2: '10/03/2024 20:01:00' may be 2024-03-10 or 2024-10-03" in refused
    assert "--dates dmy" in refused
    said = settings.model_copy(update={"date_order": "dmy"})
    assert publish(said, [str(path)], leaving).workbooks == 1
    dated = path.rename(tmp_path / "OTHER_3_20_24.xlsx")
    assert publish(settings, [str(dated)], replace(leaving, cell_id="OTHER")).workbooks == 1
    starts = {delivery.body.readings.column("test_id")[0].as_py() for delivery in log(settings)}
    assert starts == {"2024-03-10T20:01:00"}


def test_a_workbook_that_contradicts_what_is_said_is_left_alone_and_read_as_something_else_is_said(
    settings: Settings, workbooks: list[Path], tmp_path: Path
) -> None:
    path, leaving = undated(tmp_path / "CELL.xlsx", workbooks[0]), Options(leave_refused=True)
    year_first = settings.model_copy(update={"date_order": "ymd"})
    assert len(publish(year_first, [str(path)], leaving).failed) == 1
    assert len(publish(year_first, [str(path)], leaving).left_alone) == 1
    assert publish(settings.model_copy(update={"date_order": "mdy"}), [str(path)], leaving).workbooks == 1


def test_the_command_takes_the_order_of_dates(broker: int, workbooks: list[Path], tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path / "pipeline", broker, {"BATTERY_TOPIC": "dates"})
    path = str(undated(tmp_path / "CELL.xlsx", workbooks[0]))
    assert "produce it again with --dates dmy (day first) or --dates mdy" in pipeline.battery("produce", path, code=1)
    assert "published 2 rows of 1 workbooks" in pipeline.battery("produce", path, "--dates", "dmy")


def test_what_the_machine_may_be_to_blame_for_is_tried_again(
    settings: Settings, workbooks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = Refusal("killed", None)
    monkeypatch.setattr("producer.spool.Readers.outcome", lambda *_: killed)
    for _ in range(2):
        summary = publish(settings, [str(workbooks[0])], Options(leave_refused=True))
        assert (summary.failed, summary.left_alone) == (["killed"], [])


def test_nothing_is_left_in_the_temporary_folder(
    settings: Settings, workbooks: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "bad.xlsx").write_bytes(b"hello " * 200)
    archive = zip_with_a_damaged_member(tmp_path / "half.zip", workbooks[0])
    sources = [str(tmp_path / "bad.xlsx"), str(archive), str(BOMBS["far.xlsx"](tmp_path / "far.xlsx"))]
    assert len(publish(settings, sources, Options(processes=2)).failed) == 3
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_single_file_that_ends_its_reader_is_one_line_of_the_command(broker: int, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path / "pipeline", broker, {"BATTERY_TOPIC": "single"})
    bomb = BOMBS["far_in_a_part_of_another_name.xlsx"](tmp_path / "FAR_1_1_24.xlsx")
    said = pipeline.battery("produce", str(bomb), code=1)
    summary, refused = said.splitlines()[-2:]
    assert summary == "published 0 rows of 0 workbooks in 0 messages; 0 skipped, 1 refused"
    assert refused == (
        "  refused: FAR_1_1_24.xlsx: reading it took more than READER_MEMORY_BYTES=3221225472; delete far stray cells, "
        "split the workbook, or raise it"
    )


INPUTS = ROOT.parent / "shared" / "inputs" / "workbooks"


@pytest.mark.skipif(not INPUTS.is_dir(), reason="this machine has no shared inputs")
def test_the_workbooks_that_once_ended_the_process_are_a_line_each_and_the_others_go(
    settings: Settings, workbooks: list[Path]
) -> None:
    small = settings.model_copy(update={"reader_memory_bytes": MEMORY_BYTES})
    bad = [str(INPUTS / name) for name in ("named_styles.xlsx", "gap_ref.xlsx", "sst_bomb.xlsx")]
    summary = publish(small, [bad[0], str(workbooks[0]), *bad[1:], str(workbooks[1])], Options(processes=2))
    assert summary.workbooks == 2
    assert [line.split(" than")[0] for line in summary.failed] == [
        f"{Path(path).name}: reading it took more" for path in bad
    ]


def test_a_bad_workbook_leaves_nothing_and_the_others_go(
    settings: Settings, workbooks: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "batch"
    folder.mkdir()
    shutil.copy(workbooks[0], folder)
    (folder / "PUB_1_bad.xlsx").write_bytes(workbooks[1].read_bytes()[:5000])
    summary = publish(settings, [str(folder), str(tmp_path / "nowhere")], Options())
    assert summary.workbooks == 1
    assert next(line.split(":")[0] for line in summary.failed) == "PUB_1_bad.xlsx"
    assert "there is no" in summary.failed[1]
    assert {delivery.source_file for delivery in log(settings)} == {workbooks[0].name}
    assert len(kept(settings)) == 1


def test_files_that_cannot_be_read_do_not_stop_the_others(
    settings: Settings, workbooks: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "batch"
    folder.mkdir()
    for name in ("a.xlsx", "z.xlsx"):
        shutil.copy(workbooks[0], folder / name)
    (folder / "b.zip").write_bytes(b"PK\x03\x04 no more")
    (folder / "c.xlsx").write_bytes(locked(workbooks[0]))

    def failing(path: Path) -> str:
        if path.name == "a.xlsx":
            raise OSError(5, "Input/output error")
        return checksum(path)

    monkeypatch.setattr("producer.files.checksum", failing)
    summary = publish(settings, [str(folder)], Options(cell_id="a/b" * 90))
    io_error, broken_zip, password = summary.failed
    assert io_error == "a.xlsx: cannot be read: Input/output error"
    assert "b.zip is not a valid ZIP" in broken_zip
    assert "is protected by a password" in password
    assert summary.workbooks == 1
    assert {delivery.cell_id for delivery in log(settings)} == {"a/b" * 90}


def locked(path: Path) -> bytes:
    """An archive whose members say that they are encrypted."""
    raw = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = raw.find(mark)
        while at >= 0:
            raw[at + place] |= 1
            at = raw.find(mark, at + 1)
    return bytes(raw)


@pytest.mark.parametrize("name", [b"caf\xe9_8_17_10.xlsx", b"x" * 240 + b".xlsx", "Zelle ä.xlsx".encode()])
def test_a_workbook_may_be_called_anything(
    settings: Settings, workbooks: list[Path], tmp_path: Path, name: bytes
) -> None:
    folder = tmp_path / "batch"
    folder.mkdir()
    shutil.copy(workbooks[0], os.fsdecode(os.fsencode(folder) + b"/" + name))
    summary = publish(settings, [str(folder)], Options())
    assert (summary.failed, summary.workbooks) == ([], 1)
    (delivery,) = log(settings)
    assert delivery.source_file is not None
    assert delivery.source_file.endswith(".xlsx")
    assert len(kept(settings)) == 1


def test_a_member_of_a_zip_may_have_a_longer_name_than_any_file(
    settings: Settings, workbooks: list[Path], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(workbooks[0], "x" * 300 + ".xlsx")
    assert publish(settings, [str(tmp_path / "set.zip")], Options()).failed == []
    assert {delivery.source_file for delivery in log(settings)} == {"x" * 195 + ".xlsx"}


def test_a_file_that_is_gone_before_its_turn_is_one_refusal(settings: Settings, tmp_path: Path) -> None:
    assert len(publish(settings, [str(tmp_path / "gone.xlsx")], Options()).failed) == 1


@pytest.mark.parametrize("encoding", ["arrow", "json"])
def test_both_encodings_carry_the_same_readings(settings: Settings, workbooks: list[Path], encoding: str) -> None:
    from producer.readers.arbin import read_workbook  # noqa: PLC0415

    publish(settings, [str(workbooks[0])], Options(encoding=encoding))
    rows = [row for delivery in log(settings) for row in delivery.body.readings.to_pylist()]
    assert rows == read_workbook(workbooks[0]).tests[0].readings.to_pylist()


def test_a_paced_replay_sends_the_cells_side_by_side(settings: Settings, workbooks: list[Path]) -> None:
    publish(settings, [str(workbooks[0]), str(workbooks[3])], Options(speed=20_000))
    cells = [delivery.cell_id for delivery in log(settings)]
    assert cells != sorted(cells)
    assert set(cells) == {"PUB_1", "PUB_2"}


def test_a_broker_that_is_not_there_is_one_line(
    tmp_path: Path, workbooks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel.edges.kafka.CONNECT_SECONDS", 0.5)
    with pytest.raises(BatteryError, match="start one with `battery broker`"):
        publish(Pipeline(tmp_path, free_port()).settings, [str(workbooks[0])], Options())
