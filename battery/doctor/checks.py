"""What is well and what is not: each check judges what it is given, and asks nobody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from kernel.base.settings import Settings


_LOCK: Final = re.compile(r"(?:FLOCK|POSIX|OFDLCK) +\w+ +\w+ +(\d+) +(\S+)")
"""A line of /proc/locks: the process, and the file by its device and inode."""


class State(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: what was looked at, how it is, and what to do where it is not well."""

    name: str
    state: State
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        """One line for a person.

        >>> print(Finding("disk", State.WARNING, "2.0 GB are free", "make room"))
        warning  disk        2.0 GB are free; make room
        """
        return f"{self.state:<7}  {self.name:<10}  {self.detail}{f'; {self.remedy}' if self.remedy else ''}"


PYTHONS: Final = ((3, 11), (3, 12))

PACKAGES: Final = (
    "bytewax", "confluent-kafka", "duckdb", "pyarrow", "dbt-core", "dbt-duckdb", "minio", "pydantic-settings",
)  # fmt: skip
"""The packages whose versions decide whether the pipeline works; an extra is named only where it is installed."""

FREE_BYTES_FAULT: Final = 500_000_000
FREE_BYTES_WARNING: Final = 5_000_000_000
MEMORY_BYTES_WARNING: Final = 1_000_000_000

CLOCK_SECONDS_WARNING: Final = 5.0
"""Clocks further apart make ages and freshness wrong."""

CLOCK_SECONDS_FAULT: Final = 900.0
"""S3 refuses requests whose time is further off."""

REFRESH_SECONDS_WARNING: Final = 2 * 3600.0
"""A refresh runs every hour at least; news that are older than two wait for a refresh that does not run."""

_SECRET: Final = re.compile(r"TOKEN|PASSWORD|SECRET|ACCESS_KEY", re.IGNORECASE)


def check_python(version: tuple[int, int]) -> Finding:
    """The Python that runs."""
    text = ".".join(map(str, version))
    if version in PYTHONS:
        return Finding("python", State.OK, text)
    return Finding("python", State.FAULT, f"{text} is not supported", "install into Python 3.11 or 3.12")


def check_packages(required: Sequence[str], installed: Mapping[str, str]) -> Finding:
    """The versions of the packages that matter.

    Args:
        required: the requirements of the distribution, as its metadata has them.
        installed: the version of each package, by its name; absent ones are missing.
    """
    wrong = []
    for text in required:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.name not in PACKAGES or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        version = installed.get(requirement.name)
        if version is None:
            wrong.append(f"{requirement.name} is not installed")
        elif not requirement.specifier.contains(Version(version), prereleases=True):
            wrong.append(f"{requirement.name} {version} is not {requirement.specifier}")
    if wrong:
        return Finding("packages", State.FAULT, ", ".join(wrong), "`make setup` installs what uv.lock names")
    return Finding(
        "packages", State.OK, ", ".join(f"{name} {installed[name]}" for name in PACKAGES if name in installed)
    )


def _room(size: float) -> str:
    """A number of bytes as one reads it.

    >>> _room(56_600_000_000), _room(700_000)
    ('56.6 GB', '0.7 MB')
    """
    return f"{size / 1e9:.1f} GB" if size / 1e9 >= 1 else f"{size / 1e6:.1f} MB"


def check_disk(places: Mapping[str, tuple[int, int]]) -> Iterator[Finding]:
    """The room where the pipeline writes.

    Args:
        places: for each folder the free bytes of its disk, and the bytes that a full rebuild would write there.
    """
    for place, (free, needed) in places.items():
        detail = f"{_room(free)} are free at {place}"
        if free < FREE_BYTES_FAULT:
            yield Finding("disk", State.FAULT, detail, "make room: the worker stops when its disk is full")
        elif free < max(FREE_BYTES_WARNING, needed):
            why = f", a replay beside the warehouse needs {needed / 1e9:.1f} GB" if needed > FREE_BYTES_WARNING else ""
            yield Finding("disk", State.WARNING, detail + why, "make room; `battery compact` merges small objects")
        else:
            yield Finding("disk", State.OK, detail)


def check_extras(needed: Mapping[str, Sequence[str]], installed: Collection[str]) -> Finding:
    """The parts that are optional: which of them are installed.

    Args:
        needed: the packages that each extra needs, by its name.
        installed: the packages that are installed, of those.
    """
    lacking = [extra for extra, packages in needed.items() if not set(packages) <= set(installed)]
    there = ", ".join(extra for extra in needed if extra not in lacking) or "none"
    if not lacking:
        return Finding("extras", State.OK, f"all are installed: {there}")
    return Finding(
        "extras", State.OK, f"installed: {there}; not installed: {', '.join(lacking)}, which a command that needs one "
        "says how to install",
    )  # fmt: skip


def check_access(refused: Mapping[str, tuple[str, bool]], user: str) -> Iterator[Finding]:
    """Whether this user may write where the pipeline writes.

    Args:
        refused: what names each place that may not be written to, the place, and whether it is the user's own.
        user: who that is.
    """
    for name, (place, is_own) in refused.items():
        remedy = f"`chmod -R u+rwX {place}`" if is_own else f"`chown -R {user} {place}`, or run as its owner"
        yield Finding("access", State.FAULT, f"{name}: user {user} may not write to {place}", remedy)
    if not refused:
        yield Finding("access", State.OK, f"user {user} may write to warehouse and recovery store")


def check_memory(total: int, available: int, dbt_bytes: int | None) -> Finding:
    """The memory of the machine, and what dbt is allowed of it, in bytes."""
    detail = f"{available / 1e9:.1f} of {total / 1e9:.1f} GB are free"
    if dbt_bytes is not None and dbt_bytes > total:
        return Finding(
            "memory", State.FAULT, f"{detail}, DBT_MEMORY_BYTES={dbt_bytes} is more", "lower it or leave it out"
        )
    if available < MEMORY_BYTES_WARNING:
        return Finding("memory", State.WARNING, detail, "end other programs, or set DBT_MEMORY_BYTES lower")
    return Finding("memory", State.OK, detail)


def check_clock(whose: str, seconds: float) -> Finding:
    """How far the clock of another machine is ahead of ours, in s."""
    detail = f"the clock of {whose} is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} ours"
    remedy = "set both by NTP"
    if abs(seconds) > CLOCK_SECONDS_FAULT:
        return Finding("clock", State.FAULT, detail, remedy)
    if abs(seconds) > CLOCK_SECONDS_WARNING:
        return Finding("clock", State.WARNING, detail, remedy)
    return Finding("clock", State.OK, detail)


def check_stamps(stamped_later: int) -> Finding:
    """Readings that landed with a time stamp of the broker's or a gateway's that has not come yet."""
    if stamped_later:
        return Finding(
            "clock", State.WARNING, f"{stamped_later} readings are stamped later than now",
            "set the clocks of broker and gateways by NTP",
        )  # fmt: skip
    return Finding("clock", State.OK, "no reading is stamped later than now")


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Settings that point to nothing, or do not go together."""
    files = {
        "BATTERY_CELLS": settings.battery_cells,
        "MAPPING_FILE": settings.mapping_file,
        "KAFKA_SSL_CA_LOCATION": settings.kafka_ssl_ca_location,
        "MINIO_CA_LOCATION": settings.minio_ca_location,
    }
    wrong = False
    for name, path in files.items():
        if path is not None and not path.exists():
            wrong = True
            yield Finding("settings", State.FAULT, f"{name}={path} is not there", "correct the path, or leave it out")
    if settings.commit_interval_seconds > settings.max_commit_age_seconds:
        wrong = True
        yield Finding(
            "settings", State.WARNING,
            f"COMMIT_INTERVAL_SECONDS={settings.commit_interval_seconds} is more than "
            f"MAX_COMMIT_AGE_SECONDS={settings.max_commit_age_seconds:.0f}: status --check complains of every pause",
            "raise MAX_COMMIT_AGE_SECONDS",
        )  # fmt: skip
    if settings.warehouse_address.file is not None and settings.lanes > 1:
        wrong = True
        yield Finding(
            "settings", State.WARNING, f"LANES={settings.lanes} with a WAREHOUSE of one file, which one lane fills",
            "set LANES=1",
        )  # fmt: skip
    if settings.motherduck_token and settings.warehouse_address.file is not None:
        wrong = True
        yield Finding(
            "settings", State.WARNING, f"MOTHERDUCK_TOKEN is set, but WAREHOUSE={settings.warehouse} is a file",
            "set WAREHOUSE=md:…, or leave out the token",
        )  # fmt: skip
    if settings.minio_endpoint and not settings.object_store.startswith("s3://"):
        wrong = True
        yield Finding(
            "settings", State.WARNING, f"MINIO_ENDPOINT is set, but OBJECT_STORE={settings.object_store} is a folder",
            "set OBJECT_STORE=s3://…, or leave it out",
        )  # fmt: skip
    if not wrong:
        yield Finding("settings", State.OK, "they are valid and point to what is there")


def check_env_file(
    lines: Iterable[str], environment: Mapping[str, str], known: Iterable[str], others_may_read: bool
) -> Iterator[Finding]:
    """The file `.env`: names that nothing reads, values that the environment hides, and secrets that others may read.

    Args:
        lines: of the file.
        environment: of the process.
        known: the names of all settings.
        others_may_read: whether other users of the machine may read the file.
    """
    names = sorted(known)
    is_secret = False
    for line in lines:
        name, separator, value = line.strip().partition("=")
        name = name.removeprefix("export ").strip()
        if not separator or name.startswith("#"):
            continue
        value = value.strip().strip("'\"")
        is_secret |= bool(_SECRET.search(name) and value)
        if name.upper() in names:
            if environment.get(name.upper(), value) != value:
                yield Finding(
                    ".env", State.WARNING, f"{name} differs from the environment, which counts",
                    f"`unset {name}`, or leave it out of .env",
                )  # fmt: skip
        elif close := get_close_matches(name.upper(), names, n=1, cutoff=0.85):
            yield Finding(".env", State.WARNING, f"{name} is no setting, and is not read", f"write {close[0]}")
    if is_secret and others_may_read:
        yield Finding(".env", State.WARNING, "it holds secrets and every user may read it", "`chmod 600 .env`")


def check_pipeline(of_store: str | None, of_warehouse: str | None, *, store_is_ahead: bool) -> Finding:
    """Whether store and warehouse belong together.

    Args:
        of_store: the id of the pipeline that owns the store; None where it has none.
        of_warehouse: the id of the pipeline that the warehouse is of; None where it has none.
        store_is_ahead: whether the store knows of commits that the warehouse does not hold.
    """
    if of_store is not None and of_warehouse is not None and of_store != of_warehouse:
        return Finding(
            "pipeline", State.FAULT,
            f"the OBJECT_STORE belongs to pipeline {of_store}, the WAREHOUSE to {of_warehouse}",
            "set a pair that belongs together, or see `battery adopt`",
        )  # fmt: skip
    if store_is_ahead:
        return Finding(
            "pipeline", State.WARNING, "the WAREHOUSE is older than the OBJECT_STORE, as a copy from a backup is",
            "`battery stream` lands the rest from the log; nothing is swept until then",
        )  # fmt: skip
    return Finding("pipeline", State.OK, of_warehouse or "none yet")


def check_lock(what: str, holders: Sequence[int] | None, place: Path) -> Finding:
    """A lock, by the ids of the processes that hold it; None where nobody does, no id where they cannot be told."""
    if holders is None:
        return Finding("lock", State.OK, f"{what}: free")
    who = f"process {', '.join(map(str, holders))}" if holders else "another process"
    return Finding("lock", State.OK, f"{what}: held by {who} ({place})")


def holders_of(locks: str, device: int, inode: int) -> list[int]:
    """The ids of the processes that hold the lock of a file, by the text of /proc/locks.

    >>> holders_of("1: FLOCK  ADVISORY  WRITE 4711 08:01:99 0 EOF", 0x801, 99)
    [4711]
    """
    place = f"{device >> 8 & 0xFFF:02x}:{device & 0xFF | device >> 12 & 0xFFF00:02x}:{inode}"
    return sorted({int(found[1]) for found in _LOCK.finditer(locks) if found[2] == place})


def check_worker(age: float | None, longest: float) -> Finding:
    """The worker, by the age of its last epoch in s; None where there never was one."""
    if age is None:
        return Finding("worker", State.WARNING, "none runs here", "`battery stream`, or `battery up` for all parts")
    if age > longest:
        return Finding(
            "worker", State.WARNING, f"its last epoch ended {age:.0f} s ago, expected within {longest:.0f} s",
            "`battery stream`, or its log says what it waits for",
        )  # fmt: skip
    return Finding("worker", State.OK, f"it runs: its last epoch ended {age:.0f} s ago")


def check_port(what: str, where: str, *, is_taken: bool, is_ours: bool, command: str, remedy: str) -> Finding:
    """A part that listens: whether anything does at its port, and whether that is the part."""
    if not is_taken:
        return Finding(what, State.OK, f"nothing at {where}; {command}")
    if not is_ours:
        return Finding(what, State.WARNING, f"another program has {where}", f"end that one, or {remedy}")
    return Finding(what, State.OK, f"{where} answers")


def check_inbox(folder: str | None, age: float | None, trouble: str, *, is_watched: bool, longest: float) -> Finding:
    """The watch of the inbox, by the age of its last sign in s; None where there never was one."""
    if folder is None or age is None:
        return Finding("inbox", State.OK, "none is watched here; `battery produce FOLDER --watch` watches one")
    if not is_watched or age > longest:
        return Finding(
            "inbox", State.WARNING, f"{folder} has not been watched for {age:.0f} s",
            "`battery produce FOLDER --watch`, or `battery up`",
        )  # fmt: skip
    if trouble:
        return Finding("inbox", State.FAULT, f"{folder} is watched, but nothing can be published: {trouble}")
    return Finding("inbox", State.OK, f"{folder} is watched")


def check_refresh(failure: str | None, age: float | None, news: str | None) -> Finding:
    """The last refresh: why it failed, how old the published models are in s, and what is new since."""
    if failure:
        return Finding(
            "refresh", State.FAULT, f"the last one failed: {failure}", "correct it, then `battery transform`"
        )
    if age is None:
        return Finding("refresh", State.WARNING, "no models have been published", "`battery transform`")
    detail = f"published {age:.0f} s ago"
    if news and age > REFRESH_SECONDS_WARNING:
        return Finding("refresh", State.WARNING, f"{detail}, {news}", "`battery transform`, or `--watch` to keep it up")
    return Finding("refresh", State.OK, f"{detail}; {news or 'nothing is new since'}")
