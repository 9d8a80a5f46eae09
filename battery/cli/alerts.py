"""`battery alerts`: the cells that deserve a look, shown and sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from kernel.base.output import say
from kernel.base.startup import start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from refresh.alerts.found import Alert
    from refresh.alerts.record import Sent


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON, a line an alert.")
@click.pass_context
def alerts(context: click.Context, as_json: bool) -> None:
    """Show which cells deserve a look: fast fade, knee, end of life, low efficiency, heat, a test that stopped sending.

    They are those of the newest publication; whether a test has stopped is judged now. Thresholds are in the file
    BATTERY_ALERT_RULES, by group of cells.
    """
    if context.invoked_subcommand is not None:
        return
    settings = start(context.obj)
    from kernel.edges.objects import open_store
    from refresh.alerts.record import read_record
    from refresh.alerts.send import current_alerts

    found = current_alerts(settings)
    record = read_record(open_store(settings))
    for line in _as_json(found, record) if as_json else _in_words(found, record):
        say(line)


@alerts.command("send")
@click.pass_obj
def alerts_send(debug: bool) -> None:
    """Send the alerts that have not been sent, each once, by the connection AIRFLOW_CONN_BATTERY_ALERTS.

    All that is new goes as one message. What nobody takes is sent by the next run.
    """
    settings = start(debug)
    from refresh.alerts.send import send_alerts

    say(*send_alerts(settings).lines())


def _as_json(found: list[Alert], record: Mapping[str, Sent]) -> Iterator[str]:
    for alert in found:
        sent = record.get(alert.alert_id)
        yield json.dumps({**alert.figures(), "sent_at": sent and sent.sent_at.isoformat()}, ensure_ascii=False)
    for alert_id, sent in _withdrawn(found, record):
        yield json.dumps(
            {
                "alert_id": alert_id,
                "cell_id": sent.cell_id,
                "kind": sent.kind,
                "sentence": sent.sentence,
                "sent_at": sent.sent_at.isoformat(),
                "withdrawn_at": sent.withdrawn_at and sent.withdrawn_at.isoformat(),
            },
            ensure_ascii=False,
        )


def _in_words(found: list[Alert], record: Mapping[str, Sent]) -> Iterator[str]:
    for alert in found:
        sent = record.get(alert.alert_id)
        yield f"{alert.line}  [{f'sent {sent.sent_at:%Y-%m-%d %H:%M} UTC' if sent else 'not sent'}]"
    for _, sent in _withdrawn(found, record):
        at = f" since {sent.withdrawn_at:%Y-%m-%d %H:%M} UTC" if sent.withdrawn_at else ""
        yield f"{sent.cell_id} {sent.sentence}  [sent {sent.sent_at:%Y-%m-%d %H:%M} UTC; does not hold any more{at}]"
    if not found:
        yield "no cell deserves a look by the thresholds that are set"


def _withdrawn(found: list[Alert], record: Mapping[str, Sent]) -> list[tuple[str, Sent]]:
    """What was sent and does not hold any more."""
    holding = {alert.alert_id for alert in found}
    return [(alert_id, sent) for alert_id, sent in record.items() if alert_id not in holding]
