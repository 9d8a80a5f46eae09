"""The demo: the main job on simulated cells and an embedded broker, each step by its own command."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from battery.data_folder import places
from kernel.base.command import EXIT_TERMINATED
from kernel.base.errors import BatteryError
from kernel.base.logs import configure_logging
from kernel.base.output import say
from kernel.base.plain import plain
from kernel.base.ports import free_port
from kernel.base.processes import kill_processes, start_command
from kernel.edges.broker import embedded_broker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from producer.simulate import Ageing

MARK: Final = ".battery-demo"
"""The file that marks the folder of a demo, so that the next demo may remove the folder."""

LOG_EVERY: Final = 4
"""The simulated cyclers export every fourth reading at constant current: one every two minutes."""

FILES: Final = 5
"""Workbooks of one cell, without the second export of the last one."""

CELLS: Final = """
    select
        cell_id, complete_cycle_count, initial_capacity_ah, latest_capacity_ah, latest_soh, knee_cycle, eol_cycle,
        projected_eol_cycle
    from battery_cells
    order by cell_id
"""

LANDED: Final = "select count(*), count(distinct source_file) from battery_ts"
QUARANTINED: Final = "select coalesce(sum(row_count), 0)::bigint from battery_quarantine"

_DBT_PROGRESS: Final = re.compile(r"(\d+ of \d+) (?:OK|PASS|WARN|FAIL|ERROR|SKIP|NO-OP)\b")


@dataclass(frozen=True)
class Step:
    """A command of the demo: its arguments, and the start of the output line with the result."""

    arguments: tuple[str, ...]
    result: str

    @property
    def title(self) -> str:
        """The command as a user types it."""
        return f"battery {' '.join(self.arguments)}"


def demo(data_dir: Path, *, cells: int, cycles: int, debug: bool = False) -> None:
    """Run the main job from nothing and print its results.

    Each step is one line on the terminal; its whole output is in a file of the folder `logs` in `data_dir`.

    Args:
        data_dir: the folder for all data; an earlier demo in it is replaced, other files are left alone.
        cells: how many cells to simulate.
        cycles: charge and discharge cycles of each.
        debug: show tracebacks.

    Raises:
        BatteryError: a step failed, or `data_dir` holds files that are not of a demo.
    """
    from rich.console import Console

    configure_logging(debug=debug)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))  # so that the broker ends too
    data_dir = data_dir.resolve()
    _make_empty(data_dir)
    port = free_port()
    environment = places(data_dir) | {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
        "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
        "BATTERY_TOPIC": "battery_topic",
        "METRICS_PORT": "0",  # a worker of the user may have the port
    }
    workbooks, logs = data_dir / "workbooks", data_dir / "logs"
    workbooks.mkdir()
    logs.mkdir()
    steps = (
        Step(("produce", str(workbooks)), "published "),
        Step(("stream", "--until-end"), "landed "),
        Step(("transform",), "published "),
        Step(("verify",), "everything adds up"),
        Step(("status",), "landed "),
    )
    console = Console(soft_wrap=True, highlight=False, markup=False)
    _simulate(workbooks, cells, cycles, console)
    with embedded_broker(port):
        say(f"an embedded broker answers at 127.0.0.1:{port}")
        for step in steps:
            run_step(step, environment, logs / f"{step.arguments[0]}.log", console)
    _summarise(data_dir, console)


def ways_of_ageing(cycles: int) -> tuple[Ageing, ...]:
    """How the simulated cells age within `cycles` cycles, in the order of the cells.

    The first stays healthy. The second shows a knee. The third goes past its knee and the end of its life. The fourth
    reaches the end of its life without a knee.
    """
    from producer.simulate import Ageing

    return (
        Ageing(fade=0.075 / cycles, knee=3.0 * cycles, width=0.2 * cycles),
        Ageing(fade=0.100 / cycles, knee=1.0 * cycles, width=0.08 * cycles),
        Ageing(fade=0.160 / cycles, knee=0.93 * cycles, width=0.1 * cycles),
        Ageing(fade=0.300 / cycles, knee=3.0 * cycles, width=0.2 * cycles),
    )


def _make_empty(data_dir: Path) -> None:
    """Make an empty folder for a demo; the folder of an earlier demo is replaced."""
    if data_dir.exists() and not data_dir.is_dir():
        raise BatteryError(f"--data-dir {data_dir} is not a folder")
    if data_dir.exists() and any(data_dir.iterdir()):
        if not (data_dir / MARK).exists():
            raise BatteryError(f"--data-dir {data_dir} holds files that are not of a demo; choose an empty folder")
        shutil.rmtree(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / MARK).touch()


def _simulate(folder: Path, cells: int, cycles: int, console: Console) -> None:
    from producer.simulate import simulate_cell

    started = time.monotonic()
    ageing = ways_of_ageing(cycles)
    with console.status("simulating") as shown:
        for number in range(1, cells + 1):
            shown.update(f"simulating cell {number} of {cells}")
            simulate_cell(
                folder,
                f"SIM_{number:02d}",
                cycles=cycles,
                seed=number,
                cycles_per_file=max(2, -(-cycles // FILES)),
                ageing=ageing[(number - 1) % len(ageing)],
                log_every=LOG_EVERY,
            )
    console.print(
        f"simulated {cells} cells of {cycles} cycles as Arbin workbooks in {_from_here(folder)} "
        f"({time.monotonic() - started:.0f} s)"
    )


def run_step(step: Step, environment: Mapping[str, str], log: Path, console: Console) -> None:
    """Run a step; its output goes to a file, and its result and duration to the terminal.

    Args:
        step: the command.
        environment: variables on top of those of this process.
        log: the file for its output.
        console: shows the progress of the step while it runs, where it is a terminal, and its result.

    Raises:
        BatteryError: it failed; names the file, and its last line.
    """
    from rich.text import Text

    started = time.monotonic()
    last = result = complaint = ""
    with (
        log.open("w", encoding="utf-8") as file,
        console.status(Text(step.title)) as shown,
        start_command(["--with-parent", *step.arguments], environment, output=subprocess.PIPE) as process,
    ):
        try:
            for line in process.stdout or ():
                file.write(line)
                last = line.strip() or last
                if line.startswith(step.result):
                    result = " ".join(line.split())
                if line.startswith("battery: "):
                    complaint = line.strip()
                if progress := _DBT_PROGRESS.search(line):
                    shown.update(Text(f"{step.title}  {progress[1]}"))
            process.wait()  # before its standard input closes, which would ask it to end
        except BaseException:
            kill_processes([process])
            raise
    if process.returncode:
        raise BatteryError(
            f"the demo stopped: `{step.title}` ended with exit code {process.returncode}: "
            f"{plain(complaint or last) or 'without output'}; its whole output is in {log}"
        )
    console.print(f"$ {step.title}", style="bold")
    console.print(f"  {plain(result or last)} ({time.monotonic() - started:.0f} s)")


def _summarise(data_dir: Path, console: Console) -> None:
    import duckdb
    from rich.table import Table

    with duckdb.connect(str(data_dir / "battery.duckdb"), read_only=True) as connection:
        rows = connection.execute(CELLS).fetchall()
        readings, files = connection.execute(LANDED).fetchone() or (0, 0)
        (quarantined,) = connection.execute(QUARANTINED).fetchone() or (0,)
    table = Table(title="how the simulated cells age")
    for name in ("cell", "cycles", "first Ah", "last Ah", "SOH %", "knee", "end of life"):
        table.add_column(name, justify="left" if name == "cell" else "right")
    for cell, complete, initial, latest, soh, knee, end, projected in rows:
        capacities = _figure(initial, 4), _figure(latest, 4), _figure(soh and 100 * soh, 1)
        end_of_life = _figure(end, 0) if projected is None else f"~{projected:.0f}"
        table.add_row(cell, str(complete), *capacities, _figure(knee, 0), end_of_life)
    console.print()
    console.print(table)
    console.print("SOH is the last complete cycle's share of the nominal 1.1 Ah. At a knee fading turns fast.")
    console.print("Life ends where the median of 11 cycles falls below 80 % of 1.1 Ah; ~ marks a projected cycle.")
    console.print(f"{readings} readings of {files} workbooks landed.")
    console.print(f"{quarantined} are in quarantine: they come from a second export of a workbook that had landed.")
    console.print("Where to look next:")
    command, data = _command(), _from_here(data_dir)
    console.print(f"  dashboard  {shlex.join([*command, 'dashboard', '--data-dir', data])}")
    console.print(
        f"  commands   {shlex.join([*command, '--data-dir', data])} report SIM_01  (or export, cells, doctor, …)"
    )
    console.print(f'  notebook   import battery; battery.open({data!r}).cycles("SIM_01")')
    console.print(
        f"  tables     {_from_here(data_dir / 'battery.duckdb')}  (battery_cells, battery_cycles, battery_ts, …)"
    )
    console.print(f"  objects    {_from_here(data_dir / 'objects')}  (raw workbooks, one Parquet object a commit)")
    console.print(
        f"  logs       {_from_here(data_dir / 'logs')}  (the whole output of each step, dbt's in transform.log)"
    )
    console.print("  guides     docs/guides/your-data.md: your own workbooks, queries, and real servers")


def _command() -> list[str]:
    """The `battery` command, as a shell in this folder with any PATH runs it."""
    program = Path(sys.executable).with_name("battery")
    return [_from_here(program)] if program.exists() else [sys.executable, "-m", "battery"]


def _from_here(path: Path) -> str:
    """A path, relative to the current folder if it lies below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _figure(value: float | None, digits: int) -> str:
    """A number for the table, or a dash if it is unknown."""
    return "-" if value is None else f"{value:.{digits}f}"
