"""Downloads from a server on this machine that can resume, cannot, breaks off, or has changed its mind."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from kernel.base.ports import free_port
from producer.answer import DownloadError, DownloadLimitError, DownloadLimits
from producer.datasets import CALCE, dataset_url
from producer.download import PARTIAL_DAYS, download

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = b"PK\x03\x04" + bytes(range(256)) * 4096


LIMITS = DownloadLimits(max_bytes=len(CONTENT) + 4, idle_seconds=60, total_seconds=60)


@dataclass
class Server:
    url: str = ""
    content: bytes = CONTENT
    etag: str = '"one"'
    ranges: bool = True
    break_after: int | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    tells_length: bool = True
    stalls: str | None = None
    requests: list[str | None] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    state: Server

    def do_GET(self) -> None:
        state, wanted = self.state, self.headers.get("Range")
        state.requests.append(wanted)
        if state.stalls == "before its head":
            state.ended.wait()
            return
        if state.status:
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.close_connection = True
            return
        start = 0
        if wanted and state.ranges and self.headers.get("If-Range") in {None, state.etag}:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        body = state.content[start:]
        if state.tells_length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", state.etag)
        for name, value in state.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        with suppress(OSError):  # the other side may have had enough
            self.send(body if state.break_after is None else body[: state.break_after])

    def send(self, body: bytes) -> None:
        if self.state.stalls is None:
            self.wfile.write(body)
        elif self.state.stalls == "in the middle":
            self.wfile.write(body[: len(body) // 2])
            self.state.ended.wait()
        else:  # a trickle
            for place in range(len(body)):
                self.wfile.write(body[place : place + 1])
                if self.state.ended.wait(0.01):
                    return

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"state": state}))
    state.url = f"http://127.0.0.1:{http.server_port}/sets/CS2%2035.zip?x=1"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield state
    state.ended.set()
    http.shutdown()
    http.server_close()
    thread.join()


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_download_is_kept_with_its_checksum_and_not_repeated(server: Server, tmp_path: Path) -> None:
    path = download(server.url, tmp_path, LIMITS)
    assert path.read_bytes() == CONTENT
    sums = path.with_name(f"{path.name}.sha256").read_text()
    assert sums == f"{hashlib.sha256(CONTENT).hexdigest()}  {path.name}\n"
    assert download(server.url, tmp_path, LIMITS) == path
    assert len(server.requests) == 1


def test_a_file_that_lost_its_checksum_is_downloaded_again(server: Server, tmp_path: Path) -> None:
    download(server.url, tmp_path, LIMITS).write_bytes(b"rotten")
    assert download(server.url, tmp_path, LIMITS).read_bytes() == CONTENT


def test_a_download_that_broke_off_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.break_after = 300_000
    with pytest.raises(DownloadError, match="run the command again to go on"):
        download(server.url, tmp_path, LIMITS)
    server.break_after = None
    assert download(server.url, tmp_path, LIMITS).read_bytes() == CONTENT
    assert server.requests[1] is not None
    assert int(server.requests[1].removeprefix("bytes=").removesuffix("-")) > 0


@pytest.mark.parametrize("change", ["the server knows no ranges", "the file is another one now"])
def test_a_download_that_cannot_go_on_starts_over(server: Server, tmp_path: Path, change: str) -> None:
    server.break_after = 300_000
    with pytest.raises(DownloadError):
        download(server.url, tmp_path, LIMITS)
    server.break_after = None
    if change == "the server knows no ranges":
        server.ranges = False
    else:
        server.etag, server.content = '"two"', b"PK\x03\x04" + CONTENT[::-1]
    assert download(server.url, tmp_path, LIMITS).read_bytes() == server.content


def test_a_refusal_is_one_line_with_its_status(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(DownloadError, match="answers 404 Not Found") as caught:
        download(server.url, tmp_path, LIMITS)
    assert "\n" not in str(caught.value)


def test_a_machine_without_the_network_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"cannot download http://127.0.0.1:.*run the command again") as caught:
        download(f"http://127.0.0.1:{free_port()}/x.zip", tmp_path, LIMITS)
    assert "\n" not in str(caught.value)


def test_the_file_name_of_a_url_stays_inside_the_folder(server: Server, tmp_path: Path) -> None:
    path = download(f"{server.url}/..%2f..%2fCS2%2035.zip", tmp_path, LIMITS)
    assert path.parent.parent == tmp_path
    assert path.name == "CS2_35.zip"


def test_two_urls_that_end_alike_are_two_files(server: Server, tmp_path: Path) -> None:
    first = download(server.url, tmp_path, LIMITS)
    server.content = b"PK\x03\x04another"
    second = download(server.url.replace("sets", "other"), tmp_path, LIMITS)
    assert first.name == second.name == "CS2_35.zip"
    assert (first.read_bytes(), second.read_bytes()) == (CONTENT, server.content)


def test_a_page_in_place_of_a_file_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>please log in</html>"
    with pytest.raises(DownloadError, match="sent neither a ZIP nor a workbook"):
        download(server.url, tmp_path, LIMITS)
    assert files_in(tmp_path) == []
    server.content = CONTENT
    assert download(server.url, tmp_path, LIMITS).read_bytes() == CONTENT


def test_a_download_folder_that_cannot_be_one_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"DOWNLOAD_DIR=.*file: Not a directory"):
        download(server.url, tmp_path / "file", LIMITS)


def test_a_memory_that_was_being_written_when_the_machine_went_down_starts_the_download_over(
    server: Server, tmp_path: Path
) -> None:
    server.break_after = 300_000
    with pytest.raises(DownloadError):
        download(server.url, tmp_path, LIMITS)
    (memory,) = tmp_path.rglob("*.part.json")
    memory.write_text('{"url": "ht')
    server.break_after = None
    assert download(server.url, tmp_path, LIMITS).read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["http://a..b/x.zip", f"http://{'a' * 64}.example/x.zip"])
def test_a_host_that_cannot_be_one_is_one_line(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="cannot download") as caught:
        download(url, tmp_path, LIMITS)
    assert "\n" not in str(caught.value)


def test_a_name_of_a_url_is_cut_to_what_a_folder_holds(server: Server, tmp_path: Path) -> None:
    path = download(server.url.replace("CS2%2035", "x" * 250), tmp_path, LIMITS)
    assert path.name == "x" * 100 + ".zip"


def test_the_data_sets_are_known_by_name_whatever_the_case() -> None:
    assert len(CALCE) == 13
    assert dataset_url("cs2_35") == "https://web.calce.umd.edu/batteries/data/CS2_35.zip"
    assert dataset_url("CX2_16") == "https://web.calce.umd.edu/batteries/data/CX2_16.zip"
    assert dataset_url("CS2_99") is None


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_file_beyond_the_limit_of_size_is_refused_and_nothing_of_it_is_kept(
    server: Server, tmp_path: Path, tells_length: bool
) -> None:
    server.tells_length = tells_length
    server.content = CONTENT + b"12345"
    server.break_after = 0 if tells_length else None  # what is announced is enough
    with pytest.raises(DownloadLimitError, match=f"has more than DOWNLOAD_MAX_BYTES={LIMITS.max_bytes} bytes"):
        download(server.url, tmp_path, LIMITS)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("stalls", ["before its head", "in the middle"])
def test_a_server_that_falls_silent_is_given_up_and_nothing_of_the_file_is_kept(
    server: Server, tmp_path: Path, stalls: str
) -> None:
    server.stalls = stalls
    with pytest.raises(DownloadLimitError, match=r"has sent nothing for DOWNLOAD_IDLE_SECONDS=0\.5"):
        download(server.url, tmp_path, replace(LIMITS, idle_seconds=0.5))
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("stalls", ["a trickle", "in the middle"])
def test_a_download_that_never_ends_is_given_up_and_nothing_of_the_file_is_kept(
    server: Server, tmp_path: Path, stalls: str
) -> None:
    server.stalls = stalls
    with pytest.raises(DownloadLimitError, match="takes longer than DOWNLOAD_TIMEOUT_SECONDS=1"):
        download(server.url, tmp_path, replace(LIMITS, total_seconds=1))
    assert files_in(tmp_path) == []


def test_a_file_that_is_sent_packed_is_not_unpacked_in_memory_but_refused(server: Server, tmp_path: Path) -> None:
    server.headers["Content-Encoding"] = "gzip"
    with pytest.raises(DownloadError, match=r"sends it packed \(gzip\)"):
        download(server.url, tmp_path, LIMITS)


def test_the_secrets_of_a_url_are_told_nobody_and_written_nowhere(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = server.url.replace("http://", "http://ann:hush-1@").replace("x=1", "token=hush-2") + "#hush-3"
    server.break_after = 300_000
    failures = []
    for change in ({"break_after": 300_000}, {"status": 404}, {"break_after": None, "status": None}):
        for name, value in change.items():
            setattr(server, name, value)
        try:
            download(url, tmp_path, LIMITS)
        except DownloadError as error:
            failures.append(str(error))
        assert not any("hush" in path.read_text("latin-1") for path in tmp_path.rglob("*") if path.is_file())
    assert ["http://***@127.0.0.1" in line and "hush" not in line for line in failures] == [True, True]
    assert server.requests[2] is not None, "it goes on where it broke off all the same"
    said = capsys.readouterr()
    assert "hush" not in said.out + said.err


@pytest.mark.parametrize("url", ["http://ann:hush@a..b/x?hush=1", "http://ann:hush@127.0.0.1:{port}/x.zip?hush=1"])
def test_a_host_that_does_not_answer_is_named_without_the_secrets_of_the_url(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError) as caught:
        download(url.format(port=free_port()), tmp_path, LIMITS)
    assert "hush" not in str(caught.value)


def test_a_place_that_a_server_names_instead_is_told_without_its_secrets(server: Server, tmp_path: Path) -> None:
    server.status, server.headers = 302, {"Location": "ftp://ann:hush@lab.example/x.zip?key=hush"}
    with pytest.raises(DownloadError, match=r"ftp://\*\*\*@lab\.example/x\.zip") as caught:
        download(server.url, tmp_path, LIMITS)
    assert "hush" not in str(caught.value)


def test_a_memory_of_an_earlier_version_with_its_url_is_written_anew(server: Server, tmp_path: Path) -> None:
    server.break_after = 300_000
    with pytest.raises(DownloadError):
        download(server.url, tmp_path, LIMITS)
    (memory,) = tmp_path.rglob("*.part.json")
    memory.write_text('{"url": "http://ann:hush@127.0.0.1/", "version": "one"}')
    with pytest.raises(DownloadError):
        download(server.url, tmp_path, LIMITS)
    assert "hush" not in memory.read_text()


def test_a_partial_download_that_nobody_has_gone_on_with_is_removed(server: Server, tmp_path: Path) -> None:
    server.break_after = 300_000
    with pytest.raises(DownloadError):
        download(server.url, tmp_path, LIMITS)
    before = files_in(tmp_path)
    old = time.time() - (PARTIAL_DAYS + 1) * 86_400
    for path in tmp_path.rglob("*.part*"):
        os.utime(path, (old, old))
    server.break_after = None
    download(server.url.replace("sets", "other"), tmp_path, LIMITS)
    assert before == ["CS2_35.zip.part", "CS2_35.zip.part.json"]
    assert files_in(tmp_path) == ["CS2_35.zip", "CS2_35.zip.sha256"]


def test_two_that_want_the_same_file_at_once_fetch_it_once(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        paths = {task.result() for task in [threads.submit(download, server.url, tmp_path, LIMITS) for _ in range(4)]}
    assert len(paths) == len(server.requests) == 1
    assert paths.pop().read_bytes() == CONTENT
