"""The examples in the docstrings run, and give what they show."""

from __future__ import annotations

import doctest
import importlib
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs
from support import notebooks
from support.places import ROOT

import battery
from kernel.edges.objects import ObjectStore
from kernel.edges.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES = ("ageing", "battery", "dashboard", "dataflows", "kernel", "producer", "refresh", "sink")

SOCKETS = (
    "battery",
    "battery.lab",
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

OF_NOTEBOOKS = ("battery", "battery.lab")
"""Modules whose examples ask what `battery demo` leaves, by the name `lab`."""

PROTOCOLS = (ObjectStore, Warehouse)


def with_examples() -> Iterator[str]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if ">>> " in path.read_text():
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


EXAMPLES = tuple(with_examples())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    names: dict[str, object] = {}
    if name in OF_NOTEBOOKS:
        notebooks.make(tmp_path / "data" / "demo")
        names = {"battery": battery, "lab": battery.open("data/demo")}
    with capture_logs():
        results = doctest.testmod(module, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert results.attempted > 0
    assert results.failed == 0


def test_every_socket_has_an_example() -> None:
    assert set(SOCKETS) <= set(EXAMPLES)
    assert [protocol for protocol in PROTOCOLS if ">>> " not in (protocol.__doc__ or "")] == []
