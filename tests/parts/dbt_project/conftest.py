from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.warm import WarmDbt

import refresh.dbt

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def warm_dbt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmDbt]:
    """One process that has loaded dbt, for all tests of the project."""
    dbt = WarmDbt(tmp_path_factory.mktemp("warm"))
    yield dbt
    dbt.end()


@pytest.fixture(scope="module", autouse=True)
def _only_our_dbt(warm_dbt: WarmDbt) -> Iterator[None]:
    """The environment of whoever runs the suite must not change what dbt does."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("DBT_")]:
            patch.delenv(name)
        patch.setattr(refresh.dbt, "subprocess", warm_dbt)
        yield
