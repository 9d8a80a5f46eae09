"""What the doctor asks: machine, broker, store, warehouse, and the files that parts leave of themselves.

Whatever does not answer is given up after `PATIENCE_SECONDS`, and all are asked at the same time.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import urllib3

from battery.doctor import checks
from battery.doctor.checks import Finding, State
from battery.doctor.machine import folder_of_store, look_at_machine, user_name
from dataflows.health import Pulse
from kernel.base.errors import BatteryError
from kernel.base.locks import is_locked
from kernel.base.masking import mask_text
from kernel.base.settings import Settings
from kernel.edges.kafka import open_topic
from kernel.edges.objects import open_to_look
from kernel.edges.warehouse import HeldError, open_warehouse
from producer.inbox_state import SIGN_SECONDS, read_inbox
from refresh.dbt import work_folder
from refresh.models import models_status, published_at
from sink.care.overview import look_at_overview
from sink.claim import mark_beyond, read_claim
from sink.tables import NoTablesError
from sink.writers import pipeline_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kernel.edges.objects import ObjectStore

PATIENCE_SECONDS: Final = 2.0
"""How long anything may take to answer, s."""

CONNECT_SECONDS: Final = 1.0

DASHBOARD_PORT: Final = 8501

_HOLDER: Final = re.compile(r"\(PID (\d+)\)")
"""How DuckDB names the process that has a file."""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything, and say of each how it is."""
    probes: dict[str, Callable[[Settings], Iterable[Finding]]] = {
        "machine": look_at_machine,
        "settings": _settings,
        "broker": _broker,
        "store": _store,
        "warehouse": _warehouse,
        "parts": _parts,
        "locks": _locks,
    }
    found: dict[str, list[Finding]] = {name: [] for name in probes}

    def ask(name: str, probe: Callable[[Settings], Iterable[Finding]]) -> None:
        try:
            found[name].extend(probe(settings))  # one by one: what is found by the time others wait is told
        except Exception as error:  # noqa: BLE001  # whatever it is, the other lines are worth having
            found[name].append(_raised(name, error))

    threads = [threading.Thread(target=ask, args=probe, name=probe[0], daemon=True) for probe in probes.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            found[thread.name] = [*found[thread.name], _silent(thread.name, settings)]
    return [
        replace(finding, detail=mask_text(finding.detail), remedy=mask_text(finding.remedy))
        for findings in found.values()
        for finding in findings
    ]


def _raised(name: str, error: Exception) -> Finding:
    """What a probe could not find out, and why."""
    if isinstance(error, PermissionError):
        place = f" {error.filename}" if error.filename else ""
        return Finding(
            name,
            State.FAULT,
            f"user {user_name()} may not read{place}",
            "run as the user who owns it, or change its owner",
        )
    text = (str(error).splitlines() or ["no message"])[0]
    if isinstance(error, BatteryError):
        return Finding(name, State.FAULT, text)
    return Finding(name, State.FAULT, f"unexpected {type(error).__name__}: {text}", "this is a fault of the doctor")


def _silent(name: str, settings: Settings) -> Finding:
    """What has not answered in time, and where to look."""
    within = f"within {PATIENCE_SECONDS:.0f} s"
    if name == "broker":
        return Finding(
            name, State.FAULT,
            f"no broker answers at KAFKA_BOOTSTRAP_SERVERS={settings.kafka_bootstrap_servers} {within}",
            "see whether a broker runs there rather than another program, and whether it speaks "
            f"KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol}",
        )  # fmt: skip
    return Finding(
        name, State.FAULT, f"no answer {within}", f"see whether OBJECT_STORE={settings.object_store} and "
        f"WAREHOUSE={settings.warehouse} are reached",
    )  # fmt: skip


def _settings(settings: Settings) -> Iterator[Finding]:
    yield from checks.check_settings(settings)
    file = Path(".env")
    if file.is_file():
        lines = file.read_text(encoding="utf-8").splitlines()
        names = {name.upper() for name in Settings.model_fields}
        yield from checks.check_env_file(lines, os.environ, names, others_may_read=bool(file.stat().st_mode & 0o004))


def _broker(settings: Settings) -> Iterator[Finding]:
    where = f"KAFKA_BOOTSTRAP_SERVERS={settings.kafka_bootstrap_servers}"
    if not any(map(_listens, settings.kafka_bootstrap_servers.split(","))):
        yield Finding(
            "broker", State.FAULT, f"nothing listens at {where}", "start one with `battery broker`, or name yours"
        )
        return
    try:
        topic = open_topic(settings)
    except BatteryError as error:
        yield Finding("broker", State.FAULT, str(error))
        return
    yield Finding("broker", State.OK, f"{where} has {topic.name} with {len(topic.partitions)} partitions")


def _listens(address: str) -> bool:
    host, _, port = address.strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def _store(settings: Settings) -> Iterator[Finding]:
    if settings.object_store.startswith("s3://"):
        scheme = "https" if settings.minio_secure else "http"
        authority = str(settings.minio_ca_location) if settings.minio_ca_location else None
        try:
            sent = time.time()
            with urllib3.PoolManager(timeout=CONNECT_SECONDS, retries=False, ca_certs=authority) as http:
                answer = http.request("HEAD", f"{scheme}://{settings.minio_endpoint}/")
            if stamp := answer.headers.get("Date"):
                ours = (sent + time.time()) / 2
                # The store's clock is cut to whole seconds.
                yield checks.check_clock("the store", parsedate_to_datetime(stamp).timestamp() + 0.5 - ours)
        except urllib3.exceptions.HTTPError as error:
            yield Finding(
                "store", State.FAULT, f"nothing answers at MINIO_ENDPOINT={settings.minio_endpoint} "
                f"({type(error).__name__})", "start it, or correct MINIO_ENDPOINT and MINIO_SECURE",
            )  # fmt: skip
            return
    store = open_to_look(settings)
    if store is None:
        yield Finding(
            "store", State.WARNING, f"there is no OBJECT_STORE={settings.object_store} yet", "`battery stream`"
        )
        return
    folder = folder_of_store(settings)
    if folder is not None and not os.access(folder, os.W_OK):
        yield Finding(
            "store", State.FAULT, f"OBJECT_STORE={settings.object_store} cannot be written", "change its owner"
        )
        return
    yield Finding("store", State.OK, f"OBJECT_STORE={settings.object_store} answers")


def _pair(settings: Settings, store: ObjectStore) -> Iterator[Finding]:
    """Whether store and warehouse belong together; nothing where somebody has the warehouse, and so goes on with it."""
    warehouse = open_warehouse(settings)
    with suppress(HeldError):
        with warehouse.connect("look whose it is", read_only=True) as connection:
            pipeline = pipeline_id(connection)
        claim = read_claim(store)
        ahead = mark_beyond(store, warehouse) is not None
        yield checks.check_pipeline(claim.pipeline if claim else None, pipeline, store_is_ahead=ahead)


def _warehouse(settings: Settings) -> Iterator[Finding]:
    file = settings.warehouse_address.file
    if file is not None and not file.exists():
        yield Finding("warehouse", State.WARNING, f"there is no WAREHOUSE={file} yet", "`battery stream` makes it")
        return
    brief = settings.model_copy(update={"warehouse_lock_timeout_seconds": CONNECT_SECONDS})
    if file is not None:
        yield checks.check_lock("warehouse", _warehouse_holders(file), file)
    try:
        overview = look_at_overview(brief)
    except HeldError as error:
        yield Finding("warehouse", State.OK, str(error))
        return
    except NoTablesError as error:
        yield Finding("warehouse", State.WARNING, f"WAREHOUSE={settings.warehouse}: {error}")
        return
    (counts,) = overview.tables["counts"].to_pylist()
    landed = f"{counts['rows']} readings of {counts['cells']} cells, DuckDB {duckdb.__version__}"
    yield Finding("warehouse", State.OK, f"WAREHOUSE={settings.warehouse} is readable: {landed}{_storage(file)}")
    yield checks.check_stamps(counts["stamped_later"])
    store = store_error = published = None
    try:
        store = open_to_look(settings)
        published = published_at(store)
    except BatteryError as error:
        store_error = str(error)
    models = models_status(settings, overview, published, store_error)
    yield checks.check_refresh(models.run.failure if models.run else None, models.age, models.news)
    if store is not None and store_error is None:
        yield from _pair(brief, store)


def _storage(file: Path | None) -> str:
    """The version of the format of a warehouse file, by its own header; nothing where it is a service."""
    if file is None:
        return ""
    with file.open("rb") as opened:
        header = opened.read(20)
    return f", storage version {int.from_bytes(header[12:20], 'little')}"


def _parts(settings: Settings) -> Iterator[Finding]:
    pulse = Pulse(settings)
    yield checks.check_worker(pulse.since(), pulse.longest)
    look = read_inbox(settings)
    age = None if look is None else (datetime.now(UTC) - look.at).total_seconds()
    yield checks.check_inbox(
        look.folder if look else None,
        age,
        look.trouble if look else "",
        is_watched=bool(look and look.is_watched),
        longest=3 * SIGN_SECONDS,
    )
    for what, port, path, begins, command, remedy in (
        ("dashboard", DASHBOARD_PORT, "/_stcore/health", b"ok", "`battery dashboard` serves it", "give --port to it"),
        ("metrics", settings.metrics_port, "/metrics", b"# ", "a running worker serves them", "set METRICS_PORT"),
    ):
        where = f"127.0.0.1:{port}"
        is_taken = bool(port) and _listens(where)
        yield checks.check_port(
            what, where, is_taken=is_taken, is_ours=is_taken and _answers(f"http://{where}{path}", begins),
            command=command, remedy=remedy,
        )  # fmt: skip


def _answers(address: str, begins: bytes) -> bool:
    """Whether something answers there as a part of the pipeline does."""
    try:
        with urllib3.PoolManager(timeout=CONNECT_SECONDS, retries=False) as http:
            answer = http.request("GET", address)
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status == HTTPStatus.OK and answer.data.startswith(begins)


def _locks(settings: Settings) -> Iterator[Finding]:
    for what, place in (
        ("models (dbt, publication)", work_folder(settings) / "lock"),
        ("replay, compaction or sweep", settings.replay_dir.resolve() / "lock"),
    ):
        yield checks.check_lock(what, _holders(place) if is_locked(place) else None, place)


def _warehouse_holders(file: Path) -> list[int] | None:
    try:
        duckdb.connect(str(file), read_only=True).close()
    except duckdb.IOException as error:
        if "lock on file" in str(error):
            return [int(found) for found in _HOLDER.findall(str(error))]
    return None


def _holders(place: Path) -> list[int]:
    with suppress(OSError):
        status = place.stat()
        return checks.holders_of(Path("/proc/locks").read_text(), status.st_dev, status.st_ino)
    return []
