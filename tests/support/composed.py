"""docker-compose.yml as the tests read it: with its variables filled in, and its hosts where the tests have them.

Also what images are built from, be they its own or Astro's.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import yaml
from support.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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


def locked(package: str) -> str:
    """The version of a package in uv.lock."""
    found = re.search(rf'name = "{package}"\nversion = "(.+)"', (ROOT / "uv.lock").read_text())
    assert found
    return found[1]


def context(folder: Path) -> Path:
    """What a build would be sent, by .dockerignore: everything is left out but what it names."""
    wanted = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *wanted],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder
