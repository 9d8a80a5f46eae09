"""Errors meant for a person: one line that names what is wrong, where, and what to do."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class BatteryError(Exception):
    """Something a user or operator can mend; its message is one line and needs no traceback.

    The `battery` command prints the message and exits with code 2.
    """


class StartAgainError(BatteryError):
    """A running worker must start again to go on, and needs nobody's decision for it."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what caused it, and so on to the innermost; each once, where they cause each other in a circle."""
    told: list[int] = []
    cause: BaseException | None = error
    while cause is not None and id(cause) not in told:
        yield cause
        told.append(id(cause))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def battery_error_in(error: BaseException) -> BatteryError | None:
    """The first of our own errors in a chain of causes, where another library raises around it."""
    return next((cause for cause in causes(error) if isinstance(cause, BatteryError)), None)


LAST_WORDS: Final[list[Exception]] = []
"""What the parts of the flow have raised in this process, the first one first."""


def with_last_words(part: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Remember what a part of the flow raises: of several processes, Bytewax reports only that threads panicked."""

    @wraps(part)
    def heard(*arguments: _Parameters.args, **named: _Parameters.kwargs) -> _Result:
        try:
            return part(*arguments, **named)
        except StopIteration:  # how a source says that it has ended
            raise
        except Exception as error:
            LAST_WORDS.append(error)
            raise

    return heard
