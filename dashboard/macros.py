"""The macros of the dbt project, rendered without dbt: SQL that the dashboard shares with the models.

Only files that need nothing of dbt are loaded; `refresh.sql` and its like ask dbt about relations and runs.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jinja2

if TYPE_CHECKING:
    from jinja2.environment import TemplateModule

MACROS: Final = Path(__file__).resolve().parent.parent / "dbt_project" / "macros"

_FILES: Final = ("has_flag.sql", "steps.sql", "counters.sql", "curves.sql")


def macro(name: str, *arguments: str) -> str:
    """The SQL of a macro, called with names of columns and relations.

    Raises:
        AttributeError: there is no macro of that name among those that need nothing of dbt.
    """
    return str(getattr(_module(), name)(*arguments))


@cache
def _module() -> TemplateModule:
    source = "\n".join((MACROS / name).read_text() for name in _FILES)  # one template, since macros call each other
    sql = jinja2.Environment(autoescape=False, undefined=jinja2.StrictUndefined)  # noqa: S701  # it is no HTML
    return sql.from_string(source).module
