"""A pipeline of the release before, its backups too, goes on with this release: nothing is lost and nothing doubled."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import pytest
from support.earlier import lies_in, to_first_layout
from support.harness import read_undisturbed, require_sound, send, traffic
from support.pipeline import Pipeline, take_unit_tests_as_passed
from support.places import ROOT

import battery
from battery.backup import MANIFEST, back_up
from battery.restore import restore
from dashboard.landing import look_at_stream
from dataflows.health import Pulse
from producer.simulate import simulate_cell
from refresh.project import internal_models
from sink.tables import EarlierWarehouseError

if TYPE_CHECKING:
    from pathlib import Path

FIRST, REST = range(4), range(4, 8)
SAID = "made by an earlier version; `battery stream --until-end` adds what it lacks, run it once"


@pytest.fixture
def before(pipeline: Pipeline) -> Pipeline:
    """A pipeline that the release before has made, which has landed a first half of its log."""
    send(pipeline.settings, traffic(FIRST))
    pipeline.battery("stream", "--until-end")
    bring_back(pipeline)
    return pipeline


def bring_back(pipeline: Pipeline) -> None:
    """Give a pipeline the warehouse that the release before would have made."""
    with duckdb.connect(str(pipeline.folder / "battery.duckdb")) as connection:
        to_first_layout(connection)
        assert set(lies_in(connection).values()) == {"main"}
    for overview in pipeline.folder.glob("battery.duckdb.*"):
        overview.unlink()


def test_it_goes_on_where_the_release_before_has_ended(before: Pipeline, tmp_path: Path) -> None:
    assert SAID in before.battery("status", code=2)
    assert SAID in before.battery("verify", code=2)
    assert SAID in before.battery("transform", code=2)
    assert f"fault    warehouse   the WAREHOUSE was {SAID}" in before.battery("doctor", code=1)
    with pytest.raises(EarlierWarehouseError, match=re.escape(SAID)):
        look_at_stream(before.settings)  # as the page does
    count = send(before.settings, traffic(REST))
    assert "moved the internal tables to their own schema" in before.battery("stream", "--until-end")
    log = read_undisturbed(tmp_path / "undisturbed", before.port, before.topic, count)
    require_sound(before, log.tables)
    assert "moved" not in before.battery("stream", "--until-end")
    before.battery("replay", "--from-beginning")
    require_sound(before, log.tables)
    assert before.query("select count(*) from _writers where kind = 'worker'") == [(3,)]


KILLED = """
import duckdb, os, sys
from sink.tables import create_tables
moving = duckdb.connect(sys.argv[1])
moving.begin()
create_tables(moving)
if sys.argv[2] == "after":
    moving.commit()
os._exit(0)
"""


@pytest.mark.parametrize(("killed", "schema"), [("before", "main"), ("after", "internal")])
def test_a_process_that_is_killed_while_it_moves_the_tables_has_moved_none_or_all(
    before: Pipeline, tmp_path: Path, killed: str, schema: str
) -> None:
    rows = before.checksums()
    subprocess.run([sys.executable, "-c", KILLED, str(before.folder / "battery.duckdb"), killed], check=True, cwd=ROOT)
    with duckdb.connect(str(before.folder / "battery.duckdb")) as connection:
        assert set(lies_in(connection).values()) == {schema}
    assert before.checksums() == rows
    count = send(before.settings, traffic(REST))
    before.battery("stream", "--until-end")
    require_sound(before, read_undisturbed(tmp_path / "undisturbed", before.port, before.topic, count).tables)


def test_a_backup_of_it_is_brought_back_and_goes_on(
    before: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pulse, "since", lambda _: None)  # no need to wait until the pulse of its worker is old
    backup = back_up(before.settings, tmp_path / "backup")
    manifest = json.loads((tmp_path / "backup" / MANIFEST).read_bytes())
    manifest.pop("checksum")  # that release wrote none
    (tmp_path / "backup" / MANIFEST).write_text(json.dumps(manifest))
    with duckdb.connect(str(before.folder / "battery.duckdb"), read_only=True) as connection:
        assert set(lies_in(connection).values()) == {"main"}, "a backup changes nothing"
    count = send(before.settings, traffic(REST))
    before.battery("stream", "--until-end")
    log = read_undisturbed(tmp_path / "undisturbed", before.port, before.topic, count)
    for name in ("objects", "recovery"):
        shutil.rmtree(before.folder / name)
    (before.folder / "battery.duckdb").unlink()
    assert restore(before.settings, tmp_path / "backup").backup.rows == backup.rows
    before.battery("stream", "--until-end")
    require_sound(before, log.tables)


def test_its_models_are_shown_until_they_are_built_anew_as_from_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    for name, seed in (("first", 1), ("second", 2)):
        (tmp_path / name).mkdir()
        simulate_cell(tmp_path / name, f"CELL_{seed}", cycles=3, seed=seed)
    pipeline.battery("produce", str(tmp_path / "first"))
    pipeline.battery("stream", "--until-end")
    take_unit_tests_as_passed(pipeline.settings)
    pipeline.battery("transform")
    bring_back(pipeline)
    with duckdb.connect(str(pipeline.folder / "battery.duckdb")) as connection:
        # That release built by another code, which knew of no such column.
        connection.execute("update building._refreshed set code = 'of the release before'")
        connection.execute("alter table building.battery_tests drop column protocol")
    assert battery.open(pipeline.settings).cells()["cell_id"].tolist() == ["CELL_1"]
    pipeline.battery("produce", str(tmp_path / "second"))
    pipeline.battery("stream", "--until-end")
    readable = "select count(distinct cell_id) from battery_ica union all select count(*) from battery_cells"
    assert pipeline.query(readable) == [(1,), (1,)]
    pipeline.battery("transform")

    anew = Pipeline(tmp_path / "anew", pipeline.port, {"BATTERY_TOPIC": pipeline.topic})
    anew.battery("stream", "--until-end")
    take_unit_tests_as_passed(anew.settings)
    anew.battery("transform")
    assert pipeline.checksums() == anew.checksums()
    published = (
        "select table_schema, table_name from information_schema.tables where table_schema <> 'building' order by all"
    )
    assert pipeline.query(published) == anew.query(published)
    models = [name for schema, name in anew.query(published) if schema == "main" or name in internal_models()]
    for name in sorted({*models} - {"_commits", "_progress", "_writers"}):
        rows = f"select count(*), sum(hash(t)::hugeint) from {name} as t"  # noqa: S608
        assert (name, pipeline.query(rows)) == (name, anew.query(rows))
    assert not internal_models() & {name for schema, name in anew.query(published) if schema == "main"}
