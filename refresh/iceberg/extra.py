"""Whether the extra `iceberg` is there: asked before any other module of this package is imported."""

from __future__ import annotations

from importlib.util import find_spec

from kernel.base.extras import missing_extra


def require_iceberg() -> None:
    """Refuse where the extra is not installed.

    Raises:
        BatteryError: says how to install it.
    """
    if find_spec("pyiceberg") is None:
        raise missing_extra("`battery publish --iceberg`", "iceberg")
