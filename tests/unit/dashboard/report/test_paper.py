"""What the library that draws figures for paper may write."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip("kaleido", reason="kaleido is not installed, which comes with the extra dashboard")

import dashboard.report.paper  # noqa: F401  # it settles what the library may say


def test_a_trace_of_what_the_library_ignores_is_not_written() -> None:
    assert not logging.getLogger("choreographer.channels._wire").isEnabledFor(logging.ERROR)
