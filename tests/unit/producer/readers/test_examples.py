"""The examples in the docstrings of the readers' socket are true."""

from __future__ import annotations

import doctest
from typing import TYPE_CHECKING

import pytest

from producer.readers import base, names, registry

if TYPE_CHECKING:
    from types import ModuleType


@pytest.mark.parametrize("module", [base, names, registry], ids=lambda module: module.__name__)
def test_examples_in_docstrings_are_true(module: ModuleType) -> None:
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)
