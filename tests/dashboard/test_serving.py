"""The command that serves the dashboard: where it listens, and how it begins and ends."""

from __future__ import annotations

import signal
import socket
import sys
import urllib.error
import urllib.request
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from conftest import Pipeline

import battery.dashboard
from battery.broker import free_port
from battery.errors import BatteryError

if TYPE_CHECKING:
    from pathlib import Path

START_SECONDS = 60
END_SECONDS = 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_with_exit_code_0(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    process = Pipeline(tmp_path, 1).start("dashboard", "--port", str(port))
    deadline = monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1) as answer:
                assert answer.status == 200
                break
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, process.communicate()[0]
            assert monotonic() < deadline, "the dashboard did not answer"
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
    with pytest.raises(BatteryError, match=r"is an extra: pip install 'battery-pipeline\[dashboard\]'"):
        battery.dashboard.serve("127.0.0.1", free_port())
