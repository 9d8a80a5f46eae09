"""Publishing against an embedded broker: what reaches the log, what is kept, what is skipped."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import Pipeline

from battery.errors import BatteryError
from battery.message import decode
from battery.partition import read_log
from battery.topic import open_topic
from producer.publish import Options, publish
from producer.raw import checksum
from producer.simulate import simulate_cell
from producer.watch import watch_folder

if TYPE_CHECKING:
    from battery.message import Delivery
    from battery.settings import Settings


@pytest.fixture(scope="module")
def workbooks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two cells in six workbooks."""
    folder = tmp_path_factory.mktemp("workbooks")
    return [
        path
        for number in (1, 2)
        for path in simulate_cell(folder, f"PUB_{number}", cycles=4, seed=number, cycles_per_file=2)
    ]


@pytest.fixture
def settings(broker: int, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    topic = f"publish_{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}"
    return Pipeline(tmp_path / "pipeline", broker, {"BATTERY_TOPIC": topic}).settings


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
    assert bad.startswith("PUB_1_bad.xlsx: is not a workbook")
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

    monkeypatch.setattr("producer.publish.checksum", failing)
    summary = publish(settings, [str(folder)], Options(cell_id="a/b" * 90))
    io_error, broken_zip, password = summary.failed
    assert io_error == "a.xlsx: cannot be read: Input/output error"
    assert "b.zip is no sound ZIP" in broken_zip
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


def test_an_empty_inbox_is_watched_without_a_complaint(
    settings: Settings, workbooks: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    arrival = threading.Timer(0.5, shutil.copy, [workbooks[0], folder / "arriving.xlsx"])
    arrival.start()
    stop = threading.Event()
    first = next(watch_folder(settings, folder, Options(), stop))
    stop.set()
    assert not any("no workbook" in line for line in first.failed)


def test_a_file_that_arrives_while_the_folder_is_first_published_is_not_missed(
    settings: Settings, workbooks: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    shutil.copy(workbooks[0], folder)

    def slow(*arguments: Any) -> Any:
        summary = publish(*arguments)
        if not (folder / workbooks[1].name).exists():
            shutil.copy(workbooks[1], folder)
        return summary

    monkeypatch.setattr("producer.watch.publish", slow)
    stop = threading.Event()
    watching = watch_folder(settings, folder, Options(), stop)
    assert [next(watching).workbooks, next(watching).workbooks] == [1, 1]
    stop.set()


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
    from producer.workbook import read_workbook  # noqa: PLC0415

    publish(settings, [str(workbooks[0])], Options(encoding=encoding))
    rows = [row for delivery in log(settings) for row in delivery.body.readings.to_pylist()]
    assert rows == read_workbook(workbooks[0]).tests[0].readings.to_pylist()


def test_a_paced_replay_sends_the_cells_side_by_side(settings: Settings, workbooks: list[Path]) -> None:
    publish(settings, [str(workbooks[0]), str(workbooks[3])], Options(speed=20_000))
    cells = [delivery.cell_id for delivery in log(settings)]
    assert cells != sorted(cells)
    assert set(cells) == {"PUB_1", "PUB_2"}


def test_a_file_dropped_into_a_watched_folder_is_published(
    settings: Settings, workbooks: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    shutil.copy(workbooks[0], folder)
    stop = threading.Event()
    watching = watch_folder(settings, folder, Options(), stop)
    assert next(watching).workbooks == 1
    shutil.copy(workbooks[1], tmp_path / "arriving.tmp")
    arrival = threading.Timer(0.5, (tmp_path / "arriving.tmp").rename, [folder / workbooks[1].name])
    arrival.start()
    assert next(watching).workbooks == 1
    stop.set()
    assert next(watching, None) is None
    assert {delivery.source_file for delivery in log(settings)} == {workbooks[0].name, workbooks[1].name}


def test_a_broker_that_is_not_there_is_one_line(tmp_path: Path, workbooks: list[Path]) -> None:
    from battery.broker import free_port  # noqa: PLC0415

    with pytest.raises(BatteryError, match="start one with `battery broker`"):
        publish(Pipeline(tmp_path, free_port()).settings, [str(workbooks[0])], Options())
