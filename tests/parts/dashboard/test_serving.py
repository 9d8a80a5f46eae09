"""The command that serves the dashboard: where it listens, and how it begins and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.looking import wait_until_served
from support.pipeline import Pipeline
from support.places import ROOT

import battery.dashboard
from kernel.base.errors import BatteryError
from kernel.base.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

END_SECONDS = 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_with_exit_code_0(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    process = Pipeline(tmp_path, 1).start("dashboard", "--port", str(port))
    wait_until_served(port, process, lambda: process.communicate()[0])
    process.send_signal(number)
    said, _ = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0, said
    assert f"http://127.0.0.1:{port}" in said
    assert "Traceback" not in said


def test_what_keeps_it_from_serving_is_one_line(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, 1, {"WINDOW_SECONDS": "ten"})
    assert pipeline.battery("dashboard", code=2).startswith("battery: invalid settings: WINDOW_SECONDS: ")
    pipeline.extra.clear()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = pipeline.battery("dashboard", "--port", port, code=2)
    assert said == (
        f"battery: cannot serve the dashboard at 127.0.0.1:{port}: Address already in use; "
        "choose another address with --host and --port\n"
    )


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setitem(sys.modules, "streamlit.web", None)
    with pytest.raises(BatteryError, match="the dashboard needs the extra dashboard, which is not installed: "):
        battery.dashboard.serve("127.0.0.1", free_port(), 200)


def test_with_logs_as_json_the_lines_of_streamlit_are_json(tmp_path: Path) -> None:
    program = (
        "from kernel.base.logs import configure_logging; configure_logging('json')\n"
        "from streamlit.logger import get_logger\n"
        "early = get_logger('streamlit.early')\n"
        "from battery.dashboard import _pass_on_log_lines; _pass_on_log_lines()\n"
        "import streamlit.web.cli\n"
        "early.warning('an early line')\n"
        "get_logger('streamlit.later').warning('no page at %s', 'http://ann:hush@lab/')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines][-2:] == ["an early line", "no page at http://***@lab/"]


def test_the_lines_of_streamlit_are_passed_on_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setitem(sys.modules, "streamlit.web", None)
    monkeypatch.setattr(battery.dashboard, "_pass_on_log_lines", lambda: called.append("passed on"))
    with pytest.raises(BatteryError):
        battery.dashboard.serve("127.0.0.1", free_port(), 200)
    assert called == ["passed on"]
