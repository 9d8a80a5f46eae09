"""The HTTP of the gateway: who may post, how much, and what is answered.

Every answer is JSON. One of 202 has counts and notes; every other has `problems`, one line each.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio.to_thread
import structlog
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import Route

from kernel.contract.reading import TEXT_BYTES
from kernel.contract.show import first_line, quoted
from producer.gateway.bodies import DEFAULTS, BadBodyError, Outgoing, TooLargeBodyError, messages, read_body
from producer.gateway.delivery import BehindError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr
    from starlette.requests import Request

    from kernel.contract.weight import Limits
    from producer.gateway.delivery import Delivery

JSON_TYPE: Final = "application/json"
LINES_TYPES: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-lines")

BODY_SECONDS: Final = 60.0
"""How long a body may take to come, s."""

READERS: Final = 2
"""Bodies that are read at a time: as objects they take many times their bytes."""

SOURCE: Final = "gateway"
"""The `source_file` of readings that do not say where they come from."""

_OPTIONS: Final = {*DEFAULTS, "source_file", "late"}
_LOCAL: Final = {"127.0.0.1", "localhost", "[::1]"}
_PORT: Final = re.compile(r":\d+$")

_log = structlog.get_logger()


@dataclass(frozen=True)
class Terms:
    """What is taken, and from whom.

    `token` is what a sender must know, `body_bytes` how large a body may be, `message_bytes` how large a message, and
    `limits` those of the worker. `ack_seconds` is how long the broker may take. Without a token only requests to this
    machine by its own names are taken: a page in a browser could lead another name here.
    """

    token: SecretStr | None
    body_bytes: int
    message_bytes: int
    ack_seconds: float
    limits: Limits


class _Refusal(Exception):  # noqa: N818  # an answer, not a fault of ours
    """A request is answered otherwise than with 202."""

    def __init__(self, status: int, *problems: str, **headers: str) -> None:
        super().__init__(problems[0])
        self.status = status
        self.problems = problems
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def gateway(delivery: Delivery, terms: Terms) -> Starlette:
    """The application: `POST /readings` and `GET /health`."""
    readers = CapacityLimiter(READERS)

    async def readings(request: Request) -> JSONResponse:
        options, lines = _admit(request, terms)
        body = await _body(request, terms, delivery)
        try:
            defaults = {name: options[name] for name in DEFAULTS if name in options}

            def read() -> tuple[list[Outgoing], list[str]]:
                posted = read_body(body, defaults, lines=lines, most_rows=terms.limits.rows)
                return messages(posted, terms.message_bytes, terms.limits), posted.notes

            outgoing, notes = await anyio.to_thread.run_sync(read, limiter=readers)
            source = options.get("source_file", SOURCE)
            await _deliver(delivery, outgoing, source, terms.ack_seconds, late=options.get("late") == "true")
        finally:
            delivery.release(len(body))
        counts = {
            "accepted": sum(message.rows for message in outgoing),
            "cells": len({message.cell_id for message in outgoing}),
            "messages": len(outgoing),
        }
        return JSONResponse({**counts, "notes": notes}, 202)

    async def health(_request: Request) -> JSONResponse:
        await anyio.to_thread.run_sync(delivery.probe)
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/readings", _answered(readings), methods=["POST"]),
            Route("/health", _answered(health), methods=["GET"]),
        ],
        exception_handlers={HTTPException: _no_route},
    )


_Endpoint = Callable[["Request"], Awaitable[JSONResponse]]


def _answered(endpoint: _Endpoint) -> _Endpoint:
    """An endpoint whose errors are answers, each with its status and in a line."""

    async def answer(request: Request) -> JSONResponse:
        try:
            return await endpoint(request)
        except Exception as error:  # noqa: BLE001  # a sender gets an answer, whatever nobody foresaw
            refusal = _refusal(error)
        _log.warning("a request was refused", status=refusal.status, problem=str(refusal), path=request.url.path)
        return JSONResponse({"problems": refusal.problems}, refusal.status, refusal.headers)

    return answer


def _refusal(error: Exception) -> _Refusal:
    """What to answer instead of an error."""
    if isinstance(error, _Refusal):
        return error
    if isinstance(error, BadBodyError):
        return _Refusal(400, *error.problems)
    if isinstance(error, TooLargeBodyError):
        return _Refusal(413, str(error))
    if isinstance(error, BehindError | UnreachableError):
        status = 429 if isinstance(error, BehindError) else 503
        return _Refusal(status, f"{error}; send the same again later", Retry_After=str(error.seconds))
    if isinstance(error, ClientDisconnect):
        return _Refusal(400, "the sender went away before its body had come")
    return _Refusal(500, f"unexpected {type(error).__name__}: {first_line(error)}")


async def _no_route(request: Request, error: Exception) -> JSONResponse:
    """What is answered where there is nothing, or not for that method."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    said = f"there is no {request.method} {request.url.path}; there are POST /readings and GET /health"
    return JSONResponse({"problems": [said]}, status, headers)


def _admit(request: Request, terms: Terms) -> tuple[Mapping[str, str], bool]:
    """See that a request may be taken, before its body is: what its address says, and whether its body is lines.

    Raises:
        _Refusal: it may not.
    """
    if terms.token is None:
        host = _PORT.sub("", request.headers.get("host", ""))
        if host not in _LOCAL:
            raise _Refusal(400, f"the host {quoted(host)} is not this machine; without GATEWAY_TOKEN there is no other")
    elif not _knows(request.headers.get("authorization", ""), terms.token):
        raise _Refusal(401, "send the token as Authorization: Bearer TOKEN", WWW_Authenticate="Bearer")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON_TYPE and kind not in LINES_TYPES:
        raise _Refusal(415, f"content-type is {quoted(kind)}; send {JSON_TYPE}, or {LINES_TYPES[0]} for one a line")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise _Refusal(415, "the body is compressed; send it as it is")
    options = dict(request.query_params)
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise _Refusal(400, f"the address has {quoted(unknown[0])}; it may have {', '.join(sorted(_OPTIONS))}")
    if options.get("late", "true") not in {"true", "false"}:
        raise _Refusal(400, f"late is {quoted(options['late'])}, neither true nor false")
    if len(options.get("source_file", "").encode()) > TEXT_BYTES:
        raise _Refusal(400, f"source_file takes more than {TEXT_BYTES} bytes")
    _require_size(int(request.headers.get("content-length", 0)), terms)
    return options, kind != JSON_TYPE


def _knows(authorization: str, token: SecretStr) -> bool:
    """Whether a header has the token; how long this takes does not tell how much of it was right."""
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(
        given.strip().encode("latin-1"), token.get_secret_value().encode()
    )


def _require_size(size: int, terms: Terms) -> None:
    if size > terms.body_bytes:
        raise _Refusal(
            413, f"the body is larger than GATEWAY_MAX_BYTES={terms.body_bytes}; send fewer readings at a time"
        )


async def _body(request: Request, terms: Terms, delivery: Delivery) -> bytes:
    """The body, which is held by `delivery` from here on.

    Raises:
        _Refusal: it is too large, or takes too long.
        BehindError: there is no room for it.
        UnreachableError: nothing is taken as the broker is away.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                _require_size(len(body) + len(chunk), terms)
                delivery.hold(len(chunk))
                body += chunk
    except TimeoutError:
        delivery.release(len(body))
        raise _Refusal(408, f"the body did not come within {BODY_SECONDS:.0f} s") from None
    except BaseException:
        delivery.release(len(body))
        raise
    return bytes(body)


async def _deliver(delivery: Delivery, outgoing: list[Outgoing], source: str, seconds: float, *, late: bool) -> None:
    """Give messages to the broker and wait until it has all of them.

    Raises:
        BehindError: it is behind.
        UnreachableError: it is away, or does not take them.
    """
    sending = delivery.send(outgoing, source, late=late)
    done = asyncio.wrap_future(sending.done)
    done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # maybe when nobody waits any more
    await asyncio.wait({done}, timeout=seconds)
    if not done.done():
        await anyio.to_thread.run_sync(delivery.give_up, sending)
    await done
