"""The macros of the models, called one by one."""

from __future__ import annotations

from typing import Any

import jinja2
from support.places import ROOT

MACROS = ROOT / "dbt_project" / "macros"


def macros_of(file: str, **given: object) -> Any:
    """The macros of a file as functions; `given` is what they ask of dbt."""
    return jinja2.Template((MACROS / file).read_text()).make_module(given)
