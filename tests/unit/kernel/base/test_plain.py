"""What people read on a terminal has nothing in it that a terminal would act on."""

from __future__ import annotations

import json
import os
import re

import pytest
import structlog

from battery.cli.main import main
from kernel.base.logs import configure_logging
from kernel.base.output import LINES, complain, say
from kernel.base.plain import plain, plain_coloured
from kernel.base.progress import Progress
from refresh.dbt import _relayed

EVIL = "a\x1b]0;owned\x07\x1b[2J\r\nbattery: all is well\u202egnp.exe\x9b31m\u2028\udc80\x7f"
"""Sets the title, clears the screen, begins a line of its own, turns letters round, and is no UTF-8."""

UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture
def _console() -> None:
    configure_logging("console")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("CS2_35 µA Ω 電池 é", "CS2_35 µA Ω 電池 é"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\u202egnp", r"\u202egnp"),
        ("\x9b31m", r"\x9b31m"),
        ("\udc80", r"\udc80"),
    ],
)
def test_what_a_terminal_would_act_on_is_written_out(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_whoever_writes_for_people_writes_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"result {EVIL}")
    complain(f"complaint {EVIL}")
    with pytest.raises(SystemExit):
        main(["stream", f"--{EVIL}"])
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert not UNSAFE.search(out + err), (out, err)
    assert r"\x1b]0;owned\x07" in out
    assert r"\x1b]0;owned\x07" in err


@pytest.mark.usefixtures("_console")
def test_a_log_line_is_plain_and_a_traceback_keeps_its_lines(capfd: pytest.CaptureFixture[str]) -> None:
    log = structlog.get_logger()
    log.warning(EVIL, name=EVIL, names=[EVIL], error=ValueError(EVIL), rows=3)
    try:
        int(EVIL)
    except ValueError:
        log.exception("failed")
    _, err = capfd.readouterr()
    assert not UNSAFE.search(err), err
    lines = err.splitlines()
    assert "rows=3" in lines[0]
    assert "Traceback (most recent call last):" in lines


def test_a_bar_shows_brackets_as_they_are_and_nothing_raw(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console  # noqa: PLC0415

    monkeypatch.setattr(type(LINES), "may_draw", property(lambda _: True))
    monkeypatch.setattr(
        "kernel.base.progress._console",
        lambda: Console(stderr=True, force_terminal=True, no_color=True, width=200),
    )
    with Progress(f"downloading http://lab/[/red]x{EVIL}", "bytes", 3) as progress:
        progress.advance(3)
    _, err = capfd.readouterr()
    assert "http://lab/[/red]x" in err
    assert "\x1b]0;" not in err
    assert "\x07" not in err


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    said = json.dumps({"cell": EVIL})
    say(said)
    assert json.loads(capsys.readouterr().out) == {"cell": EVIL}


def test_the_output_of_dbt_keeps_its_colours_and_nothing_else_that_a_terminal_acts_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with _relayed() as out, _relayed(err=True) as err:
        os.write(out, "\x1b[32mOK\x1b[0m \x1b[2J \x9b31m \u202e\n".encode())
        os.write(err, b"\x1b]0;owned\x07\n")
    said = capfd.readouterr()
    assert plain_coloured("\x1b[32mOK\x1b[0m \x1b[2J") == "\x1b[32mOK\x1b[0m " + r"\x1b[2J"
    assert said.out == r"OK \x1b[2J \x9b31m \u202e" + "\n"  # no terminal, no colours
    assert said.err == r"\x1b]0;owned\x07" + "\n"
