"""`battery gateway` as a process: what is posted lands, a broker that hangs is answered for, and a signal ends it."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import as_json, reading
from support.harness import finish
from support.pipeline import Pipeline
from support.places import ROOT
from support.posting import Gateway

from kernel.base.ports import free_port
from kernel.edges.broker import embedded_broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUIDE = (ROOT / "docs" / "guides" / "send-from-your-cycler.md").read_text()
DEADLINE_SECONDS = 60
TOKEN = "hush-hush-hush-hush"


@pytest.fixture
def struck(tmp_path: Path) -> Iterator[tuple[Pipeline, subprocess.Popen[bytes]]]:
    """A pipeline, and the process of its broker, which is to be struck."""
    port = free_port()
    with embedded_broker(port) as process:
        pipeline = Pipeline(tmp_path / "pipeline", port, {"GATEWAY_ACK_SECONDS": "1"})
        yield pipeline, process
        process.send_signal(signal.SIGCONT)
        pipeline.end()


def landed(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    pipeline.battery("stream", "--until-end")
    pipeline.battery("verify")
    return pipeline.query(
        'select cell_id, test_id, data_point, "voltage(v)" from battery_ts_cleaned order by cell_id, data_point'
    )


def test_what_is_posted_lands_in_order_and_what_is_wrong_with_a_reading_is_seen_in_quarantine(
    pipeline: Pipeline,
) -> None:
    gateway = Gateway(pipeline)
    assert gateway.said[-1].strip() == f"http://127.0.0.1:{gateway.port}/readings"
    status, said = gateway.post(as_json([reading(point, cell_id=cell) for point in (1, 2, 3) for cell in "AB"]))
    assert (status, said) == (202, {"accepted": 6, "cells": 2, "messages": 2, "notes": []})
    bdf = [
        {"Test Time / s": point / 10, "Voltage / V": 3.0 + point, "Current / A": 0.5, "Cycle Count / 1": 1,
         "Step Count / 1": 1, "Unix Time / s": 1_700_000_000 + point}
        for point in (1, 2)
    ]  # fmt: skip
    lines = b"\n".join(map(as_json, bdf))
    assert gateway.post(lines, "?cell_id=C&test_id=T1", "application/x-ndjson")[0] == 202
    bad = [reading(4, cell_id="A", **{"voltage(v)": "high"}), {**reading(5, cell_id="A"), "current(a)": None}]
    status, said = gateway.post(as_json([*bad, reading(6, cell_id="A")]))
    assert (status, said["accepted"]) == (202, 3)
    assert said["notes"] == ["1 of 3 readings have no current(a); the worker will quarantine them as missing_value"]
    assert gateway.post(as_json(reading(1, cell_id="A")))[0] == 202, "a repetition is taken, and lands once"
    assert gateway.post(b"nonsense")[0] == 400
    output = gateway.end()
    assert "Traceback" not in output
    assert "the body is no JSON" in output
    test = reading(1)["test_id"]
    assert landed(pipeline) == [
        *(("A", test, point, 3.7) for point in (1, 2, 3, 6)),
        *(("B", test, point, 3.7) for point in (1, 2, 3)),
        *(("C", "T1", 100 * point, 3.0 + point) for point in (1, 2)),
    ]
    assert pipeline.query("select cell_id, reason, row_count from battery_quarantine order by reason") == [
        ("A", reason, 1) for reason in ("duplicate", "missing_value", "not_a_number")
    ]
    of_c = "select distinct source_file, date_time::date::text from battery_ts_cleaned where cell_id = 'C'"
    assert pipeline.query(of_c) == [("gateway", "2023-11-14")]


def test_the_commands_and_the_example_of_the_guide_do_what_it_shows(pipeline: Pipeline, tmp_path: Path) -> None:
    gateway = Gateway(pipeline)
    blocks = re.findall(r"```sh\n(curl .*?)```", GUIDE, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        command, _, answer = block.replace(":8600", f":{gateway.port}").partition('{"accepted"')
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        shown = '{"accepted"' + answer if answer else '{"accepted":2,"cells":1,"messages":1,"notes":[]}'
        assert done.stdout == shown.strip()
    lines = tmp_path / "readings.ndjson"
    lines.write_bytes(b"\n".join(as_json(reading(point, cell_id="CELL_7", test_id="T9")) for point in (1, 2)))
    example = [sys.executable, str(ROOT / "docs" / "examples" / "send_readings.py"), gateway.url]
    with lines.open() as sent:
        done = subprocess.run(example, stdin=sent, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["accepted"] == 2
    gateway.end()
    assert sorted((cell, test, point) for cell, test, point, _ in landed(pipeline)) == [
        *(("CELL_7", "2026-11-30T08:00:00", point) for point in (1, 2, 3)),
        *(("CELL_7", "T9", point) for point in (1, 2)),
    ]


def test_for_other_machines_it_needs_a_token_which_it_asks_for_and_never_shows(pipeline: Pipeline) -> None:
    said = pipeline.battery("gateway", "--host", "0.0.0.0", "--port", str(free_port()), code=2)  # noqa: S104
    assert said.startswith("battery: --host 0.0.0.0 lets other machines send readings: set GATEWAY_TOKEN")
    pipeline.extra["GATEWAY_TOKEN"] = TOKEN
    gateway = Gateway(pipeline, "--host", "0.0.0.0")  # noqa: S104
    assert gateway.post(as_json(reading(1)))[0] == 401
    assert gateway.post(as_json(reading(1)), Authorization=f"Bearer {TOKEN}x")[0] == 401
    assert gateway.post(as_json(reading(1)), Authorization=f"Bearer {TOKEN}")[0] == 202
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.port}/health") as answer:
        assert answer.status == 200
    assert "hush" not in "".join(gateway.said) + gateway.end()
    pipeline.extra["GATEWAY_TOKEN"] = "hush"
    said = pipeline.battery("gateway", code=2)
    assert "GATEWAY_TOKEN" in said
    assert "hush" not in said


def test_a_broker_that_hangs_is_answered_for_in_time_and_what_was_sent_again_lands_once(
    struck: tuple[Pipeline, subprocess.Popen[bytes]],
) -> None:
    pipeline, broker = struck
    gateway = Gateway(pipeline)
    assert gateway.post(as_json(reading(1)))[0] == 202
    broker.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    status, said = gateway.post(as_json(reading(2)))
    assert (status, said["problems"]) == (503, ["the broker does not answer; send the same again later"])
    assert time.monotonic() - begun < DEADLINE_SECONDS / 2
    assert gateway.post(as_json(reading(2)))[0] == 503
    broker.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while gateway.post(as_json([reading(2), reading(3)]))[0] != 202:
        assert time.monotonic() < deadline
        time.sleep(0.1)  # between two looks
    output = gateway.end()
    assert "taking readings again" in output
    assert [point for _, _, point, _ in landed(pipeline)] == [1, 2, 3]
    assert pipeline.query("select reason, sum(row_count) from battery_quarantine group by reason") == [("duplicate", 1)]


def test_sigterm_lets_what_was_taken_reach_the_broker_takes_no_more_and_ends_with_0(
    struck: tuple[Pipeline, subprocess.Popen[bytes]],
) -> None:
    pipeline, broker = struck
    pipeline.extra["GATEWAY_ACK_SECONDS"] = str(DEADLINE_SECONDS)
    gateway = Gateway(pipeline)
    broker.send_signal(signal.SIGSTOP)
    body = as_json(reading(1))
    head = "POST /readings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    sender = socket.create_connection(("127.0.0.1", gateway.port))
    sender.sendall(f"{head}Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
    assert b"100 Continue" in sender.recv(100)  # so the request has been taken
    sender.sendall(body)
    gateway.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", gateway.port)):
                break
        assert time.monotonic() < deadline
    assert gateway.process.poll() is None
    broker.send_signal(signal.SIGCONT)
    assert sender.recv(100).startswith(b"HTTP/1.1 202 ")
    sender.close()
    finish(gateway.process, 0)
    assert [point for _, _, point, _ in landed(pipeline)] == [1]


def test_what_is_in_the_way_is_one_line(pipeline: Pipeline) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = pipeline.battery("gateway", "--port", str(port), code=2)
    in_use = os.strerror(errno.EADDRINUSE)
    remedy = "choose another address with --host and --port"
    assert said == f"battery: cannot take readings at 127.0.0.1:{port}: {in_use}; {remedy}\n"
    pipeline.extra["KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{free_port()}"
    (line,) = pipeline.battery("gateway", "--port", str(free_port()), code=2).splitlines()
    assert line.startswith("battery: no broker answers at KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:")
