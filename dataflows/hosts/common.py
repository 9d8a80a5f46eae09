"""What must be the same on all hosts of a cluster, told as digests: the settings may name accounts and buckets."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from sink.layout import release

if TYPE_CHECKING:
    from dataflows.hosts.places import Hosts
    from kernel.base.settings import Settings

SAME: Final = (
    "battery_topic", "battery_cells_topic", "object_store", "warehouse", "commit_interval_seconds", "lanes",
    "cell_groups", "window_seconds", "instrument_max_voltage_v", "instrument_max_current_a", "message_max_rows",
    "message_max_bytes", "accept_lost_offsets", "object_grace_seconds",
)  # fmt: skip
"""Settings that decide what lands, or how the work is shared; none of them is a secret."""


def common_settings(settings: Settings, hosts: Hosts, *, until_end: bool) -> dict[str, str]:
    """Short digests by name; two hosts whose digests differ must not be in one run.

    Args:
        settings: of this host.
        hosts: as this host names them.
        until_end: whether its processes stop at the end of the log.
    """
    values = {name.upper(): str(getattr(settings, name)) for name in SAME}
    values |= {
        "release": release(),
        "--hosts": ",".join(map(str, hosts.places)),
        "--workers": str(hosts.workers),
        "--until-end": str(until_end),
    }
    return {name: hashlib.sha256(f"{name}={value}".encode()).hexdigest()[:12] for name, value in values.items()}
