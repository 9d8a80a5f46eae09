"""What the doctor asks of the machine: Python, packages, extras, room, memory, and whether this user may write."""

from __future__ import annotations

import getpass
import os
import shutil
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from battery.doctor import checks
from kernel.base.extras import DISTRIBUTION
from kernel.base.machine import memory_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from battery.doctor.checks import Finding
    from kernel.base.settings import Settings


def look_at_machine(settings: Settings) -> Iterator[Finding]:
    """Look at the machine, and at what of it the pipeline needs."""
    yield checks.check_python(sys.version_info[:2])
    required = requires(DISTRIBUTION) or []
    yield checks.check_packages(required, _versions(checks.PACKAGES))
    needed = _needed_by_extras(required)
    yield checks.check_extras(needed, _versions({name for names in needed.values() for name in names}))
    file = settings.warehouse_address.file
    size = 0
    with suppress(OSError):
        size = file.stat().st_size if file is not None else 0
    places: dict[str, tuple[int, int]] = {}
    disks: set[int] = set()
    for folder in (settings.warehouse_address.work_folder, settings.recovery_dir, folder_of_store(settings)):
        place = None if folder is None else _nearest(folder)
        if place is not None and (disk := place.stat().st_dev) not in disks:
            disks.add(disk)
            places[str(place)] = shutil.disk_usage(place).free, size
    yield from checks.check_disk(places)
    refused = {name: (str(place), _is_own(place)) for name, place in _refused(settings).items()}
    yield from checks.check_access(refused, user_name())
    yield checks.check_memory(memory_bytes(), _available_bytes(), settings.dbt_memory_bytes)


def _versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of packages, as far as they are installed."""
    found = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _needed_by_extras(required: Iterable[str]) -> dict[str, list[str]]:
    """The packages that each extra of the distribution needs on top."""
    wanted = [one for one in map(Requirement, required) if one.marker and not one.marker.evaluate({"extra": ""})]
    return {
        extra: [one.name for one in wanted if one.marker and one.marker.evaluate({"extra": extra})]
        for extra in metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    }


def _refused(settings: Settings) -> dict[str, Path]:
    """The places that this user may not write to, by their settings; the store is looked at by itself."""
    file = settings.warehouse_address.file
    wanted = {"RECOVERY_DIR": settings.recovery_dir, "REPLAY_DIR": settings.replay_dir}
    if file is not None:
        wanted = {"WAREHOUSE": file, "the folder of WAREHOUSE": file.parent, **wanted}
    refused: dict[str, Path] = {}
    for name, place in wanted.items():
        nearest = _nearest(place)
        may_write = os.access(nearest, os.W_OK | (os.X_OK if nearest.is_dir() else 0))
        if not may_write and nearest not in refused.values():
            refused[name] = nearest
    return refused


def folder_of_store(settings: Settings) -> Path | None:
    """The folder of the objects; None where they are in a bucket."""
    scheme, _, folder = settings.object_store.partition("://")
    return Path(folder) if scheme == "file" else None


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that there is."""
    folder = folder.resolve()
    return next(place for place in (folder, *folder.parents) if _exists(place))


def _exists(place: Path) -> bool:
    """Whether a place is there, as far as this user may see."""
    try:
        return place.exists()
    except PermissionError:
        return False


def _available_bytes() -> int:
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return min(memory_bytes(), 1024 * int(next(line for line in lines if "MemAvailable" in line).split()[1]))
    return memory_bytes()


def _is_own(place: Path) -> bool:
    """Whether a place belongs to this user, who then needs no other one to open it."""
    with suppress(OSError):
        return place.stat().st_uid == os.getuid()
    return False


def user_name() -> str:
    """The user of this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return str(os.getuid())
