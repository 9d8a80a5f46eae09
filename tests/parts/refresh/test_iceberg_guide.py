"""The question that the guide on other engines asks of DuckDB is answered as the warehouse answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.guides import blocks_of
from support.iceberg import iceberg_reader, registered
from support.places import ROOT

if TYPE_CHECKING:
    from support.committed import Landed


def test_duckdb_answers_the_question_of_the_guide(landed: Landed) -> None:
    (block,) = [
        block
        for block in blocks_of(ROOT / "docs" / "guides" / "iceberg.md")
        if block.mark == "run by tests/parts/refresh/test_iceberg_guide.py"
    ]
    registered(landed)
    load, question = block.content.split("\n", 1)
    assert load == "INSTALL iceberg; LOAD iceberg;"  # the wheel brings it here
    found = iceberg_reader().execute(question.replace("data/objects", str(landed.folder / "objects")))
    expected = landed.query(
        'select cell_id, count(*), max("voltage(v)") from battery_ts_cleaned group by cell_id order by cell_id'
    )
    assert found.fetchall() == expected
    assert len(expected) == 2
