from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _only_our_dbt(only_our_dbt: None) -> None:
    """All tests of the project have it."""
