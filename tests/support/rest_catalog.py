"""A REST catalog of Iceberg tables, as far as publishers and readers ask one, on a catalog in SQLite."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.schema import Schema
from pyiceberg.table import CommitTableRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pyiceberg.table import CommitTableResponse, Table

_STATUS: dict[type[Exception], int] = {
    NoSuchTableError: 404,
    NoSuchNamespaceError: 404,
    TableAlreadyExistsError: 409,
    NamespaceAlreadyExistsError: 409,
    CommitFailedException: 409,
}


@dataclass
class RestCatalogServer:
    """The server: where it is, what token it asks for, and what was asked of it."""

    url: str
    token: str
    asked: list[str] = field(default_factory=list)


def _shown(table: Table | CommitTableResponse) -> dict[str, Any]:
    return {"metadata-location": table.metadata_location, "metadata": json.loads(table.metadata.model_dump_json())}


def _answer(  # noqa: C901, PLR0911  # one for each question
    catalog: SqlCatalog, method: str, path: Sequence[str], body: dict[str, Any]
) -> dict[str, Any] | None:
    match method, *path:
        case "GET", "config":
            return {"defaults": {}, "overrides": {}}
        case "GET", "namespaces":
            return {"namespaces": catalog.list_namespaces()}
        case "POST", "namespaces":
            catalog.create_namespace(tuple(body["namespace"]))
            return {"namespace": body["namespace"], "properties": {}}
        case "GET" | "HEAD", "namespaces", namespace:
            catalog.load_namespace_properties(namespace)
            return {"namespace": [namespace], "properties": {}}
        case "GET", "namespaces", namespace, "tables":
            found = catalog.list_tables(namespace)
            return {"identifiers": [{"namespace": list(name[:-1]), "name": name[-1]} for name in found]}
        case "POST", "namespaces", namespace, "tables":
            schema, made = Schema.model_validate(body["schema"]), (namespace, body["name"])
            return _shown(catalog.create_table(made, schema, body["location"], properties=body["properties"]))
        case "GET" | "HEAD", "namespaces", namespace, "tables", name:
            return _shown(catalog.load_table((namespace, name)))
        case "POST", "transactions", "commit":
            for change in body["table-changes"]:
                named = change["identifier"]
                _answer(catalog, "POST", ["namespaces", named["namespace"][0], "tables", named["name"]], change)
            return {}
        case "POST", "namespaces", namespace, "tables", name:
            asked = CommitTableRequest.model_validate(body | {"identifier": {"namespace": [namespace], "name": name}})
            table = catalog.load_table((namespace, name))
            return _shown(catalog.commit_table(table, asked.requirements, asked.updates))
    return None


@contextmanager
def rest_catalog(folder: Path, token: str) -> Iterator[RestCatalogServer]:
    """Serve a catalog until the block ends."""
    lock = threading.Lock()
    catalog = SqlCatalog("rest", uri=f"sqlite:///{folder / 'rest.sqlite'}?check_same_thread=False")

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = [unquote(part) for part in urlsplit(self.path).path.split("/") if part]
            server.asked.append(f"{self.command} {'/'.join(path)}")
            status, told = 200, {}
            with lock:
                try:
                    if self.headers.get("Authorization") != f"Bearer {token}":
                        status, told = 401, _error(401, "NotAuthorizedException", "no such token")
                    else:
                        found = _answer(catalog, self.command, path[1:], json.loads(body or b"{}"))
                        status, told = (200, found) if found is not None else (404, _error(404, "NotFound", self.path))
                except tuple(_STATUS) as error:
                    status = _STATUS[type(error)]
                    told = _error(status, type(error).__name__, str(error))
            answer = b"" if self.command == "HEAD" else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_HEAD = do_POST = _do  # noqa: N815  # names of http.server

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = RestCatalogServer(f"http://127.0.0.1:{http.server_port}", token)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
        catalog.close()


def _error(code: int, kind: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": code}}
