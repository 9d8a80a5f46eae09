"""The examples in the docstrings of the kernel run, and say what they show."""

from __future__ import annotations

import doctest
import importlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SOCKETS = (
    "kernel.base.warehouse_address",
    "kernel.contract.batch",
    "kernel.contract.poll",
    "kernel.edges.kafka",
    "kernel.edges.objects",
    "kernel.edges.offsets",
    "kernel.edges.warehouse",
)
"""Modules whose public face has an example."""


@pytest.mark.parametrize("name", SOCKETS)
def test_the_examples_of_a_socket_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0, "no example"
    assert results.failed == 0
