"""What a lab has told of its cells: from the topic to the tables that readers see, and again in a new warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
from support.pipeline import Pipeline, take_unit_tests_as_passed

from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from pathlib import Path

TOLD = """
    select cell_id, chemistry, nominal_capacity_ah, soh_basis, cell_group, cell_format, mass_g, tags, notes, metadata
    from battery_cells order by cell_id
"""
EVENTS = "from battery_cell_events order by all"


def refreshed(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    take_unit_tests_as_passed(pipeline.settings)
    pipeline.battery("transform")
    return pipeline.query(TOLD)


def test_what_was_told_of_cells_stands_in_the_tables_also_after_a_replay_and_in_a_warehouse_built_anew(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    (tmp_path / "workbooks").mkdir()
    for seed, cell in enumerate(("LAB_1", "LAB_2")):
        simulate_cell(tmp_path / "workbooks", cell, cycles=6, seed=seed)
    pipeline.battery("cells", "set", "LAB_2", "group=fast")  # before anything has landed
    pipeline.battery("produce", str(tmp_path / "workbooks"))
    pipeline.battery("stream", "--until-end")
    first = refreshed(pipeline)
    assert [row[:6] for row in first] == [
        ("LAB_1", None, None, "initial", None, None),
        ("LAB_2", None, None, "initial", "fast", None),
    ]

    pipeline.battery("cells", "set", "LAB_1", "nominal_capacity_ah=1.1", "mass_g=45.5", "tags=b,a", "lot=007")
    assert (
        pipeline.battery("cells", "set", "LAB_1", "group=fast", "format=18650", "notes=two\nlines").count("LAB_1") == 3
    )
    assert "3 changes of cell metadata; published" in pipeline.battery("news")
    told = refreshed(pipeline)
    assert told == [
        ("LAB_1", None, 1.1, "nominal", "fast", "18650", 45.5, ["a", "b"], "two\nlines", '{"lot":"007"}'),
        first[1],
    ]
    groups = "select cell_group, max(cell_count), min(cycle_number) from battery_groups group by all"
    assert pipeline.query(groups) == [("fast", 2, 0)]
    assert "nothing new" in pipeline.battery("transform")

    events = pipeline.query(EVENTS)
    with duckdb.connect(str(pipeline.folder / "battery.duckdb")) as connection:
        connection.execute("""update battery_cell_events set metadata = '{}' where cell_id = 'LAB_2'""")
    assert "cell LAB_2: its row has another metadata; any `battery replay` writes" in pipeline.battery("verify", code=1)
    assert "battery_cell_events: 1 rows were other than" in pipeline.battery("replay", "--from-beginning")
    assert pipeline.query(EVENTS) == events
    verified = pipeline.battery("verify")
    assert "cell metadata: 3 messages of battery_topic_cells, 3 rows\n" in verified
    assert "everything adds up" in verified

    anew = Pipeline(tmp_path / "anew", pipeline.port)
    anew.battery("stream", "--until-end")
    assert refreshed(anew) == told
    assert anew.query(EVENTS) == events
    assert "nothing changes" in anew.battery("cells", "set", "LAB_1", "mass_g=45.5")
