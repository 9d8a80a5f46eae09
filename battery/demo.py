"""The demo: the main job, each step by its own command, on simulated cells and an embedded broker."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import click

from kernel.base.errors import BatteryError
from kernel.base.logs import configure_logging
from kernel.base.output import say
from kernel.edges.broker import embedded_broker, free_port

EXIT_TERMINATED: Final = 128 + signal.SIGTERM

MARK: Final = ".battery-demo"
"""Marks a folder that an earlier demo made and the next may remove."""

CELLS: Final = """
    select
        cell_id, complete_cycle_count, initial_capacity_ah, latest_capacity_ah, latest_soh, fade_ah_per_100_cycles,
        reading_count, quarantined_count
    from battery_cells
    order by cell_id
"""


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
    settings = places(data_dir) | {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
        "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
        "BATTERY_TOPIC": "battery_topic",
        "METRICS_PORT": "0",  # a worker of the user's own may have it
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
        say(f"an embedded broker answers at 127.0.0.1:{port}")
        battery("produce", str(workbooks))
        battery("stream", "--until-end")
        battery("transform")
        battery("verify")
        battery("status")
    _summarise(data_dir)


def places(data_dir: Path) -> dict[str, str]:
    """The settings that say where a demo in a folder keeps everything."""
    data_dir = data_dir.resolve()
    return {
        "OBJECT_STORE": f"file://{data_dir / 'objects'}",
        "WAREHOUSE": str(data_dir / "battery.duckdb"),
        "RECOVERY_DIR": str(data_dir / "recovery"),
    }


def _simulate(folder: Path, cells: int, cycles: int) -> None:
    from producer.simulate import simulate_cell

    for number in range(1, cells + 1):
        simulate_cell(folder, f"SIM_{number:02d}", cycles=cycles, seed=number, cycles_per_file=max(2, -(-cycles // 3)))


def _summarise(data_dir: Path) -> None:
    import duckdb
    from rich.console import Console
    from rich.table import Table

    with duckdb.connect(str(data_dir / "battery.duckdb"), read_only=True) as connection:
        rows = connection.execute(CELLS).fetchall()
        per_file = connection.execute("SELECT source_file, COUNT(*) FROM battery_ts GROUP BY source_file").fetchall()
    table = Table(title="how the simulated cells age")
    for name in ("cell", "cycles", "first Ah", "last Ah", "SOH %", "Ah/100", "landed", "quarantined"):
        table.add_column(name, justify="left" if name == "cell" else "right")
    for cell, complete, initial, latest, soh, fade, landed, quarantined in rows:
        figures = (_figure(initial, 4), _figure(latest, 4), _figure(soh and 100 * soh, 1), _figure(fade, 4))
        table.add_row(cell, str(complete), *figures, str(landed), str(quarantined))
    console = Console(soft_wrap=True)
    console.print()
    console.print(table)
    console.print("Cycles are complete ones; SOH is the last one's share of 1.1 Ah; Ah/100 is what 100 cycles cost.")
    console.print(f"{len(per_file)} workbooks landed. Quarantined rows are a second export of a file that had landed.")
    console.print("Where to look next:")
    console.print(f"  dashboard  {_dashboard_command(data_dir)}", highlight=False, markup=False)
    console.print(f"  tables     {data_dir / 'battery.duckdb'}  (battery_cells, battery_cycles, battery_ts, …)")
    console.print(f"  objects    {data_dir / 'objects'}  (raw workbooks, one Parquet object a commit)")
    console.print("  README     the published queries, your own workbooks, and real parts")


def _dashboard_command(data_dir: Path) -> str:
    """What serves the dashboard on a demo's data when it is pasted into a shell in this folder, whatever its PATH."""
    program = Path(sys.executable).with_name("battery")
    command = [_from_here(program)] if program.exists() else [sys.executable, "-m", "battery"]
    return shlex.join([*command, "dashboard", "--data-dir", _from_here(data_dir)])


def _from_here(path: Path) -> str:
    """A path, relative to the current folder where it lies below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _figure(value: float | None, digits: int) -> str:
    """A number for the table; what is not known is a dash."""
    return "-" if value is None else f"{value:.{digits}f}"
