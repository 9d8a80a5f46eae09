from __future__ import annotations

import json
from typing import TYPE_CHECKING

import structlog

from battery.logs import configure_logging, redact

if TYPE_CHECKING:
    import pytest


def test_values_whose_name_is_a_secrets_name_are_hidden() -> None:
    event = redact(None, "info", {"event": "x", "kafka_sasl_password": "a", "MINIO_SECRET_KEY": "b", "token": "c"})
    assert event == {"event": "x", "kafka_sasl_password": "***", "MINIO_SECRET_KEY": "***", "token": "***"}


def test_a_token_inside_a_text_is_hidden() -> None:
    event = redact(None, "info", {"event": "attach md:db?motherduck_token=abc.def&x=1 failed"})
    assert event["event"] == "attach md:db?motherduck_token=***&x=1 failed"


def test_json_lines_go_to_stderr_and_leave_stdout_to_results(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    structlog.get_logger().info("committed", rows=3, password="hush")
    out, err = capfd.readouterr()
    line = json.loads(err)
    assert (line["event"], line["rows"], line["level"], line["password"]) == ("committed", 3, "info", "***")
    assert out == ""
    structlog.reset_defaults()
