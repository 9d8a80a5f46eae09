"""The demo: the main job, each step by its own command, on simulated cells and an embedded broker."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import click

from battery.broker import embedded_broker, free_port
from battery.errors import BatteryError
from battery.logs import configure_logging

if TYPE_CHECKING:
    from pathlib import Path

EXIT_TERMINATED: Final = 128 + signal.SIGTERM

MARK: Final = ".battery-demo"
"""Marks a folder that an earlier demo made and the next may remove."""

FULL: Final = "c.discharge_capacity_ah > 0.3 and c.voltage_min_v <= 2.8"
"""What makes a cycle a full one: neither broken off nor cut short."""

AGEING: Final = f"""
    select
        c.cell_id,
        count(distinct c.test_id) as tests,
        count(*) filter ({FULL}) as full_cycles,
        arg_min(c.discharge_capacity_ah, c.started_at) filter ({FULL}) as first_ah,
        arg_max(c.discharge_capacity_ah, c.started_at) filter ({FULL}) as last_ah,
        sum(c.reading_count) as rows,
        (select coalesce(sum(q.row_count), 0) from battery_quarantine as q where q.cell_id = c.cell_id) as quarantined
    from battery_cell_cycles as c
    group by c.cell_id
    order by c.cell_id
"""  # noqa: S608  # names come from this module alone


def demo(data_dir: Path, *, cells: int, cycles: int, debug: bool = False) -> None:
    """Run the main job from nothing and print what came out.

    Args:
        data_dir: where everything goes; an earlier demo there is replaced, anything else is left alone.
        cells: how many cells to simulate.
        cycles: charge and discharge cycles of each.
        debug: show tracebacks.

    Raises:
        BatteryError: a step failed, or `data_dir` holds something that is no demo.
    """
    configure_logging(debug=debug)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))  # so that the broker ends with us
    data_dir = data_dir.resolve()
    if data_dir.exists() and not data_dir.is_dir():
        raise BatteryError(f"--data-dir {data_dir} is no folder")
    if data_dir.exists() and any(data_dir.iterdir()):
        if not (data_dir / MARK).exists():
            raise BatteryError(f"--data-dir {data_dir} holds something that is no demo; choose an empty folder")
        shutil.rmtree(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / MARK).touch()
    port = free_port()
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
        "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
        "BATTERY_TOPIC": "battery_topic",
        "OBJECT_STORE": f"file://{data_dir / 'objects'}",
        "WAREHOUSE": str(data_dir / "battery.duckdb"),
        "RECOVERY_DIR": str(data_dir / "recovery"),
    }

    def battery(*arguments: str) -> None:
        click.secho(f"\n$ battery {' '.join(arguments)}", bold=True)
        finished = subprocess.run([sys.executable, "-m", "battery", *arguments], env=os.environ | settings, check=False)
        if finished.returncode:
            raise BatteryError(f"the demo stopped: `battery {arguments[0]}` ended with exit code {finished.returncode}")

    workbooks = data_dir / "workbooks"
    workbooks.mkdir()
    click.secho(f"simulating {cells} cells of {cycles} cycles as Arbin workbooks in {workbooks}", bold=True)
    _simulate(workbooks, cells, cycles)
    with embedded_broker(port):
        click.echo(f"an embedded broker answers at 127.0.0.1:{port}")
        battery("produce", str(workbooks))
        battery("stream", "--until-end")
        battery("transform")
        battery("verify")
        battery("status")
    _summarise(data_dir)


def _simulate(folder: Path, cells: int, cycles: int) -> None:
    from producer.simulate import simulate_cell

    for number in range(1, cells + 1):
        simulate_cell(folder, f"SIM_{number:02d}", cycles=cycles, seed=number, cycles_per_file=max(2, -(-cycles // 3)))


def _summarise(data_dir: Path) -> None:
    import duckdb
    from rich.console import Console
    from rich.table import Table

    with duckdb.connect(str(data_dir / "battery.duckdb"), read_only=True) as connection:
        rows = connection.execute(AGEING).fetchall()
        per_file = connection.execute("SELECT source_file, COUNT(*) FROM battery_ts GROUP BY source_file").fetchall()
    table = Table(title="how the simulated cells age")
    for name in ("cell", "tests", "full cycles", "first Ah", "last Ah", "landed", "quarantined"):
        table.add_column(name, justify="left" if name == "cell" else "right")
    for cell, tests, full, first, last, landed, quarantined in rows:
        table.add_row(cell, str(tests), str(full), f"{first:.4f}", f"{last:.4f}", str(landed), str(quarantined))
    console = Console(soft_wrap=True)
    console.print()
    console.print(table)
    console.print(f"{len(per_file)} workbooks landed. Quarantined rows are a second export of a file that had landed.")
    console.print("Where to look next:")
    console.print(f"  tables   {data_dir / 'battery.duckdb'}  (battery_ts, battery_cleaned, battery_features, …)")
    console.print(f"  objects  {data_dir / 'objects'}  (raw workbooks, one Parquet object a commit)")
    console.print("  README   the published queries, your own workbooks, and real parts")
