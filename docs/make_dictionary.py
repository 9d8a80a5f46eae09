"""Write the data dictionary from dbt's manifest, which has every table and column with its description."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from kernel.base.errors import BatteryError

ROOT: Final = Path(__file__).resolve().parents[1]

PREAMBLE: Final = """\
# Tables

Every table and column, with its unit. `make docs` makes this page from `dbt_project/models`; change it there.

Units: s, A (charge positive), V, Ah, Wh, Ω, °C, unless a column says otherwise. Times of the cycler (`date_time`,
`window_start`, `started_at`, `ended_at`) are its own wall clock, without zone; times of the pipeline (`streamed_at`,
`committed_at`, `started_at` of `_writers`) are UTC.

What readers use is in the schema `main`. Tables whose names begin with `_`, and those of the parts seeds and
intermediate, are in the schema `internal`: ask for `internal._dbt_runs`. `_commits`, `_progress` and `_writers` can be
read in `main`, too.
"""

FOLDERS: Final = ("staging", "intermediate", "marts")
"""Folders of models in the order of the dictionary; any other comes after them."""

_KINDS: Final = {"view": "A view", "table": "A table", "incremental": "A table", "seed": "A table"}

_DBT: Final = "from dbt.cli.main import cli; cli(prog_name='dbt')"

Described = dict[str, Any]
"""A table or column of the manifest."""


def read_manifest(project: Path) -> Described:
    """What dbt knows of a project: its manifest.json.

    Raises:
        BatteryError: dbt cannot parse the project, for instance because a doc block does not exist.
    """
    with tempfile.TemporaryDirectory(prefix="dictionary-") as folder:
        places = ["--project-dir", project, "--profiles-dir", project, "--target-path", folder, "--log-path", folder]
        done = subprocess.run(
            [sys.executable, "-c", _DBT, "--quiet", "parse", "--no-partial-parse", *map(str, places)],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BatteryError(f"dbt cannot parse {project}: {' '.join(done.stdout.split())}")
        manifest: Described = json.loads((Path(folder) / "manifest.json").read_text())
        return manifest


def dictionary(manifest: Described) -> str:
    """The data dictionary of a dbt project: landing tables, then seeds, then models, each with its columns.

    Args:
        manifest: dbt's manifest.json.

    Raises:
        BatteryError: a table or column has no description, or a column no type.
    """
    parts: dict[str, list[tuple[str, str]]] = {}
    for source in manifest["sources"].values():
        parts.setdefault("landing", []).append((source["name"], _section(source)))
    for node in manifest["nodes"].values():
        if node["resource_type"] in {"model", "seed"}:
            folder = "seeds" if node["resource_type"] == "seed" else node["fqn"][1]
            kind = _KINDS[node["config"]["materialized"]]
            parts.setdefault(folder, []).append((node["name"], _section(node, f"{kind}, in {folder}.")))
    order = ["landing", "seeds", *FOLDERS]
    order = [*(name for name in order if name in parts), *sorted(parts.keys() - order)]
    for name in order:
        if name != "landing":  # whose order is that of the YAML
            parts[name].sort()
    contents = "".join(
        f"| {name} | {', '.join(f'[{table}](#{table.lower()})' for table, _ in parts[name])} |\n" for name in order
    )
    sections = [section for name in order for _, section in parts[name]]
    return "\n".join([PREAMBLE, f"| part | tables |\n| --- | --- |\n{contents}", *sections])


def _section(table: Described, note: str = "") -> str:
    """A table's heading, description and columns."""
    name = table["name"]
    parts = [f"## {name}", note, _text(table, name)]
    rows = []
    for column in table["columns"].values():
        where = f"{name}, column {column['name']}"
        meaning = " ".join(_text(column, where).split())
        if not column["data_type"]:
            raise BatteryError(f"{where}: no data_type in the YAML; give it one")
        cells = (f"`{column['name']}`", _upper(column["data_type"]), meaning)
        rows.append(f"| {' | '.join(map(_cell, cells))} |")
    if rows:
        parts.append("\n".join(["| column | type | meaning |", "| --- | --- | --- |", *rows]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _text(described: Described, where: str) -> str:
    """A description, whose paragraphs stay apart."""
    text: str = described["description"].strip()
    if not text:
        raise BatteryError(f"{where}: no description in the YAML; give it one")
    return re.sub(r"\n\s*\n", "\n\n", text)


def _cell(text: str) -> str:
    """A text that ends no cell of a table."""
    return text.replace("|", r"\|")


def _upper(kind: str) -> str:
    """A type in upper case; a struct as it is written, since its fields have names."""
    return kind if "(" in kind and re.match("struct", kind, re.IGNORECASE) else kind.upper()


def main() -> int:
    """Write docs/reference/tables.md.

    Returns:
        The exit code: 2 when something is not described.
    """
    path = ROOT / "docs" / "reference" / "tables.md"
    try:
        path.write_text(dictionary(read_manifest(ROOT / "dbt_project")))
    except BatteryError as error:
        sys.stderr.write(f"make_dictionary: {error}\n")
        return 2
    sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
