"""Downloads from a server on this machine that can resume, cannot, breaks off, or has changed its mind."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from battery.broker import free_port
from producer.datasets import CALCE, DownloadError, dataset_url, download

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = b"PK\x03\x04" + bytes(range(256)) * 4096


@dataclass
class Server:
    url: str = ""
    content: bytes = CONTENT
    etag: str = '"one"'
    ranges: bool = True
    break_after: int | None = None
    status: int | None = None
    requests: list[str | None] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.requests.append(wanted)
            if state.status:
                self.send_error(state.status)
                return
            start = 0
            if wanted and state.ranges and self.headers.get("If-Range") in {None, state.etag}:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                self.send_response(206)
            else:
                self.send_response(200)
            body = state.content[start:]
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", state.etag)
            self.end_headers()
            self.wfile.write(body if state.break_after is None else body[: state.break_after])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_port}/sets/CS2%2035.zip?x=1"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


def test_a_download_is_kept_with_its_checksum_and_not_repeated(server: Server, tmp_path: Path) -> None:
    path = download(server.url, tmp_path)
    assert path.read_bytes() == CONTENT
    sums = path.with_name(f"{path.name}.sha256").read_text()
    assert sums == f"{hashlib.sha256(CONTENT).hexdigest()}  {path.name}\n"
    assert download(server.url, tmp_path) == path
    assert len(server.requests) == 1


def test_a_file_that_lost_its_checksum_is_downloaded_again(server: Server, tmp_path: Path) -> None:
    download(server.url, tmp_path).write_bytes(b"rotten")
    assert download(server.url, tmp_path).read_bytes() == CONTENT


def test_a_download_that_broke_off_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.break_after = 300_000
    with pytest.raises(DownloadError, match="run the command again to go on"):
        download(server.url, tmp_path)
    server.break_after = None
    assert download(server.url, tmp_path).read_bytes() == CONTENT
    assert server.requests[1] is not None
    assert int(server.requests[1].removeprefix("bytes=").removesuffix("-")) > 0


@pytest.mark.parametrize("change", ["the server knows no ranges", "the file is another one now"])
def test_a_download_that_cannot_go_on_starts_over(server: Server, tmp_path: Path, change: str) -> None:
    server.break_after = 300_000
    with pytest.raises(DownloadError):
        download(server.url, tmp_path)
    server.break_after = None
    if change == "the server knows no ranges":
        server.ranges = False
    else:
        server.etag, server.content = '"two"', b"PK\x03\x04" + CONTENT[::-1]
    assert download(server.url, tmp_path).read_bytes() == server.content


def test_a_refusal_is_one_line_with_its_status(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(DownloadError, match="answers 404 Not Found") as caught:
        download(server.url, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_machine_without_the_network_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"cannot download http://127.0.0.1:.*run the command again") as caught:
        download(f"http://127.0.0.1:{free_port()}/x.zip", tmp_path)
    assert "\n" not in str(caught.value)


def test_the_file_name_of_a_url_stays_inside_the_folder(server: Server, tmp_path: Path) -> None:
    path = download(f"{server.url}/..%2f..%2fCS2%2035.zip", tmp_path)
    assert path.parent.parent == tmp_path
    assert path.name == "CS2_35.zip"


def test_two_urls_that_end_alike_are_two_files(server: Server, tmp_path: Path) -> None:
    first = download(server.url, tmp_path)
    server.content = b"PK\x03\x04another"
    second = download(server.url.replace("sets", "other"), tmp_path)
    assert first.name == second.name == "CS2_35.zip"
    assert (first.read_bytes(), second.read_bytes()) == (CONTENT, server.content)


def test_a_page_in_place_of_a_file_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>please log in</html>"
    with pytest.raises(DownloadError, match="sent neither a ZIP nor a workbook"):
        download(server.url, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    server.content = CONTENT
    assert download(server.url, tmp_path).read_bytes() == CONTENT


def test_a_download_folder_that_cannot_be_one_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"DOWNLOAD_DIR=.*file: Not a directory"):
        download(server.url, tmp_path / "file")


def test_a_memory_that_was_being_written_when_the_machine_went_down_starts_the_download_over(
    server: Server, tmp_path: Path
) -> None:
    server.break_after = 300_000
    with pytest.raises(DownloadError):
        download(server.url, tmp_path)
    (memory,) = tmp_path.rglob("*.part.json")
    memory.write_text('{"url": "ht')
    server.break_after = None
    assert download(server.url, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["http://a..b/x.zip", f"http://{'a' * 64}.example/x.zip"])
def test_a_host_that_cannot_be_one_is_one_line(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="cannot download") as caught:
        download(url, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_name_of_a_url_is_cut_to_what_a_folder_holds(server: Server, tmp_path: Path) -> None:
    path = download(server.url.replace("CS2%2035", "x" * 250), tmp_path)
    assert path.name == "x" * 100 + ".zip"


def test_the_data_sets_are_known_by_name_whatever_the_case() -> None:
    assert len(CALCE) == 13
    assert dataset_url("cs2_35") == "https://web.calce.umd.edu/batteries/data/CS2_35.zip"
    assert dataset_url("CX2_16") == "https://web.calce.umd.edu/batteries/data/CX2_16.zip"
    assert dataset_url("CS2_99") is None
