"""What a producer puts on record of the files that it does not take."""

from __future__ import annotations

import shutil
import threading
import zipfile
from typing import TYPE_CHECKING

import pytest

from kernel.edges.file_records import FileRecords, FileState
from kernel.edges.objects import open_store
from producer.inbox import watch_folder
from producer.publish import Options, publish
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.base.settings import Settings
    from kernel.edges.file_records import FileRecord


@pytest.fixture(scope="module")
def workbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, *_ = simulate_cell(tmp_path_factory.mktemp("workbooks"), "SEEN", cycles=1, seed=1)
    return made


def records(settings: Settings) -> dict[str, FileRecord]:
    return {record.file: record for record in FileRecords(open_store(settings)).all()}


def test_every_file_that_is_not_taken_is_on_record_and_no_longer_once_it_is_taken(
    settings: Settings, inbox: Path, workbook: Path
) -> None:
    (inbox / "damaged.xlsx").write_bytes(b"PK\x03\x04 no more")
    (inbox / "empty.xlsx").touch()
    (inbox / "broken.zip").write_bytes(b"PK\x03\x04 no more")
    with zipfile.ZipFile(inbox / "half!.zip", "w") as archive:
        archive.writestr("bad.xlsx", b"hello")
        archive.writestr("readme.txt", b"hello")
        archive.writestr("__MACOSX/x.txt", b"hello")
        archive.write(workbook, workbook.name)
    (inbox / "notes.txt").write_text("hello")
    for name in (".hidden", "~$open.xlsx", "Thumbs.db", ".DS_Store", "desktop.ini"):
        (inbox / name).write_text("hello")
    summary = publish(settings, [str(inbox)], Options("CELL_9"))
    assert (summary.workbooks, len(summary.failed)) == (1, 4)
    assert (sorted(summary.passed_over), summary.others) == (["half!.zip!readme.txt", "notes.txt"], 2)
    found = records(settings)
    assert {name: record.state for name, record in found.items()} == {
        "damaged.xlsx": FileState.REFUSED,
        "empty.xlsx": FileState.REFUSED,
        "broken.zip": FileState.REFUSED,
        "half!.zip!bad.xlsx": FileState.REFUSED,
        "half!.zip!readme.txt": FileState.PASSED_OVER,
        "notes.txt": FileState.PASSED_OVER,
    }
    assert found["damaged.xlsx"].cell_id == "CELL_9"
    assert found["damaged.xlsx"].reason in summary.failed[1]
    assert "it is a text file of an unknown format" in found["notes.txt"].reason

    for name in ("damaged.xlsx", "empty.xlsx"):
        shutil.copy(workbook, inbox / name)
    for name in ("broken.zip", "half!.zip"):
        with zipfile.ZipFile(inbox / name, "w") as archive:
            archive.write(workbook, "bad.xlsx")
    (inbox / "notes.txt").unlink()
    assert publish(settings, [str(inbox)], Options("CELL_9")).failed == []
    assert records(settings) == {}


def test_what_is_left_alone_by_a_watch_stays_on_record_with_when_it_was_last_seen(
    settings: Settings, inbox: Path
) -> None:
    (inbox / "bad.xlsx").write_bytes(b"hello")
    leaving = Options(leave_refused=True)
    publish(settings, [str(inbox)], leaving)
    assert publish(settings, [str(inbox)], leaving).left_alone != []
    assert records(settings)["bad.xlsx"].count == 2
    assert not list(open_store(settings).list("refused/"))


def test_a_download_that_fails_is_on_record_without_its_secrets_until_it_works(
    settings: Settings, workbook: Path, httpserver_workbook: str
) -> None:
    gone = f"{httpserver_workbook}/gone.xlsx?token=hush"
    publish(settings, [gone, str(workbook)], Options())
    (record,) = records(settings).values()
    assert record.state is FileState.REFUSED
    assert "gone.xlsx" in record.file
    assert "hush" not in f"{record}"
    assert "404" in record.reason


@pytest.fixture
def httpserver_workbook(tmp_path: Path) -> object:
    from functools import partial  # noqa: PLC0415
    from http.server import HTTPServer, SimpleHTTPRequestHandler  # noqa: PLC0415

    folder = tmp_path / "served"
    folder.mkdir()
    server = HTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_watch_says_once_what_it_passes_over_and_puts_it_on_record(
    settings: Settings, inbox: Path, workbook: Path
) -> None:
    stop = threading.Event()
    watching = watch_folder(settings, inbox, Options(), stop)
    (inbox / "notes.txt").write_text("hello")
    first = next(watching)
    assert (first.passed_over, first.workbooks) == (["notes.txt"], 0)
    assert records(settings)["notes.txt"].state is FileState.PASSED_OVER
    (inbox / "more.dat").write_text("hello")
    shutil.copy(workbook, inbox / "arriving")
    (inbox / "arriving").rename(inbox / workbook.name)
    rest = [next(watching)]
    while not rest[-1].workbooks:
        rest.append(next(watching))
    stop.set()
    assert [name for summary in rest for name in summary.passed_over if name != "arriving"] == ["more.dat"]
    assert {name for name in records(settings) if name != "arriving"} == {"notes.txt", "more.dat"}
