"""A broker without a disk is started again: its log is gone, and what had landed need not come again."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from support.pipeline import Pipeline

from kernel.base.ports import free_port
from kernel.edges.broker import embedded_broker
from producer.publish import Options, publish
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from pathlib import Path


def test_a_restart_publishes_what_has_not_landed_and_says_in_one_line_what_it_skips(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    *landed, waiting, _second_export = simulate_cell(tmp_path, "AGAIN", cycles=4, seed=1, cycles_per_file=1)
    pipeline = Pipeline(tmp_path / "pipeline", free_port(), {"BATTERY_TOPIC_PARTITIONS": "2"})

    def rows() -> tuple[int, int]:
        ((good,),) = pipeline.query("select count(*) from battery_ts_cleaned")
        ((refused,),) = pipeline.query("select coalesce(sum(row_count), 0) from battery_quarantine")
        return good, refused

    for path in landed:
        shutil.copy(path, inbox)
    with embedded_broker(pipeline.port):
        assert publish(pipeline.settings, [str(inbox)], Options()).workbooks == len(landed)
        pipeline.battery("stream", "--until-end")
        shutil.copy(waiting, inbox)
        last = publish(pipeline.settings, [str(inbox)], Options())  # and nobody lands it
    good, refused = rows()
    with embedded_broker(pipeline.port):
        said = pipeline.battery("produce", "--skip-landed", str(inbox))
        assert said.endswith(
            f"published {last.rows} rows of 1 workbooks in 1 messages; {len(landed)} skipped "
            f"({len(landed)} have landed from an earlier log), 0 refused\n"
        )
        pipeline.battery("stream", "--until-end")
    assert rows() == (good + last.rows, refused)
    with embedded_broker(pipeline.port):
        said = pipeline.battery("produce", "--skip-landed", str(inbox))
        assert f"{len(landed) + 1} skipped ({len(landed) + 1} have landed from an earlier log), 0 refused" in said
