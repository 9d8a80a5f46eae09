"""`battery cells`, as a person uses it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer
from support.pipeline import Pipeline

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cells(broker: int, tmp_path: Path) -> Pipeline:
    """A pipeline with a topic of its own, which has not begun."""
    folder = tmp_path / "pipeline"
    return Pipeline(folder, broker, {"BATTERY_CELLS_TOPIC": f"cells.{tmp_path.name}"})


def test_what_is_set_is_shown_exported_and_taken_back_unchanged(cells: Pipeline) -> None:
    said = cells.battery("cells", "set", "A", "group=fast", "mass_g=45.50", "lot=007", 'notes=say "hi", then\nstop')
    assert "A  mass_g: (nothing) -> 45.5" in said
    assert "free columns: lot" in said
    assert "no readings have landed of A" in said
    cells.battery("cells", "set", "B", "tags=b,a", "Cell_Group=slow")
    cells.battery("cells", "set", "B", "tags=")
    shown = cells.battery("cells", "show", "B")
    assert "tags: a, b -> (nothing)" in shown
    exported = cells.battery("cells", "export")
    assert exported == 'cell_id,group,mass_g,notes,lot\nA,fast,45.5,"say ""hi"", then\nstop",007\nB,slow,,,\n'
    (cells.folder / "cells.csv").write_text(exported)
    for options in ((), ("--clear",), ("--dry-run",)):
        assert "nothing changes" in cells.battery("cells", "import", "cells.csv", *options)
    assert [json.loads(line) for line in cells.battery("cells", "list", "--json").splitlines()] == [
        {"cell_id": "A", "group": "fast", "lot": "007", "mass_g": 45.5, "notes": 'say "hi", then\nstop'},
        {"cell_id": "B", "group": "slow"},
    ]


def test_an_import_says_what_would_change_and_refuses_a_file_as_a_whole(cells: Pipeline) -> None:
    cells.folder.mkdir(parents=True)
    file = cells.folder / "cells.csv"
    file.write_text("cell_id,group,mass_g\nA,fast,45\nB,,46\n")
    said = cells.battery("cells", "import", "cells.csv", "--dry-run")
    assert "1 empty cells of the sheet leave the values as they are; --clear takes them away" in said
    assert "B  mass_g: (nothing) -> 46" in said
    assert "2 cells would change; nothing has, because of --dry-run" in said
    assert not (cells.folder / "battery.duckdb").exists()
    file.write_text("cell_id,group\n" + "".join(f"C{number},x\n" for number in range(12)))
    assert "no readings have landed of C0, C1, C2, C3, C4, C5, C6, C7, C8, C9 and 2 others" in cells.battery(
        "cells", "import", "cells.csv", "--dry-run"
    )
    file.write_text("cell_id,group,mass_g\nA,fast,45\nB,,heavy\n")
    refused = cells.battery("cells", "import", "cells.csv", code=2)
    assert refused == "battery: cells.csv, line 3: mass_g: 'heavy' is no number; write one such as 1.1\n"
    assert "does not exist yet" in cells.battery("cells", "list", code=2)


def test_a_message_of_another_program_that_cannot_be_read_is_listed_with_its_reason(cells: Pipeline) -> None:
    cells.battery("cells", "set", "A", "group=fast")
    assert cells.battery("cells", "refused") == "no message about a cell was refused\n"
    producer = Producer({"bootstrap.servers": cells.settings.kafka_bootstrap_servers})
    producer.produce(cells.settings.cells_topic, b"?", b"A")
    assert producer.flush(30) == 0
    listed = cells.battery("cells", "list")
    assert "A  group=fast" in listed
    assert "1 messages count for nothing; `battery cells refused` says why" in listed
    assert "A  partition 0, offset 1: it is no JSON object" in cells.battery("cells", "refused")
    assert json.loads(cells.battery("cells", "refused", "--json"))["offset"] == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("set", "A", "group"), "'group' is no COLUMN=VALUE; write one such as group=fast, or group= to take it away"),
        (("set", "A", "group=a", "cell_group=b"), "group is there twice"),
        (
            ("set", "A", "mass=1"),
            "mass is not a column with a meaning, but close to mass_g; write that, or another name",
        ),
        (("import", "none.csv"), "none.csv cannot be read: No such file or directory"),
    ],
)
def test_a_slip_is_one_line(cells: Pipeline, arguments: tuple[str, ...], complaint: str) -> None:
    assert cells.battery("cells", *arguments, code=2) == f"battery: {complaint}\n"
