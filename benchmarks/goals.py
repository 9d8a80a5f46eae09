"""The goals of speed: the bounds of every figure that `make bench` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.figures import Figure


@dataclass(frozen=True)
class Goal:
    """Bounds of a figure: of its ratio to the reference, and of the value itself where that is claimed too.

    `measures` and `reference` say for people what the two values are.
    """

    measures: str
    reference: str
    ratio_least: float | None = None
    ratio_most: float | None = None
    least: float | None = None
    most: float | None = None

    def missed(self, figure: Figure) -> Iterator[str]:
        """Describe each bound that a figure misses."""
        for what, found, least, most in (
            ("ratio", figure.ratio, self.ratio_least, self.ratio_most),
            (figure.unit, figure.value, self.least, self.most),
        ):
            if least is not None and found < least:
                yield f"{figure.name}: {what} {found:.3g} is less than {least:g}"
            if most is not None and found > most:
                yield f"{figure.name}: {what} {found:.3g} is more than {most:g}"


GOALS: Final[Mapping[str, Goal]] = {
    "stream_arrow": Goal(
        "Arrow messages from the broker to committed", "DuckDB appends the same rows", ratio_least=0.85
    ),
    "stream_json_interleaved": Goal(
        "JSON, 10,000 cells by turns, one reading a message",
        "Quix Streams, the same fold with its state in its store",
        ratio_least=20,
        least=100_000,
    ),
    "stream_vs_rowwise": Goal(
        "as `stream_arrow`", "Bytewax row by row, JSON, the same fold in plain Python", ratio_least=25
    ),
    "workbook_read": Goal("one process reads workbooks", "openpyxl in read-only mode", ratio_least=7),
    "workbook_read_2": Goal("two processes, their start included", "as `workbook_read`", ratio_least=12),
    "read_arbin_csv": Goal("Arbin's texts", "pyarrow.csv alone", ratio_least=0.7, least=1_000_000),
    "read_arbin_xlsx": Goal("Arbin's workbooks", "python-calamine alone", ratio_least=0.7),
    "read_arbin_res": Goal("Arbin's .res files", "access-parser alone", ratio_least=0.7),
    "read_neware_csv": Goal("Neware's flat texts", "pyarrow.csv alone", ratio_least=0.7),
    "read_neware_layers": Goal(
        "Neware's texts in layers", "pyarrow.csv passes over most of their lines", least=500_000
    ),
    "read_neware_xlsx": Goal("Neware's workbooks", "python-calamine alone", ratio_least=0.7),
    "read_neware_ndax": Goal("Neware's .ndax files", "fastnda alone", ratio_least=0.7, least=500_000),
    "read_maccor_txt": Goal("Maccor's texts", "pyarrow.csv alone", ratio_least=0.7),
    "read_biologic_mpt": Goal("BioLogic's .mpt files", "pyarrow.csv alone", ratio_least=0.7),
    "read_biologic_mpr": Goal(
        "BioLogic's .mpr files", "galvani and a copy of its columns: it maps the bytes of the file", least=1_000_000
    ),
    "read_landt_xlsx": Goal("LANDT's workbooks", "python-calamine alone", ratio_least=0.7),
    "read_landt_csv": Goal("LANDT's texts", "pyarrow.csv alone", ratio_least=0.7),
    "read_pec_csv": Goal("PEC's texts", "pyarrow.csv alone", ratio_least=0.7),
    "read_basytec_txt": Goal("Basytec's texts", "pyarrow.csv alone", ratio_least=0.7),
    "read_novonix_csv": Goal("Novonix's texts", "pyarrow.csv alone", ratio_least=0.7),
    "read_bdf_csv": Goal("texts of the Battery Data Format", "pyarrow.csv alone", ratio_least=0.7),
    "read_bdf_parquet": Goal("Parquet of the Battery Data Format", "pyarrow.parquet alone", ratio_least=0.7),
    "produce": Goal("the producer into the broker", "librdkafka sends the same bytes", ratio_least=0.7),
    "latency_p99": Goal("from published to queryable at 10,000 rows/s", "the commit interval", most=2),
    "replay": Goal("a replay of the same rows", "`stream_arrow`", ratio_least=1),
    "memory_peak": Goal("the worker at 20 million rows", "the worker at 2 million rows", ratio_most=1.1, most=700),
    "state_per_cell": Goal("state of each of 100,000 cells in memory", "of each of 10,000 cells", most=2048),
    "epoch_close": Goal(
        "closing an epoch in which each of 100,000 cells had a reading", "the same for 10,000 cells", most=1
    ),
    "refresh": Goal("1 % new readings beside 20 million", "beside 1 million", ratio_most=1.5),
    "drop_to_page": Goal(
        "a workbook of 30,000 rows from the inbox of `battery up` to the marts that pages read",
        "cellpy reads the same workbook and summarises its cycles",
        most=15,
    ),
    "refresh_one_test": Goal(
        "a refresh after one new test beside 1 million readings, dbt warm",
        "the same with dbt in a process of its own",
        ratio_most=0.6,
    ),
    "refresh_idle": Goal(
        "`battery transform` with nothing new, in time of a processor", "a Python that imports dbt", most=1
    ),
    "scale_2": Goal("two processes, a processor each, without the append", "one process", ratio_least=1.6),
    "stream_postgres": Goal(
        "Arrow messages to committed, PostgreSQL and a folder of objects", "DuckDB appends the same rows", ratio_least=1
    ),
    "stream_postgres_2": Goal("the same with two workers", "DuckDB appends the same rows", ratio_least=1.4),
    "scale_2_postgres": Goal(
        "two workers on PostgreSQL, a processor each, landing included", "one worker", ratio_least=1.5
    ),
    "scan_one_cell": Goal(
        "one cell read from the objects, through a reader's views", "from a table of DuckDB", ratio_most=1.3
    ),
    "commit_small": Goal(
        "commits of 1,000 rows in PostgreSQL, four lanes at once", "the same in a DuckDB file", least=50
    ),
    "readers": Goal("the longest look at PostgreSQL beside a worker", "at a DuckDB file", most=0.5),
    "cli_start": Goal("`battery --help`", "Python alone", most=0.12),
}
"""The goals by the name of their figure, in the order of the performance page.

`workbook_read` is one process and `workbook_read_2` two. `epoch_close` belongs to `state_per_cell`: the time in s to
close an epoch in which every cell has a reading.
"""
