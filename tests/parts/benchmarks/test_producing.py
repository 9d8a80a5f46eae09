"""The benchmark of producing on a tiny life: what it prints and what is sent, not how long that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import producing
from benchmarks.producing import SEED, measure
from producer.send import SendResult
from producer.simulate import simulate_tests

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figures import Figure


def test_both_sides_send_the_same_rows_in_as_many_messages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures: list[Figure] = []
    measure(figures.append, tmp_path, tiny=True)
    exports = simulate_tests("BENCH", cycles=4, seed=SEED)
    rows = 2 * sum(export.test.readings.num_rows for export in exports)
    said = [line.rpartition(" in ")[0] for line in capsys.readouterr().err.splitlines() if line.startswith("bench")]
    assert said == [
        f"bench: {side}: {rows:,} rows in {2 * len(exports)} messages" for side in ("librdkafka alone", "the producer")
    ]
    (figure,) = figures
    assert (figure.name, figure.unit) == ("produce", "rows/s")
    assert figure.ratio > 0


def test_a_producer_that_sends_less_than_the_reference_has_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producing, "send", lambda *_: SendResult(rows=1, messages=1))
    with pytest.raises(ValueError, match="the producer sent 1 rows in 1 messages"):
        measure(lambda _: None, tmp_path, tiny=True)
