"""docker-compose.yml as the tests read it: with its variables filled in, and its hosts where the tests have them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PIPELINE = [name for name, service in SERVICES.items() if service["image"].startswith("battery-pipeline:")]
AIRFLOW = [name for name, service in SERVICES.items() if service["image"].startswith("battery-airflow:")]
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its variables as Compose fills them in."""

    def value(found: re.Match[str]) -> str:
        given = values.get(found["name"], "")
        if not given and found["kind"] == "?":
            raise KeyError(f"{found['name']}: {found['rest']}")
        return given or (found["rest"] or "" if found["kind"] == "-" else "")

    return _VARIABLE.sub(value, text)


def environment(service: str, values: Mapping[str, str], places: Mapping[str, str]) -> dict[str, str]:
    """What a service is given, `places` standing for hosts and folders that are elsewhere without an engine."""
    found = {}
    for name, text in SERVICES[service].get("environment", {}).items():
        value = filled(str(text), values)
        for theirs, ours in places.items():
            value = value.replace(theirs, ours)
        found[name] = value
    return found


def health_command(service: str, places: Mapping[str, str]) -> list[str]:
    """The command of a health check, ready to be run."""
    kind, *words = SERVICES[service]["healthcheck"]["test"]
    command = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
    for theirs, ours in places.items():
        command = [word.replace(theirs, ours) for word in command]
    return command
