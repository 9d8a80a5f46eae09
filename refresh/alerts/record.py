"""The record of the alerts that have been sent: one object in the store, beside the marts.

It is there, and not in the warehouse, so that a warehouse that is built anew does not tell all of it again; a backup
has it with the other objects.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kernel.edges.objects import ObjectStore
    from refresh.alerts.found import Alert

RECORD: Final = "alerts/sent.json"
"""The key of the object."""

VERSION: Final = 1


@dataclass(frozen=True)
class Sent:
    """An alert that was sent, at `sent_at`; times are UTC.

    `withdrawn_at` is when it was first seen that it does not hold any more, such as after data was corrected; None
    while it holds. One that holds again is not sent again.
    """

    cell_id: str
    kind: str
    sentence: str
    sent_at: datetime
    withdrawn_at: datetime | None = None


def read_record(store: ObjectStore) -> dict[str, Sent]:
    """The alerts that have been sent, by their ids.

    Raises:
        BatteryError: the store does not answer, or the record is damaged.
    """
    if not any(stored.key == RECORD for stored in store.list(RECORD)):
        return {}
    try:
        content: Mapping[str, Any] = json.loads(store.get(RECORD))
        if content["version"] != VERSION:
            raise BatteryError(f"{RECORD} is of version {content['version']}, this release reads {VERSION}; upgrade")
        return {
            alert_id: Sent(
                entry["cell_id"],
                entry["kind"],
                entry["sentence"],
                datetime.fromisoformat(entry["sent_at"]),
                datetime.fromisoformat(entry["withdrawn_at"]) if entry["withdrawn_at"] else None,
            )
            for alert_id, entry in content["alerts"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BatteryError(
            f"{RECORD} in the OBJECT_STORE is damaged ({error}); take it from a backup, or remove it: then all alerts "
            "are sent once more"
        ) from None


def write_record(store: ObjectStore, sent: Mapping[str, Sent]) -> None:
    """Replace the record.

    Raises:
        BatteryError: the store does not answer.
    """
    entries = {
        alert_id: {
            "cell_id": one.cell_id,
            "kind": one.kind,
            "sentence": one.sentence,
            "sent_at": one.sent_at.isoformat(timespec="seconds"),
            "withdrawn_at": one.withdrawn_at and one.withdrawn_at.isoformat(timespec="seconds"),
        }
        for alert_id, one in sorted(sent.items())
    }
    store.put(RECORD, json.dumps({"version": VERSION, "alerts": entries}, indent=1).encode())


def with_sent(record: Mapping[str, Sent], alerts: Iterable[Alert], at: datetime) -> dict[str, Sent]:
    """The record with alerts that were sent at a time."""
    return {
        **record,
        **{alert.alert_id: Sent(alert.cell_id, alert.kind, alert.sentence, at) for alert in alerts},
    }


def with_withdrawn(record: Mapping[str, Sent], alerts: Iterable[Alert], at: datetime) -> dict[str, Sent]:
    """The record with what does not hold any more marked so, and what holds again not.

    Args:
        record: what was sent.
        alerts: all that hold.
        at: when they were looked at.
    """
    holding = {alert.alert_id for alert in alerts}
    return {
        alert_id: replace(one, withdrawn_at=None if alert_id in holding else one.withdrawn_at or at)
        for alert_id, one in record.items()
    }
