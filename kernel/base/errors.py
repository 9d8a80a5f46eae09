"""Errors meant for a person: one line that names what is wrong, where, and what to do."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class BatteryError(Exception):
    """An error that a user or operator can fix; its message is one line and needs no traceback.

    The `battery` command prints the message and exits with code 2.
    """


class StartAgainError(BatteryError):
    """The worker must restart to go on; it does so by itself."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, its cause, the cause of that, and so on; each once, even where they form a circle."""
    seen: list[int] = []
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        yield cause
        seen.append(id(cause))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def battery_error_in(error: BaseException) -> BatteryError | None:
    """The first `BatteryError` in the chain of causes of an error; None where there is none."""
    return next((cause for cause in causes(error) if isinstance(cause, BatteryError)), None)


raised_errors: Final[list[Exception]] = []
"""The errors that parts of the flow have raised in this process, in order."""


def record_errors(part: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Add what a part of the flow raises to `raised_errors`.

    In a cluster, Bytewax reports only that a thread panicked, and not the error itself.
    """

    @wraps(part)
    def recorded(*arguments: _Parameters.args, **named: _Parameters.kwargs) -> _Result:
        try:
            return part(*arguments, **named)
        except StopIteration:  # a source ends by it
            raise
        except Exception as error:
            raised_errors.append(error)
            raise

    return recorded
