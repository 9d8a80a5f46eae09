"""The examples in the docstrings of the landing run, and give what they show."""

from __future__ import annotations

import doctest
import importlib
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["sink.commit", "sink.draft", "sink.manifest", "sink.care.retry"])
def test_the_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with capture_logs():
        results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.attempted > 0
    assert results.failed == 0
