"""The wheel in a virtual environment of its own, where the checkout cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

from support.places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

UV = ROOT / ".tools" / "bin" / "uv"
CHECKOUT = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Variables that may lead to the checkout."""


def install(folder: Path) -> Path:
    """Make the environment in a folder.

    What the wheel depends on is taken from the environment of the tests by a path file. Path files in there, such as
    that of the checkout, are not read.
    """
    environment = folder / "environment"
    _uv(folder, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT))
    _uv(folder, "venv", "--quiet", "--no-config", "--python", sys.executable, str(environment))
    python = str(environment / "bin" / "python")
    (wheel,) = folder.glob("*.whl")
    _uv(folder, "pip", "install", "--quiet", "--no-config", "--no-deps", "--python", python, str(wheel))
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment


def _uv(folder: Path, *arguments: str) -> None:
    done = subprocess.run([str(UV), *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def without_checkout(**more: str) -> dict[str, str]:
    """The environment of somebody who has never heard of the checkout."""
    return {name: value for name, value in os.environ.items() if name not in CHECKOUT} | more


def run(installed: Path, folder: Path, program: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A program of the environment to its end, in a folder."""
    return subprocess.run(
        [str(installed / "bin" / program), *arguments],
        cwd=folder,
        env=without_checkout(**more),
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
