from __future__ import annotations

import json
import logging
import sys
import threading
import warnings

import pytest
import structlog

from kernel.base.logs import configure_logging
from kernel.base.masking import mask_urls, redact
from kernel.base.output import complain, relay_line


def test_values_whose_name_is_a_secrets_name_are_hidden() -> None:
    event = redact(None, "info", {"event": "x", "kafka_sasl_password": "a", "MINIO_SECRET_KEY": "b", "token": "c"})
    assert event == {"event": "x", "kafka_sasl_password": "***", "MINIO_SECRET_KEY": "***", "token": "***"}


def test_a_token_inside_a_text_is_hidden() -> None:
    event = redact(None, "info", {"event": "attach md:db?motherduck_token=abc.def&x=1 failed"})
    assert event["event"] == "attach md:db?motherduck_token=***&x=1 failed"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://lab.example:8443/sets/CS2_35.zip", "https://lab.example:8443/sets/CS2_35.zip"),
        ("https://ann:hush@lab.example/x.zip", "https://***@lab.example/x.zip"),
        ("https://hush@lab.example/x.zip", "https://***@lab.example/x.zip"),
        ("http://ann:hush@[::1]:80/x.zip", "http://***@[::1]:80/x.zip"),
        ("https://lab.example/x.zip?token=hush&a=1", "https://lab.example/x.zip?***"),
        ("https://lab.example/x.zip#hush", "https://lab.example/x.zip#***"),
        ("https://ann:hu/sh@lab.example/x.zip", "https://***@lab.example/x.zip"),
        ("https://ann:hu?sh@lab.example/x.zip", "https://***"),
        ("https://ann:12?hush@lab.example/x.zip", "https://***"),
        ("https://ann:hu#sh@lab.example/x.zip", "https://***"),
        ("ftp:/ann:hush@lab.example", "ftp:/***@lab.example"),
        ("file:///data/objects", "file:///data/objects"),
        ("127.0.0.1:9092", "127.0.0.1:9092"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret_in_it(url: str, shown: str) -> None:
    assert mask_urls(f"cannot download {url} to data: no route") == f"cannot download {shown} to data: no route"
    assert redact(None, "info", {"event": "x", "source": url})["source"] == shown


def test_json_lines_go_to_stderr_and_leave_stdout_to_results(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    structlog.get_logger().info("committed", rows=3, password="hush")
    out, err = capfd.readouterr()
    line = json.loads(err)
    assert (line["event"], line["rows"], line["level"], line["password"]) == ("committed", 3, "info", "***")
    assert out == ""


def test_what_libraries_log_and_warn_of_becomes_lines_of_json_in_the_order_in_which_it_came(
    capfd: pytest.CaptureFixture[str],
) -> None:
    configure_logging("json")
    structlog.get_logger().info("before")
    logging.getLogger("urllib3").warning("retrying %s: token=%s\nand again", "https://ann:hush@lab.example/", "abc")
    warnings.warn("soon gone: password=abc", DeprecationWarning, stacklevel=1)
    try:
        int("secret_key=abc'")
    except ValueError:
        logging.getLogger("minio").exception("failed")
    logging.getLogger("urllib3").info("a connection was opened")
    structlog.get_logger().info("after")
    out, err = capfd.readouterr()
    lines = [json.loads(line) for line in err.splitlines()]
    assert [line["level"] for line in lines] == ["info", "warning", "warning", "error", "info"]
    before, retrying, warning, failed, after = lines
    assert (before["event"], after["event"]) == ("before", "after")
    assert retrying["event"] == "retrying https://***@lab.example/: token=***\nand again"
    assert "DeprecationWarning: soon gone: password=***" in warning["event"]
    assert "secret_key=***" in failed["exception"]
    assert all("timestamp" in line for line in lines)
    assert out == ""


def test_what_nobody_catches_is_one_line_of_json_unless_it_ends_the_process_on_purpose(
    capfd: pytest.CaptureFixture[str],
) -> None:
    configure_logging("json")
    error = ValueError("no such cell: token=abc")
    sys.excepthook(ValueError, error, None)
    sys.excepthook(SystemExit, SystemExit(143), None)
    thread = threading.Thread(target=_fail, name="relay")
    thread.start()
    thread.join()
    in_main, in_thread = map(json.loads, capfd.readouterr().err.splitlines())
    assert in_main["event"] == "uncaught ValueError: no such cell: token=***"
    assert in_thread["event"] == "uncaught RuntimeError: the pipe is closed"
    assert "in _fail" in in_thread["exception"]


def _fail() -> None:
    raise RuntimeError("the pipe is closed")


def test_a_line_of_another_program_on_stderr_is_json_where_the_log_is(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    relay_line("built 3 models")
    for line in ('{"info": {"msg": "ok"}}', "", "a warning: token=abc"):
        relay_line(line, err=True)
    out, err = capfd.readouterr()
    assert out == "built 3 models\n"
    told, warned = map(json.loads, err.splitlines())
    assert told == {"info": {"msg": "ok"}}
    assert (warned["event"], warned["level"]) == ("a warning: token=***", "warning")


def test_for_people_what_libraries_do_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    before = sys.excepthook, threading.excepthook, warnings.showwarning
    configure_logging()
    assert (sys.excepthook, threading.excepthook, warnings.showwarning) == before
    assert logging.root.handlers == []


def test_a_complaint_is_json_where_the_log_is_and_even_where_the_settings_are_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging()
    complain("no broker at tcp://ann:hush@lab")
    monkeypatch.setenv("LOG_FORMAT", "json")
    complain("no broker at tcp://ann:hush@lab")
    plain, as_json = capsys.readouterr().err.splitlines()
    assert plain == "battery: no broker at tcp://***@lab"
    told = json.loads(as_json)
    assert (told["event"], told["level"], told["complaint"]) == ("no broker at tcp://***@lab", "error", True)
