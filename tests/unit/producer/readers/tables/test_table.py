"""Values of a table of any types, and the place of those that cannot be taken."""

from __future__ import annotations

import pyarrow as pa
import pytest

from producer.readers.base import BadWorkbookError
from producer.readers.tables.table import Table


def test_a_whole_number_that_no_double_holds_is_named_with_its_row() -> None:
    table = Table("a.parquet", {"n": pa.chunked_array([[1, 2**60]])})
    with pytest.raises(BadWorkbookError, match=r"^a\.parquet, column n, row 3: .* is not a whole number"):
        table.whole_numbers("n")
