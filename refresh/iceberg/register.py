"""The Iceberg tables of a pipeline, brought up to date with its manifest and its published marts.

It reads the manifest and nothing else of the warehouse, so no commit waits for it. Each table is loaded before the
manifest is read, and changed only if it is still the same then. A manifest that is older than the one that a table
follows can therefore not get into it, however many publishers there are and however slow they are.
"""

from __future__ import annotations

import random
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from kernel.base.errors import BatteryError
from kernel.base.masking import mask_urls
from refresh.export import MARTS
from refresh.iceberg.catalog import catalog_place, load_table, open_catalog, reported
from refresh.iceberg.files import store_root
from refresh.iceberg.hint import write_hint
from refresh.iceberg.leftovers import is_due, remove_leftovers
from refresh.iceberg.sources import LANDED, read_sources
from refresh.iceberg.table import OvertakenError, create_table, follow, keep_properties, require_own
from sink.manifest import LANDED_KIND

if TYPE_CHECKING:
    from collections.abc import Collection

    from pyiceberg.catalog import Catalog

    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from refresh.iceberg.table import Followed

FOLDER: Final = "iceberg"
"""The folder of the store for the metadata of the tables; no object of the pipeline is in it."""

ATTEMPTS: Final = 20
"""How often a table is compared while other publishers change it."""

PAUSE_SECONDS: Final = 0.5
"""The longest pause before a table is compared again, in s."""


@dataclass(frozen=True)
class Registered:
    """The tables after they were brought up to date; `catalog` is the place of the catalog, without a password."""

    catalog: str
    namespace: str
    tables: tuple[Followed, ...]

    def __str__(self) -> str:
        """One line for a person."""
        changed = [table for table in self.tables if table.is_changed]
        added, removed = sum(table.added for table in changed), sum(table.removed for table in changed)
        landed = next((table for table in self.tables if table.name == LANDED_KIND), None)
        rows = f"; {LANDED_KIND} has {landed.rows} rows in {landed.objects} objects" if landed else ""
        if not changed:
            return f"nothing new for {len(self.tables)} Iceberg tables of {self.namespace}{rows}"
        return (
            f"registered {added} objects in {len(changed)} of {len(self.tables)} Iceberg tables of {self.namespace}, "
            f"removed {removed}{rows}"
        )

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return asdict(self)


def register(settings: Settings, store: ObjectStore, warehouse: Warehouse) -> Registered:
    """Bring the Iceberg tables up to date with what the manifest and the publication of the marts name.

    Raises:
        BatteryError: catalog, store or warehouse cannot be used; tables that were done by then stay so.
    """
    done: dict[str, Followed] = {}
    waiting: tuple[str, ...] = (*LANDED, *MARTS)
    with closing(open_catalog(settings)) as catalog:
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, PAUSE_SECONDS))  # noqa: S311  # it only keeps publishers apart
            waiting = _register(settings, store, warehouse, catalog, waiting, done)
            if not waiting:
                place = mask_urls(catalog_place(settings))
                return Registered(place, settings.iceberg_namespace, tuple(done[name] for name in sorted(done)))
    raise BatteryError(
        f"the Iceberg table {waiting[0]} was changed by others, or its objects were replaced, {ATTEMPTS} times while "
        "it was compared; `battery verify` says whether all objects are there"
    )


def _register(
    settings: Settings,
    store: ObjectStore,
    warehouse: Warehouse,
    catalog: Catalog,
    names: Collection[str],
    done: dict[str, Followed],
) -> tuple[str, ...]:
    """Bring some tables up to date; what was done is added to `done`.

    Returns:
        The names of those that must be compared again.
    """
    namespace, root, overtaken = settings.iceberg_namespace, store_root(settings), []
    with reported("the Iceberg catalog cannot be used"):
        tables = {name: load_table(catalog, namespace, name) for name in names}
    sources = read_sources(settings, store, warehouse)  # after the tables: see above
    for name in names:
        if name not in sources.objects:
            continue
        location, wanted = f"{root}/{FOLDER}/{namespace}/{name}", {f"{root}/{key}" for key in sources.objects[name]}
        columns = partial(sources.columns, name)
        with reported(f"the Iceberg table {namespace}.{name} cannot be brought up to date"):
            try:
                table = tables[name]
                if table is None:
                    table = create_table(catalog, (namespace, name), columns(), location, sources.pipeline)
                require_own(table, location, sources.pipeline)
                keep_properties(table)
                done[name] = follow(table, wanted, columns, replaces=name in MARTS)
                if done[name].is_changed and is_due(table):
                    remove_leftovers(table)
            except (OvertakenError, FileNotFoundError):
                overtaken.append(name)
                continue
        write_hint(store, f"{FOLDER}/{namespace}/{name}", done[name].metadata)
    return tuple(overtaken)
