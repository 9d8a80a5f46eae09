"""Commands that run parts of the pipeline on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from kernel.base.startup import start


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=9092, show_default=True, help="Port on 127.0.0.1.")
def broker(port: int) -> None:
    """Run an embedded Kafka-protocol broker in the foreground; its log ends with it."""
    from kernel.edges.broker import serve

    serve(port)


@click.command()
@click.option(
    "--inbox", type=click.Path(path_type=Path), default=Path("data/inbox"), show_default=True,
    help="Folder whose workbooks are published as they come; made where it is absent.",
)  # fmt: skip
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Port of the dashboard on 127.0.0.1."
)
@click.option("--no-dashboard", is_flag=True, help="Do without the dashboard, which is an extra.")
@click.pass_obj
def up(debug: bool, inbox: Path, port: int, no_dashboard: bool) -> None:
    """Run broker, worker, watched inbox, refresh and dashboard on this machine, until SIGTERM or Ctrl-C."""
    settings = start(debug)
    from battery.up import up as run

    run(settings, inbox, None if no_dashboard else port, debug=debug)


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), default=Path("data/demo"), show_default=True)
@click.option("--cells", type=click.IntRange(1, 100), default=3, show_default=True, help="How many cells to simulate.")
@click.option("--cycles", type=click.IntRange(2, 2000), default=120, show_default=True, help="Cycles of each cell.")
@click.pass_obj
def demo(debug: bool, data_dir: Path, cells: int, cycles: int) -> None:
    """Show the main job on embedded parts: simulate, produce, stream, transform, verify."""
    from battery.demo import demo as run

    run(data_dir, cells=cells, cycles=cycles, debug=debug)


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Port on 127.0.0.1.")
@click.pass_obj
def airflow(debug: bool, port: int) -> None:
    """Run Airflow with the hourly refresh on this machine, until SIGTERM or Ctrl-C."""
    start(debug)
    from battery.airflow import serve

    serve(port)
