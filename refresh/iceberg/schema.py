"""The columns of an Iceberg table: those of its objects, under the same names.

The objects are written without Iceberg's numbers of columns. A name mapping of the table says which column of an object
has which number, so names with parentheses and slashes stay as they are.
"""

from __future__ import annotations

from itertools import count, pairwise
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.io.pyarrow import UnsupportedPyArrowTypeException, pyarrow_to_schema
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table import TableProperties
from pyiceberg.table.name_mapping import MappedField, NameMapping
from pyiceberg.types import IcebergType, ListType, StructType

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyiceberg.table import Transaction


def iceberg_schema(schema: pa.Schema, table: str) -> Schema:
    """The columns of objects, with numbers of their own; all may be null, since an earlier object may lack one.

    >>> print(iceberg_schema(pa.schema([pa.field("current(a)", pa.float64(), nullable=False)]), "readings"))
    table {
      1: current(a): optional double
    }

    Raises:
        BatteryError: a column has a type that Iceberg does not know.
    """
    columns = pa.schema([field.with_nullable(True).remove_metadata() for field in schema])
    try:
        numbered = pyarrow_to_schema(columns, NameMapping(_mapped(columns, count(1))))
    except (UnsupportedPyArrowTypeException, TypeError, ValueError) as error:
        raise BatteryError(f"{table} cannot be an Iceberg table: {str(error).splitlines()[0]}") from error
    return assign_fresh_schema_ids(numbered)


def _mapped(fields: Iterable[pa.Field], numbers: Iterator[int]) -> list[MappedField]:
    """Numbers for columns and for what is in them."""
    mapped = []
    for field in fields:
        inner: list[pa.Field] = []
        if pa.types.is_struct(field.type):
            inner = [field.type.field(place) for place in range(field.type.num_fields)]
        elif pa.types.is_list(field.type):
            inner = [field.type.value_field.with_name("element")]
        mapped.append(MappedField(field_id=next(numbers), names=[field.name], fields=_mapped(inner, numbers)))
    return mapped


def adopt_schema(transaction: Transaction, schema: pa.Schema, table: str, *, replaces: bool) -> None:
    """Give a table the columns of new objects, and the name mapping of all its columns.

    Args:
        transaction: on the table.
        schema: the columns of the new objects.
        table: its name, for messages.
        replaces: whether no object before stays, so that columns may go; else they are only added.

    Raises:
        BatteryError: a column of objects that stay has another type.
    """
    present = {field.name: field.field_type for field in transaction.table_metadata.schema().fields}
    wanted = {field.name: field.field_type for field in iceberg_schema(schema, table).fields}
    changed = {name for name, kind in wanted.items() if name in present and _text(present[name]) != _text(kind)}
    if changed and not replaces:
        raise BatteryError(
            f"the columns {', '.join(sorted(changed))} of the Iceberg table {table} have other types than those of new "
            "objects; remove the table from the catalog (without its files), and it is made again"
        )
    gone = (set(present) - set(wanted)) | changed if replaces else set()
    new = [name for name in wanted if name not in present or name in changed]
    if gone or new:
        with transaction.update_schema(allow_incompatible_changes=True) as update:
            for name in gone:
                update.delete_column((name,))
            for name in new:
                update.add_column((name,), wanted[name])
    if replaces and [field.name for field in transaction.table_metadata.schema().fields] != list(wanted):
        with transaction.update_schema() as update:
            update.move_first((schema.names[0],))
            for before, name in pairwise(wanted):
                update.move_after((name,), (before,))
    mapping = transaction.table_metadata.schema().name_mapping.model_dump_json()
    if transaction.table_metadata.properties.get(TableProperties.DEFAULT_NAME_MAPPING) != mapping:
        transaction.set_properties({TableProperties.DEFAULT_NAME_MAPPING: mapping})


def _text(kind: IcebergType) -> str:
    """A type without the numbers of what is in it."""
    if isinstance(kind, StructType):
        return f"struct<{', '.join(f'{field.name}: {_text(field.field_type)}' for field in kind.fields)}>"
    if isinstance(kind, ListType):
        return f"list<{_text(kind.element_type)}>"
    return str(kind)
