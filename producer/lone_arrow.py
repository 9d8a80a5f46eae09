"""Arrow without pandas: imported first in a process that reads files, and in no other.

Arrow asks of nearly all that it converts whether it is something of pandas, and for that imports pandas where it is
installed: half a second in every process, longer than most files take to read. It asks once. A reader that needs pandas
may still import it, but Arrow's own `to_pandas` is gone in such a process.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class _NoPandas(MetaPathFinder):
    """Says that pandas is not installed."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  # every finder is asked alike
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Refuse pandas, and leave all else to others."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname, name=fullname)
        return None


_NONE = _NoPandas()
sys.meta_path.insert(0, _NONE)
pa.array([0])
sys.meta_path.remove(_NONE)
