"""The command that looks at everything that a pipeline on this machine needs."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from kernel.base.command import EXIT_INCOMPLETE
from kernel.base.output import say
from kernel.base.startup import start


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_obj
def doctor(debug: bool, as_json: bool) -> int:
    """Look at versions, settings, disk, clocks, broker, store, warehouse, parts and locks, each with what to do.

    Exits with 1 where there is a fault; warnings do not count. It changes nothing.
    """
    settings = start(debug)
    from battery.doctor.checks import State
    from battery.doctor.probes import examine

    findings = examine(settings)
    is_well = all(finding.state is not State.FAULT for finding in findings)
    if as_json:
        say(json.dumps({"ok": is_well, "findings": [asdict(finding) for finding in findings]}))
    else:
        say(*findings)
    return 0 if is_well else EXIT_INCOMPLETE
