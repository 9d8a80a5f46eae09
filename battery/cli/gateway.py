"""The command that takes readings over HTTP."""

from __future__ import annotations

import click

from kernel.base.startup import start


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; for one that other machines reach, set GATEWAY_TOKEN.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8600, show_default=True, help="Port to listen at.")
@click.pass_obj
def gateway(debug: bool, host: str, port: int) -> None:
    """Take readings over HTTP (POST /readings) and publish them to the topic, until SIGTERM or Ctrl-C."""
    settings = start(debug)
    from producer.gateway.serve import serve

    serve(settings, host, port)
