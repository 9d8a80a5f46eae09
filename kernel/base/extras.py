"""Extras: optional parts of the pipeline, and the command that installs one."""

from __future__ import annotations

import re
import shlex
import sys
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from kernel.base.errors import BatteryError

DISTRIBUTION: Final = "battery-pipeline"
"""The distribution is on no package index, so a hint must not name it alone: it may be somebody else's package."""

CHECKOUT: Final = Path(__file__).resolve().parents[2]
"""The folder with the packages: a checkout, or `site-packages` of an environment."""


def missing_extra(what: str, extra: str) -> BatteryError:
    """The error for a part whose extra is not installed.

    Args:
        what: the part, as the subject of a sentence.
        extra: the extra that it belongs to, as `pyproject.toml` names it.
    """
    return BatteryError(f"{what} needs the extra {extra}, which is not installed: {install_command(extra)}")


def install_command(extra: str) -> str:
    """The shell command that installs an extra into the environment of this process, from any folder.

    In the environment that `make setup` made in a checkout, that is `make setup`; for another environment of a
    checkout, an installation of the checkout with the extra. A wheel does not know where it came from: its extra's
    requirements are named one by one.
    """
    if not (CHECKOUT / "pyproject.toml").is_file():
        wanted = _requirements(extra)
    elif Path(sys.prefix).resolve() != CHECKOUT / ".venv":
        wanted = ["-e", f"{CHECKOUT}[{extra}]"]
    else:
        return shlex.join(["make", "-C", str(CHECKOUT), "setup"])
    if find_spec("pip") is None:  # an environment that uv made
        return shlex.join(["uv", "pip", "install", "--python", sys.executable, *wanted])
    return shlex.join([sys.executable, "-m", "pip", "install", *wanted])


def _requirements(extra: str) -> list[str]:
    """What an extra needs, as the metadata of the installed distribution says."""
    of_extra = re.compile(rf"""([^;]+?)\s*;.*\bextra\s*==\s*['"]{re.escape(extra)}['"]""")
    matches = [of_extra.match(requirement) for requirement in requires(DISTRIBUTION) or []]
    return [match[1] for match in matches if match is not None]
