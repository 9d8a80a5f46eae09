"""The place that a notebook asks: what `battery.open` is given, and the publication there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings, load_settings
from kernel.base.warehouse_address import kind_of
from kernel.edges.objects import FolderStore, open_store
from refresh.export import LATEST, MANIFEST
from refresh.publication import Publication, open_publication

DEMO: Final = Path("data/demo")
"""Where `battery demo` leaves its folder, unless it is told another one."""

PATIENCE_SECONDS: Final = 60.0
"""How long a store may take to answer while somebody waits at a notebook, in s."""


def find_publication(place: str | Path | Settings | None) -> tuple[Publication, str]:
    """The publication at a place, and the place in words; no table is read.

    Args:
        place: as `battery.open` takes it.

    Raises:
        BatteryError: there is no pipeline, or it cannot be reached.
    """
    if place is None:
        place = load_settings()
    if isinstance(place, Settings):
        return _by_settings(place)
    text = str(place)
    if kind_of(text).admits_readers:
        return _by_settings(load_settings(warehouse=text))
    if text.startswith("s3://"):
        address = _store_of(text.rstrip("/"))
        return Publication.of_store(open_store(_patient(load_settings(object_store=address)), make=False)), address
    if text == "demo":
        if not _holds_marts(DEMO / "objects"):
            raise BatteryError(f"there is no demo in {DEMO}; `battery demo` makes one in about a minute")
        return _by_folder(DEMO)
    try:
        return _by_folder(Path(text.removeprefix("file://")).expanduser())
    except (OSError, RuntimeError, ValueError) as error:  # no permission, a name too long, no such home
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise BatteryError(f"{text[:100]} cannot be looked at: {why}; name the folder of a pipeline") from None


def _by_settings(settings: Settings) -> tuple[Publication, str]:
    opened = partial(open_publication, settings, seconds=PATIENCE_SECONDS, make=False)
    if settings.warehouse_address.holds_models and settings.warehouse_address.admits_readers:
        return opened(), settings.warehouse
    folder = Path(settings.object_store.removeprefix("file://"))
    if not settings.object_store.startswith("s3://") and not folder.is_dir():
        raise BatteryError(
            f"OBJECT_STORE={settings.object_store} does not exist in {Path.cwd()}; "
            'name the folder of the pipeline, as battery.open("data/demo"), or set OBJECT_STORE'
        )
    return opened(), settings.object_store


def _by_folder(folder: Path) -> tuple[Publication, str]:
    """A folder of a pipeline, of its objects, of its marts, or the warehouse file beside its objects."""
    if folder.is_file():
        folder = folder.parent
    for root in (folder / "objects", folder, folder.parent, folder.parent.parent):
        if _holds_marts(root):
            return Publication.of_store(FolderStore(root)), str(folder)
    if (folder / "objects").is_dir():  # nothing has been published yet, which the first question says
        return Publication.of_store(FolderStore(folder / "objects")), str(folder)
    what = "holds no published marts" if folder.is_dir() else "is no folder"
    raise BatteryError(
        f"{folder} {what}; name the folder of a pipeline, which holds objects/{MANIFEST}, as data or data/demo"
    )


def _holds_marts(root: Path) -> bool:
    return (root / MANIFEST).is_file()


def _store_of(address: str) -> str:
    """The object store that a location of marts belongs to.

    >>> _store_of("s3://lab/cyclers/marts/latest"), _store_of("s3://lab")
    ('s3://lab/cyclers', 's3://lab')
    """
    for end in (f"/{LATEST}", f"/{LATEST.partition('/')[0]}"):
        if address.endswith(end):
            return address.removesuffix(end)
    return address


def _patient(settings: Settings) -> Settings:
    seconds = min(settings.object_store_timeout_seconds, PATIENCE_SECONDS)
    return settings.model_copy(update={"object_store_timeout_seconds": seconds})
