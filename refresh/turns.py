"""Which of several hosts' publications readers see: the one of the newest landing, whichever host ends first.

Several hosts may refresh the same warehouse and publish to the same object store. Each takes a number with the landing
that it builds from. A publication holds the turn for the moment in which it replaces what all hosts publish to. One
whose number is smaller than that of the publication in the store leaves the store as it is. Numbers, and the manifest
of the newest publication, are marks in the warehouse's own table `_refreshed`, beside those that tell the status what
the published models were built from.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import duckdb

from kernel.base.errors import BatteryError
from kernel.edges.warehouse import Postgres, transaction
from sink.layout import INTERNAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kernel.edges.warehouse import Judge, Warehouse

_NO_MARKS: Final = "the WAREHOUSE was made by an earlier version; `battery stream --until-end` adds what it lacks"

TAKEN: Final = "_taken"
"""The mark with the number of the landing that was taken last."""

PUBLISHED: Final = "_published"
"""The mark with the number of the landing that the newest publication is of. Its row is what a turn locks."""

MANIFEST: Final = "_manifest"
"""The mark with the text of the manifest of the newest publication."""


def take_number(judge: Judge) -> int:
    """A number greater than all before, for the landing that is seen from now on.

    Args:
        judge: in a transaction; whoever takes the next number waits until it ends.

    Raises:
        duckdb.Error: the warehouse does not answer.
    """
    judge.execute(_COUNT_UP)
    return _number(judge, TAKEN)


_COUNT_UP: Final = f"""
    update {INTERNAL}._refreshed set version = cast(
        greatest(
            cast(version as bigint),
            (select cast(version as bigint) from {INTERNAL}._refreshed where model = '{PUBLISHED}')
        ) + 1 as varchar
    )
    where model = '{TAKEN}'
"""  # noqa: S608  # a host may have published again what it had taken before an older copy was restored


@dataclass
class Turn:
    """The moment in which no other host publishes.

    Attributes:
        is_newest: whether no newer landing has been published than the one of this host's models.
        manifest: the text of the manifest of the newest publication; None where the warehouse has not kept any.
    """

    is_newest: bool
    manifest: str | None = None
    _judge: Judge | None = None
    _number: int = 0

    def note(self, marks: Mapping[str, str]) -> None:
        """Keep marks of what was published, by name; they count when the turn ends without an error."""
        if self._judge is not None:
            with _recorded():
                for name, version in {**marks, PUBLISHED: str(self._number)}.items():
                    _set_mark(self._judge, name, version)


@contextmanager
def _recorded() -> Iterator[None]:
    """Say what it means that the warehouse fails while a publication is recorded.

    Raises:
        BatteryError: it did.
    """
    try:
        yield
    except duckdb.Error as error:
        raise BatteryError(
            f"the publication could not be recorded: {str(error).splitlines()[0]}; the next one puts it right"
        ) from error


@contextmanager
def take_turn(landing: Warehouse, number: int) -> Iterator[Turn]:
    """Let no other host publish until the block ends, which must be short; another host waits so long.

    Args:
        landing: the warehouse.
        number: that of the landing of this host's models.

    Raises:
        BatteryError: the warehouse does not answer, or has ended the turn of a host that did not; the store may hold
            what was written by then, which the next publication puts right.
    """
    of_publishing: duckdb.Error | None = None
    try:
        with _recorded(), landing.judge("publish the models") as judge, transaction(judge):
            _hold_turn(judge)
            newest = _number(judge, PUBLISHED)
            kept = judge.execute(f"select version from {INTERNAL}._refreshed where model = ?", [MANIFEST]).fetchone()  # noqa: S608
            try:
                yield Turn(number >= newest, None if kept is None else str(kept[0]), judge, number)
            except duckdb.Error as error:
                of_publishing = error
                raise
    except BatteryError as error:
        if of_publishing is not None and error.__cause__ is of_publishing:
            raise of_publishing from None  # it is not about the record
        raise


@contextmanager
def be_alone(warehouse: Warehouse) -> Iterator[bool]:
    """Be the only process of all hosts that sends alerts, until the block ends; whether this one is.

    In a DuckDB file and in MotherDuck nobody is asked. A host that has gone gives way once PostgreSQL has noticed that.

    Raises:
        BatteryError: PostgreSQL does not answer.
    """
    if not isinstance(warehouse, Postgres):
        yield True
        return
    try:
        with warehouse.judge("send alerts") as session:
            is_alone = session.execute(f"select pg_try_advisory_lock({_SENDER})").fetchone() == (True,)
            try:
                yield is_alone
            finally:
                if is_alone:
                    session.execute(f"select pg_advisory_unlock({_SENDER})")
    except duckdb.Error as error:
        raise BatteryError(f"cannot send alerts alone: {str(error).splitlines()[0]}") from error


_SENDER: Final = "1650553972, 21"
"""The key of the lock of who sends alerts; `sink.postgres.fence` has others of the same first half."""


def _hold_turn(judge: Judge) -> None:
    """Wait until no other host has the turn, and have it until the transaction ends.

    Raises:
        BatteryError: there is no mark to hold.
    """
    held = judge.execute(f"update {INTERNAL}._refreshed set version = version where model = '{PUBLISHED}'")  # noqa: S608
    if held.fetchone() != (1,):
        raise BatteryError(_NO_MARKS)


def _number(judge: Judge, mark: str) -> int:
    row = judge.execute(f"select version from {INTERNAL}._refreshed where model = ?", [mark]).fetchone()  # noqa: S608
    if row is None:
        raise BatteryError(_NO_MARKS)
    return int(row[0])


def _set_mark(judge: Judge, name: str, version: str) -> None:
    # The row must stay the same one: whoever waits for it to be changed would find none, and hold nothing.
    values: list[Any] = [name, "", "", version]
    judge.execute(
        f"insert into {INTERNAL}._refreshed (model, cell_id, test_id, version) values (?, ?, ?, ?) "  # noqa: S608
        "on conflict (model, cell_id, test_id) do update set version = excluded.version",
        values,
    )
