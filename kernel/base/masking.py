"""Masking of possible secrets in log lines and errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

_SECRET_NAME = re.compile(r"password|secret|token|access_key", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"((?:motherduck_token|password|secret_key|token)=)[^&\s'\";]+", re.IGNORECASE)
_URL = re.compile(r"\b(?P<scheme>[a-z][a-z0-9+._-]*:/{1,3})(?P<rest>[^\s'\"<>]+)", re.IGNORECASE)
_HOST = re.compile(r"(?:\[[0-9a-f:.%]+\]|[^:/]*)(?::\d{1,5})?(?:/|$)", re.IGNORECASE)


def mask_urls(text: str) -> str:
    """A text without the user information, query strings and fragments of the URLs in it, which may be secrets."""
    return _URL.sub(_masked, text)


def _masked(url: re.Match[str]) -> str:
    head, mark, tail = re.fullmatch(r"([^?#]*)([?#]?)(.*)", url["rest"], re.DOTALL).groups()  # type: ignore[union-attr]
    user, at, place = head.rpartition("@")
    if not _HOST.match(place) or ("@" in tail and ":" in place.partition("/")[0]):
        return f"{url['scheme']}***"  # the password has such a mark in it, so its end is unknown
    return f"{url['scheme']}{'***@' if user or at else ''}{place}{mark}{'***' if tail else ''}"


def mask_text(text: str) -> str:
    """A text without what may be a secret in it: URLs as by `mask_urls`, and what follows the name of a secret.

    >>> mask_text("cannot open md:lab?motherduck_token=hush at SASL_SSL://user:hush@host:9092")
    'cannot open md:lab?motherduck_token=*** at SASL_SSL://***@host:9092'
    """
    return mask_urls(_SECRET_TEXT.sub(r"\1***", text))


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide values whose name, or whose text, says that they are a secret."""
    for name, value in event.items():
        if _SECRET_NAME.search(name):
            event[name] = "***"
        elif isinstance(value, str):
            event[name] = mask_text(value)
    return event
