"""The dbt project: where it lies, what must be there before dbt starts, and checksums of what models are made from."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError
from refresh.alerts.rules import require_rules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernel.base.settings import Settings

_SOURCES: Final = frozenset({".sql", ".py", ".yml", ".csv"})


def require_project(settings: Settings) -> Path:
    """Check what dbt needs before it starts.

    Returns:
        The folder of the dbt project.

    Raises:
        BatteryError: the dbt project is not installed beside the package, or BATTERY_CELLS or BATTERY_ALERT_RULES
            cannot be used.
    """
    project = project_folder()
    if settings.battery_cells is not None:
        _require_cells(settings.battery_cells, project / "seeds" / "cells.csv")
    if settings.battery_alert_rules is not None:
        require_rules(settings.battery_alert_rules)
    return project


def code_of(project: Path, settings: Settings) -> str:
    """A checksum of the code that makes the models: SQL, macros, their settings, the package `ageing`, the instrument.

    The unit tests belong to it, too, since they stand beside the models.
    """
    paths = [path for folder in ("models", "macros") for path in (project / folder).rglob("*")]
    paths += [project / "dbt_project.yml", *(project.parent / "ageing").glob("*.py")]
    code = _checksum(path for path in sorted(paths) if path.suffix in _SOURCES)
    ranges = settings.instrument_max_voltage_v, settings.instrument_max_current_a
    return hashlib.sha256(f"{code} {ranges}".encode()).hexdigest()


def inputs_of(settings: Settings) -> str:
    """A checksum of all that a refresh depends on apart from the landing: code, seeds, tests, and the lab's own files.

    Raises:
        BatteryError: the dbt project is not installed beside the package, or BATTERY_CELLS or BATTERY_ALERT_RULES
            cannot be used.
    """
    project = require_project(settings)
    paths = [path for folder in ("seeds", "tests") for path in (project / folder).rglob("*") if path.suffix in _SOURCES]
    own = [path for path in (settings.battery_cells, settings.battery_alert_rules) if path is not None]
    return hashlib.sha256(f"{code_of(project, settings)} {_checksum([*sorted(paths), *own])}".encode()).hexdigest()


@cache
def model_names() -> frozenset[str]:
    """Names of the models; there are none where no dbt project is installed beside the package."""
    models = Path(__file__).resolve().parent.parent / "dbt_project" / "models"
    return frozenset(path.stem for path in models.rglob("*") if path.suffix in {".sql", ".py"})


@cache
def internal_models() -> frozenset[str]:
    """Names of the models, and seeds, that only other models read: those in the folder `intermediate`.

    There are none where no dbt project is installed beside the package.
    """
    project = Path(__file__).resolve().parent.parent / "dbt_project"
    paths = [*(project / "models" / "intermediate").glob("*"), *(project / "seeds").glob("*.csv")]
    return frozenset(path.stem for path in paths if path.suffix in {".sql", ".py", ".csv"})


def _checksum(paths: Iterable[Path]) -> str:
    content = hashlib.sha256()
    for path in paths:
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()


def project_folder() -> Path:
    """The folder of the dbt project.

    Raises:
        BatteryError: it is not installed beside the package.
    """
    project = Path(__file__).resolve().parent.parent / "dbt_project"
    if not (project / "dbt_project.yml").is_file():
        raise BatteryError(
            f"no dbt project at {project}: run from a checkout, where it lies beside the battery package"
        )
    return project


def _require_cells(path: Path, seed: Path) -> None:
    """Check the lab's own file about its cells, since dbt's message would name neither file nor column.

    Raises:
        BatteryError: the file cannot be read, or its header differs from the seed's.
    """
    try:
        header = path.read_text().partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BatteryError(f"BATTERY_CELLS={path} cannot be read: {reason}") from None
    expected = seed.read_text().partition("\n")[0].strip()
    if header.split(",") != expected.split(","):
        raise BatteryError(f"BATTERY_CELLS={path} must begin with the line {expected}; it begins with {header[:200]}")
