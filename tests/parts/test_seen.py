"""Nothing goes unseen, and nothing from outside reaches a terminal raw: files and messages of ill will."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer
from support.builders import as_json, reading
from support.pipeline import Pipeline

from kernel.contract.message import headers
from kernel.contract.reading import JSON
from kernel.edges.kafka import open_topic
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "\x1b]0;owned\x07\x1b[2J\nbattery: all is well\u202e"
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
CELL = f"CELL{EVIL}"


def run(pipeline: Pipeline, *arguments: str, code: int = 0) -> str:
    """A `battery` command; what it has written, which is plain."""
    said = pipeline.battery(*arguments, code=code)
    assert not UNSAFE.search(said), (arguments, said)
    return said


@pytest.fixture(scope="module")
def refused(broker: int, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A pipeline that took a workbook of an evil cell, and refused files and messages with evil names in them."""
    folder = tmp_path_factory.mktemp("seen")
    pipeline = Pipeline(folder / "pipeline", broker, {"BATTERY_TOPIC": "seen"})
    pipeline.folder.mkdir()
    inbox = folder / "inbox"
    inbox.mkdir()
    workbook, *_ = simulate_cell(folder, "SEEN", cycles=2, seed=1)
    shutil.copy(workbook, inbox / f"good{EVIL}.xlsx")
    (inbox / f"bad{EVIL}.xlsx").write_bytes(b"hello")
    (inbox / f"notes{EVIL}.txt").write_text("hello")
    said = run(pipeline, "produce", str(inbox), "--cell", CELL, code=1)
    assert "refused: bad" in said
    assert "passed over: notes" in said
    settings = pipeline.settings
    open_topic(settings)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for body in (
        as_json(reading(1, cell_id=CELL, test_id=f"test{EVIL}", **{"voltage(v)": f"high{EVIL}"})),
        f"garbage{EVIL}".encode(),
    ):
        producer.produce(settings.battery_topic, value=body, key=CELL.encode(), headers=headers(JSON, f"file{EVIL}"))
    assert producer.flush(30) == 0
    run(pipeline, "stream", "--until-end")
    return pipeline


def test_what_came_from_outside_is_never_printed_raw(refused: Pipeline) -> None:
    listed = run(refused, "quarantine", "list")
    assert r"CELL\x1b]0;owned\x07\x1b[2J\nbattery: all is well\u202e" in listed
    places = [
        line.split("  ")[0] for line in listed.splitlines() if "refused: " in line and not line.startswith("file:")
    ]
    assert len(places) == 2
    for place in places:
        assert r"\x1b" in run(refused, "quarantine", "show", place)
    run(refused, "quarantine", "retry", "--cell", CELL, "--dry-run")
    run(refused, "status")
    run(refused, "verify")
    run(refused, "report", CELL, code=2)
    run(refused, "quarantine", "show", EVIL, code=2)


def test_refused_files_are_in_the_status_and_the_list_until_they_are_dismissed(refused: Pipeline) -> None:
    status = run(refused, "status")
    assert "files        1 refused, 1 passed over" in status
    told = json.loads(run(refused, "status", "--json"))
    assert (told["files"]["refused"], told["files"]["passed_over"]) == (1, 1)
    assert told["files"]["latest"][0]["cell_id"] == CELL
    assert told["retriable"] == 2
    assert (
        "waiting      models: no models have been published yet; 2 quarantined rows that a retry may bring in" in status
    )
    lines = [json.loads(line) for line in run(refused, "quarantine", "list", "--json").splitlines()]
    files = {line["state"]: line for line in lines if line["id"].startswith("file:")}
    assert set(files) == {"refused", "passed over"}
    assert files["refused"]["first_at"] <= files["refused"]["last_at"]
    run(refused, "quarantine", "dismiss", files["refused"]["id"])
    assert "files        0 refused, 1 passed over" in run(refused, "status")
    assert files["refused"]["id"] not in run(refused, "quarantine", "list")
    assert files["refused"]["id"] in run(refused, "quarantine", "list", "--all")


def test_a_file_of_another_kind_on_the_command_line_is_on_record(refused: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "export.log").write_bytes(b"hello")
    said = run(refused, "produce", str(tmp_path / "export.log"), code=2)
    assert "export.log is a text file of an unknown format" in said
    assert "export.log: refused" in run(refused, "quarantine", "list")


def test_a_folder_with_a_good_workbook_and_a_readme_exits_with_0(refused: Pipeline, tmp_path: Path) -> None:
    simulate_cell(tmp_path, "README", cycles=1, seed=2)
    (tmp_path / "README.txt").write_text("hello")
    assert "passed over: README.txt" in run(refused, "produce", str(tmp_path))


def test_a_store_that_does_not_answer_costs_the_status_only_what_it_alone_knows(refused: Pipeline) -> None:
    away = Pipeline(
        refused.folder,
        refused.port,
        {
            **refused.extra,
            "OBJECT_STORE": "s3://battery-data",
            "MINIO_ENDPOINT": "127.0.0.1:1",
            "MINIO_ACCESS_KEY": "a",
            "MINIO_SECRET_KEY": "b",
            "MINIO_SECURE": "false",
        },
    )
    said = run(away, "status")
    assert "files        which were refused is unknown: cannot open bucket battery-data" in said
    told = next(json.loads(line) for line in run(away, "status", "--json").splitlines() if line.startswith("{"))
    assert told["files"]["refused"] is None
    assert told["models"]["unknown"] == told["files"]["unknown"]
    assert "which files were refused is unknown" in run(away, "quarantine", "list")
