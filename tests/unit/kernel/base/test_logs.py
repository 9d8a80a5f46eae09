from __future__ import annotations

import io
import json

import pytest
import structlog

from kernel.base.logs import JsonLines, complain, configure_logging, mask_urls, redact


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
    structlog.reset_defaults()


def test_what_libraries_write_becomes_lines_of_json_and_what_is_json_stays() -> None:
    below = io.StringIO()
    stream = JsonLines(below)
    stream.write('{"event": "committed"}\n')
    stream.write("a warning of ")
    stream.write("a library: token=abc\n\n  at line 3\n{no json\n")
    stream.write("begun")
    stream.flush()
    lines = [json.loads(line) for line in below.getvalue().splitlines()]
    assert lines[0] == {"event": "committed"}
    assert [line["event"] for line in lines[1:]] == [
        "a warning of a library: token=***", "  at line 3", "{no json", "begun",
    ]  # fmt: skip
    assert not stream.isatty()


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
    structlog.reset_defaults()
