"""Arrow tables as the frames that notebooks work with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from kernel.base.errors import BatteryError
from kernel.base.extras import missing_extra

if TYPE_CHECKING:
    import pyarrow as pa

FrameKind: TypeAlias = Literal["pandas", "polars", "arrow"]
"""`pandas` is a `pandas.DataFrame`, `polars` a `polars.DataFrame`, `arrow` a `pyarrow.Table`."""

KINDS: Final = get_args(FrameKind)


def require_kind(kind: str) -> None:
    """Check the name of a kind.

    Raises:
        BatteryError: there is no such kind.
    """
    if kind not in KINDS:
        raise BatteryError(f"as_={kind!r} is no kind of frame: it is one of {', '.join(KINDS)}")


def frame(table: pa.Table, kind: FrameKind) -> Any:  # noqa: ANN401  # which of the three, the argument says
    """A table as a frame; polars shares the table's memory, and pandas copies what it must.

    In pandas, a whole number that is missing makes its column one of floats, with NaN.

    Raises:
        BatteryError: there is no such kind, its library is not installed, or it cannot hold the table.
    """
    require_kind(kind)
    try:
        if kind == "pandas":
            return table.to_pandas()
        if kind == "polars":
            import polars as pl  # noqa: PLC0415  # an extra

            try:
                return pl.from_arrow(table)
            except pl.exceptions.PolarsError as error:
                why = str(error).partition("\n")[0]
                raise BatteryError(f'polars cannot hold the answer: {why}; as_="arrow" can') from None
    except ModuleNotFoundError:
        raise missing_extra(f"a frame of {kind}", "notebook") from None
    return table
