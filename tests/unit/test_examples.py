"""The examples in the docstrings run, and give what they show."""

from __future__ import annotations

import doctest
import importlib
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs
from support.places import ROOT

from kernel.edges.objects import ObjectStore
from kernel.edges.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES = ("ageing", "battery", "dashboard", "dataflows", "kernel", "producer", "refresh", "sink")

SOCKETS = (
    "kernel.base.warehouse_address",
    "kernel.contract.batch",
    "kernel.contract.poll",
    "kernel.edges.consumer",
    "kernel.edges.kafka",
    "kernel.edges.objects",
    "kernel.edges.offsets",
    "kernel.edges.warehouse",
    "producer.readers.base",
    "producer.readers.registry",
    "refresh.publish",
    "sink.commit",
)
"""Modules whose public face has an example."""

PROTOCOLS = (ObjectStore, Warehouse)


def with_examples() -> Iterator[str]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if ">>> " in path.read_text():
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


EXAMPLES = tuple(with_examples())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with capture_logs():
        results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.attempted > 0
    assert results.failed == 0


def test_every_socket_has_an_example() -> None:
    assert set(SOCKETS) <= set(EXAMPLES)
    assert [protocol for protocol in PROTOCOLS if ">>> " not in (protocol.__doc__ or "")] == []
